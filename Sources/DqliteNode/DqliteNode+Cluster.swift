import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
public import NIOCore
import Synchronization

/// A member of a cluster.
public struct DqliteServer: Hashable, Sendable {
    public var id: UInt64
    /// Where clients and other nodes reach it.
    public var address: NodeAddress
    public var role: DqliteNodeConfiguration.Role

    public init(id: UInt64, address: NodeAddress, role: DqliteNodeConfiguration.Role = .voter) {
        self.id = id
        self.address = address
        self.role = role
    }
}

extension DqliteNode {
    /// What a node knows of itself and its cluster.
    public struct Status: Hashable, Sendable {
        /// The leader's id; nil: this node knows of none.
        public var leader: UInt64?
        public var term: UInt64
        /// Whether this node leads and serves clients.
        public var isServing: Bool
        /// Everything up to this entry is in the databases of this node.
        public var appliedIndex: UInt64
        /// Everything up to this entry is durable in the log of this node.
        public var durableIndex: UInt64
        /// The members, as this node knows them.
        public var servers: [DqliteServer]
    }

    /// What the node knows now; nil when it does not run.
    public var status: Status? {
        guard let member = self.member.withLock({ $0 }) else { return nil }
        let view = member.driver.view
        return Status(
            leader: view.leader?.rawValue, term: view.term.rawValue, isServing: member.driver.isServing,
            appliedIndex: member.driver.applier.applied.rawValue, durableIndex: member.driver.durableIndex.rawValue,
            servers: view.configuration.servers.compactMap { server in
                NodeAddress(server.address).map {
                    DqliteServer(id: server.id.rawValue, address: $0, role: .init(server.role))
                }
            })
    }

    /// Who leads, as far as the node knows.
    public struct Leadership: Hashable, Sendable {
        /// The leader's id; nil: there is none.
        public var leader: UInt64?
        public var term: UInt64
        /// Whether this node leads and serves clients.
        public var isServing: Bool
    }

    /// What is known of the leader now, and every change of it; whoever is slow gets the newest only. Ends when the node stops.
    ///
    /// - Throws: ``DqliteNodeError/Code/stopped`` when the node does not run.
    public func leadershipChanges() throws(DqliteNodeError) -> AsyncStream<Leadership> {
        try self.running().watchers.watch()
    }

    /// Hands leadership to another voter, if this node has it. Writes that were begun before are committed first; nobody's is lost.
    ///
    /// - Parameter id: The voter; nil: the one that has most of the log.
    /// - Throws: ``DqliteNodeError/Code/cluster`` when this node does not lead, or nobody took over.
    public func transferLeadership(to id: UInt64? = nil) async throws(DqliteNodeError) {
        let member = try self.running()
        do throws(EngineError) {
            try await member.handOver(to: id.map { NodeID($0) })
        } catch {
            throw DqliteNodeError(.cluster, error.message)
        }
    }

    /// Is a member of the cluster no more, once this returns. The node goes on to run, and knows nothing new from then on.
    ///
    /// - Throws: ``DqliteNodeError/Code/stopped``, or `CancellationError`; otherwise it tries until it is done.
    public func leave() async throws {
        let member = try self.running()
        let view = member.driver.view
        if view.role == .leader, !member.isAlone { try? await self.transferLeadership() }
        let others = view.configuration.servers.filter { $0.id != member.id }.map(\.address)
        guard !others.isEmpty else { return }
        try await self.joining(member).leave(others)
    }

    /// Copies a database of this node, with all that is committed as far as the node knows, in memory.
    ///
    /// - Throws: ``DqliteNodeError/Code/engine`` when there is none of that name, or when it is too large for that.
    public func dump(database: String) async throws(DqliteNodeError) -> ByteBuffer {
        let member = try self.running()
        guard let engine = member.engines.engine else {
            throw DqliteNodeError(.engine, EngineError.isReceiving.message)
        }
        let result = await withCheckedContinuation { continuation in
            engine.dump(database: database) { continuation.resume(returning: $0) }
        }
        switch result {
        case .success(let files): return ByteBuffer(bytes: files.files.first?.content ?? [])
        case .failure(let error): throw DqliteNodeError(.engine, error.message)
        }
    }

    private func running() throws(DqliteNodeError) -> Member {
        guard let member = self.member.withLock({ $0 }) else {
            throw DqliteNodeError(.stopped, "the node does not run")
        }
        return member
    }

    // MARK: Before the node runs

    /// Makes a cluster of these servers, of which this node is one. Each of them has to be given the same servers. To be
    /// called before ``run()``, in place of ``DqliteNodeConfiguration/start``.
    ///
    /// - Throws: ``DqliteNodeError/Code/configurationExists`` when the data directory knows of a cluster already.
    public func bootstrap(servers: [DqliteServer]) async throws {
        try await self.write(servers) { log, configuration in
            guard log.isPristine else {
                throw DqliteNodeError(
                    .configurationExists,
                    "\(self.configuration.dataDirectory) belongs to a member of a cluster already: start it as it is")
            }
            try log.bootstrap(configuration)
        }
    }

    /// Makes this node a member of a cluster of these servers, whatever it was a member of before: for when a majority of
    /// the voters is lost for ever. Start with the node that has most of the log; what only others had is lost. Every other
    /// server must start with a copy of its data directory, or with an empty one.
    ///
    /// - Throws: ``DqliteNodeError`` when the data directory is in use, or knows of no cluster.
    public func recover(servers: [DqliteServer]) async throws {
        try await self.write(servers) { log, configuration in
            let status = log.status
            guard status.lastIndex > .zero else {
                throw DqliteNodeError(
                    .dataDirectory, "\(self.configuration.dataDirectory) holds no data of a member of a cluster")
            }
            // A term of its own: what others may have proposed in the last one is something else.
            let term = Term(max(log.hardState.term, status.lastTerm).rawValue + 1)
            try log.save(HardState(term: term))
            try log.appendAndWait([
                Entry(index: status.lastIndex.next, term: term, kind: .configuration, data: configuration.encoded())
            ])
        }
    }

    private func write(
        _ servers: [DqliteServer], _ body: @escaping @Sendable (Log, Configuration) throws -> Void
    ) async throws {
        guard !self.wasRun.load(ordering: .relaxed) else {
            throw DqliteNodeError(.stopped, "the node runs, or was run before: this comes before that")
        }
        guard servers.contains(where: { $0.role == .voter }) else {
            throw DqliteNodeError(.invalidConfiguration, "none of the servers is a voter")
        }
        guard servers.contains(where: { $0.id == self.configuration.id }) else {
            throw DqliteNodeError(
                .invalidConfiguration, "this node, \(self.configuration.id), is not among the servers")
        }
        guard Set(servers.map(\.id)).count == servers.count, !servers.contains(where: { $0.id == 0 }),
            Set(servers.map(\.address)).count == servers.count
        else {
            throw DqliteNodeError(.invalidConfiguration, "two servers have one id or one address, or an id is zero")
        }
        let members = Configuration(
            servers: servers.map {
                Configuration.Server(id: NodeID($0.id), address: $0.address.description, role: $0.role.server)
            })
        let own = servers.first { $0.id == self.configuration.id }?.address.description ?? ""
        try await Self.blocking { [configuration = self.configuration] in
            let directory = try DataDirectory(path: configuration.dataDirectory)
            try directory.check(belongsTo: configuration.id)
            try directory.setIdentity(nodeID: configuration.id, address: own)
            do {
                let log = try Log(directory: directory.log, configuration: configuration.log)
                defer { log.close() }
                try body(log, members)
            } catch let error as LogError {
                throw DqliteNodeError(.dataDirectory, "the log cannot be written: \(error)")
            }
            withExtendedLifetime(directory) {}
        }
    }
}

extension DqliteNodeConfiguration.Role {
    init(_ role: Configuration.Role) {
        switch role {
        case .voter: self = .voter
        case .standBy: self = .standby
        case .spare: self = .spare
        }
    }
}
