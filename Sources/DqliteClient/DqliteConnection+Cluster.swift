import DqliteProtocol
public import NIOCore

/// A node of the cluster, as another one describes it.
public struct DqliteServer: Hashable, Sendable {
    /// What a node does in the cluster.
    public struct Role: Hashable, Sendable, CustomStringConvertible {
        /// Its number in the protocol.
        public let rawValue: UInt32

        /// It counts for quorums and may lead.
        public static var voter: Role { Role(rawValue: 0) }
        /// It receives the log and does not vote.
        public static var standby: Role { Role(rawValue: 1) }
        /// It receives nothing until it is promoted.
        public static var spare: Role { Role(rawValue: 2) }

        public var description: String {
            switch self.rawValue {
            case 0: "voter"
            case 1: "standby"
            case 2: "spare"
            default: "role \(self.rawValue)"
            }
        }
    }

    /// Its number in the cluster.
    public var id: UInt64
    /// Where it listens, as it announced it.
    public var address: String
    /// What it does; nil when the node that was asked did not say.
    public var role: Role?
}

/// What a node says about itself.
public struct DqliteNodeMetadata: Hashable, Sendable {
    /// What it is likely to fail together with.
    public var failureDomain: UInt64
    /// Of two candidates for a role the one with the lower weight is taken.
    public var weight: UInt64
}

/// A file of a database.
public struct DqliteFile: Hashable, Sendable {
    /// Its name.
    public var name: String
    /// Its content.
    public var content: ByteBuffer
}

extension DqliteConnection {
    /// Who leads the cluster, as far as this node knows; nil when it does not.
    public func leader(
        options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteServer? {
        let response = try await self.ask(
            LeaderRequest(), as: Request.Body.leader, for: ServerResponse.self, options, file, line)
        if response.serverID == 0, response.address.isEmpty { return nil }
        return DqliteServer(id: response.serverID, address: response.address, role: nil)
    }

    /// The nodes of the cluster, as far as this one knows.
    public func cluster(
        options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> [DqliteServer] {
        let response = try await self.ask(
            ClusterRequest(format: 1), as: Request.Body.cluster, for: ServersResponse.self, options, file, line)
        return response.servers.map {
            DqliteServer(
                id: $0.serverID, address: $0.address, role: DqliteServer.Role(rawValue: UInt32($0.role.rawValue)))
        }
    }

    /// Asks the leader to let another node lead. What it has begun is committed before, or fails.
    ///
    /// - Parameter id: The voter that is to lead; nil: any that is up to date.
    public func transferLeadership(
        to id: UInt64? = nil, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) {
        _ = try await self.ask(
            TransferRequest(serverID: id ?? 0), as: Request.Body.transfer, for: EmptyResponse.self, options, file, line)
    }

    /// What this node says about itself.
    public func describe(
        options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteNodeMetadata {
        let response = try await self.ask(
            DescribeRequest(), as: Request.Body.describe, for: MetadataResponse.self, options, file, line)
        return DqliteNodeMetadata(failureDomain: response.failureDomain, weight: response.weight)
    }

    /// The files of a database, as SQLite can open them. They come in one frame, which the configuration limits.
    ///
    /// - Parameter database: Its name; nil: the one of this connection.
    public func dump(
        _ database: String? = nil, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> [DqliteFile] {
        let response = try await self.ask(
            DumpRequest(name: database ?? self.database), as: Request.Body.dump, for: FilesResponse.self, options,
            file, line)
        return response.files.map { DqliteFile(name: $0.name, content: ByteBuffer(bytes: $0.content)) }
    }

    /// Asks for something that no session is needed for, and that therefore waits for none.
    private func ask<Message: RequestOfClient, Answer: ResponseMessage>(
        _ message: Message, as wrap: (Message) -> Request.Body, for answer: Answer.Type,
        _ options: DqliteCallOptions, _ file: String, _ line: Int
    ) async throws(DqliteError) -> Answer {
        do throws(DqliteError) {
            try self.checkOpen()
            let requester = Requester(link: self.link, configuration: self.configuration, sessionID: 0)
            return try await requester.call(message, as: wrap, for: answer, options: options)
        } catch {
            throw error.at(file: file, line: line)
        }
    }
}
