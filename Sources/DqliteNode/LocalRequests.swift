import DqliteEngine
import DqliteProtocol
import DqliteRaft

extension NodeState {
    /// What the node answers by itself, at once and in memory only, on either encoding.
    enum LocalAnswer {
        /// The answer, and its revision on the dqlite encoding.
        case response(Response.Body, revision: UInt8)
        case failure(EngineError)
        /// The answer comes later: the closure is to be called once, and calls back on any thread.
        case later((@escaping @Sendable (Result<Response.Body, EngineError>) -> Void) -> Void)

        static func response(_ body: Response.Body) -> LocalAnswer { .response(body, revision: 0) }
    }

    /// Answers a request that needs no database.
    func answer(_ request: Request.Body) -> LocalAnswer {
        switch request {
        case .leader:
            let leader = self.knownLeader
            return .response(
                .server(
                    leader.map { ServerResponse(serverID: $0.id.rawValue, address: $0.address) } ?? ServerResponse()))
        case .client:
            // Nobody is dropped for being silent; the number is what dqlite announces.
            return .response(.welcome(WelcomeResponse(heartbeatTimeout: 15000)))
        case .heartbeat:
            return .response(.empty(EmptyResponse()))
        case .cluster(let cluster):
            guard let revision = UInt8(exactly: cluster.format), revision <= ServersResponse.highestRevision else {
                return .failure(.malformed("unrecognized cluster format \(cluster.format)"))
            }
            let servers = self.cluster.view.configuration.servers.map { server in
                Server(serverID: server.id.rawValue, address: server.address, role: server.role.serverRole)
            }
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
        case .connect: return .failure(.unsupported("a stream of messages between nodes is a connection of its own"))
        case .add(let add):
            return self.change(.member(.add(NodeID(add.serverID), address: add.address)))
        case .assign(let assign):
            return self.change(.member(.assign(NodeID(assign.serverID), Configuration.Role(assign.role))))
        case .remove(let remove): return self.change(.member(.remove(NodeID(remove.serverID))))
        case .transfer(let transfer):
            return self.change(.transfer(transfer.serverID == 0 ? nil : NodeID(transfer.serverID)))
        default:
            return .failure(.unknownRequest)
        }
    }
}

extension NodeState {
    /// The leader as this node may tell it: only voters know it for certain.
    var knownLeader: Configuration.Server? {
        let view = self.cluster.view
        guard view.configuration.isVoter(NodeID(self.id)) else { return nil }
        // Until it serves, this node would refuse those whom it sends to itself.
        if view.leader == NodeID(self.id), !self.cluster.isServing { return nil }
        return view.leaderServer
    }

    private func change(_ change: ClusterChange) -> LocalAnswer {
        .later { [cluster] answer in
            cluster.change(change) { result in answer(result.map { .empty(EmptyResponse()) }) }
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
