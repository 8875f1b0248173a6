import DqliteEngine
import DqliteProtocol

extension NodeState {
    /// What the node answers by itself, at once and in memory only, on either encoding.
    enum LocalAnswer {
        /// The answer, and its revision on the dqlite encoding.
        case response(Response.Body, revision: UInt8)
        case failure(EngineError)
        /// The request is not answered: the connection is closed.
        case close

        static func response(_ body: Response.Body) -> LocalAnswer { .response(body, revision: 0) }
    }

    /// Answers a request that needs no database.
    func answer(_ request: Request.Body) -> LocalAnswer {
        switch request {
        case .leader:
            return .response(
                .server(
                    self.isLeader ? ServerResponse(serverID: self.id, address: self.address) : ServerResponse()))
        case .client:
            // Nobody is dropped for being silent; the number is what dqlite announces.
            return .response(.welcome(WelcomeResponse(heartbeatTimeout: 15000)))
        case .heartbeat:
            return .response(.empty(EmptyResponse()))
        case .cluster(let cluster):
            guard let revision = UInt8(exactly: cluster.format), revision <= ServersResponse.highestRevision else {
                return .failure(.malformed("unrecognized cluster format \(cluster.format)"))
            }
            let servers =
                self.isLeader ? [Server(serverID: self.id, address: self.address, role: .voter)] : []
            return .response(.servers(ServersResponse(servers: servers)), revision: revision)
        case .describe(let describe):
            guard describe.format == 0 else {
                return .failure(.refused(FailureCode.unsupportedFormat, "bad format version"))
            }
            return .response(
                .metadata(MetadataResponse(failureDomain: self.failureDomain, weight: self.weight)))
        case .weight(let weight):
            self.weight = weight.weight
            return .response(.empty(EmptyResponse()))
        case .connect:
            // A node without peers has nobody to talk to.
            return .close
        case .add, .assign, .remove:
            guard self.isLeader else { return .failure(.notLeader) }
            return .failure(.unsupported("this node does not replicate yet: its cluster stays as it is"))
        case .transfer:
            guard self.isLeader else { return .failure(.notLeader) }
            // Whoever is named, it is not another voter; and there is none to choose.
            return .failure(.unsupported("server ID is not valid"))
        default:
            return .failure(.unknownRequest)
        }
    }
}

extension RequestCode {
    /// Whether the engine carries it out, on an open database.
    var isForEngine: Bool {
        switch self {
        case .prepare, .exec, .query, .finalize, .execSQL, .querySQL: true
        default: false
        }
    }
}

extension RequestCode {
    /// Highest revision of each request, by its number.
    private static let revisions: [UInt8?] = {
        var revisions = [UInt8?](repeating: nil, count: 256)
        for request in RequestCode.all { revisions[Int(request.code.rawValue)] = request.highestRevision }
        return revisions
    }()

    /// The highest revision of the request; nil when its number is not known.
    var highestRevision: UInt8? { Self.revisions[Int(self.rawValue)] }
}
