import DqliteProtocol
import Logging
import Synchronization
import Testing

@testable import DqliteClient

/// Three nodes that say who leads. The leader's work is the test's.
final class FakeCluster: Sendable {
    struct State: Sendable {
        var addresses: [DqliteServerAddress] = []
        /// Who leads; nil: nobody does.
        var leader: Int?
        /// Who leads by each node that says something else.
        var claims: [Int: Int] = [:]
        /// Nodes that take connections and requests, and answer none.
        var silent: Set<Int> = []
        /// Requests of the database, and the node that they came to.
        var requests: [(node: Int, sql: String)] = []
        var leaderRequests = 0
    }

    let encoding: WireEncoding
    let state = Mutex(State())
    private let respond: @Sendable (FakeCluster, Int, FakeNode.Exchange) throws -> Void

    private init(
        _ encoding: WireEncoding, respond: @escaping @Sendable (FakeCluster, Int, FakeNode.Exchange) throws -> Void
    ) {
        self.encoding = encoding
        self.respond = respond
    }

    /// Runs `body` beside a cluster.
    ///
    /// - Parameter respond: What the leader does with SQL; followers refuse.
    static func with(
        _ encoding: WireEncoding, leader: Int? = 0,
        respond: @escaping @Sendable (FakeCluster, Int, FakeNode.Exchange) throws -> Void = { _, _, exchange in
            try exchange.answer(done)
        },
        _ body: (FakeCluster) async throws -> Void
    ) async throws {
        let cluster = FakeCluster(encoding, respond: respond)
        cluster.state.withLock { $0.leader = leader }
        func node(_ number: Int, _ body: (FakeNode) async throws -> Void) async throws {
            try await FakeNode.with(
                encoding, answersOpen: false, handling: { try cluster.handle($0, at: number) }, body)
        }
        try await node(0) { first in
            try await node(1) { second in
                try await node(2) { third in
                    cluster.state.withLock { $0.addresses = [first.address, second.address, third.address] }
                    try await body(cluster)
                }
            }
        }
    }

    private func handle(_ exchange: FakeNode.Exchange, at node: Int) throws -> Bool {
        let (leader, addresses) = self.state.withLock { state -> (Int?, [DqliteServerAddress]) in
            if state.silent.contains(node) { return (nil, []) }
            if let sql = exchange.sql { state.requests.append((node, sql)) }
            if case .leader = exchange.body { state.leaderRequests += 1 }
            return (state.claims[node] ?? state.leader, state.addresses)
        }
        if addresses.isEmpty { return true }
        switch exchange.body {
        case .leader:
            try exchange.answer(
                .server(
                    leader.map { ServerResponse(serverID: UInt64($0 + 1), address: addresses[$0].description) }
                        ?? ServerResponse()))
        case .cluster:
            let servers = addresses.enumerated().map {
                Server(serverID: UInt64($0.offset + 1), address: $0.element.description, role: .voter)
            }
            try exchange.answer(.servers(ServersResponse(servers: servers)))
        case .open: try exchange.answer(.database(DatabaseResponse()))
        case .closeSession: try exchange.answer(.empty(EmptyResponse()))
        default:
            if leader == node {
                try self.respond(self, node, exchange)
            } else {
                try exchange.answer(failure(10250, "not leader", .notCommitted))
            }
        }
        return true
    }

    /// Makes another node the leader.
    func elect(_ node: Int?) { self.state.withLock { $0.leader = node } }

    var requests: [String] { self.state.withLock { $0.requests.map { "\($0.node): \($0.sql)" } } }

    /// Runs a client of the cluster.
    func client(
        seeds: [Int] = [0, 1, 2], _ configure: (inout DqliteClientConfiguration) -> Void = { _ in },
        _ body: (DqliteClient) async throws -> Void
    ) async throws {
        let addresses = self.state.withLock { $0.addresses }
        var configuration = DqliteClientConfiguration.patient(seeds: seeds.map { addresses[$0] })
        configuration.connection.encoding = self.encoding.configured
        configuration.pollInterval = .milliseconds(2)
        configuration.retry.initialBackoff = .milliseconds(2)
        configuration.retry.maximumBackoff = .milliseconds(20)
        configure(&configuration)
        try await DqliteClient.withClient(configuration: configuration, logger: Logger(label: "test"), body)
    }
}

extension DqliteClientConfiguration {
    /// Waits longer than any test does that does not say otherwise.
    static func patient(seeds: [DqliteServerAddress], database: String = "test") -> Self {
        var configuration = Self(seeds: seeds, database: database)
        configuration.callTimeout = .seconds(60)
        configuration.probeTimeout = .seconds(60)
        configuration.livenessTimeout = .seconds(60)
        return configuration
    }
}
