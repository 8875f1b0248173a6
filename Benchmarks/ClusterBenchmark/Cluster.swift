import BenchmarkSupport
import DqliteClient
import DqliteProtocol
import Foundation
import Logging
import NIOPosix

/// Nodes of one kind, a process each, that are one cluster.
final class Cluster {
    let implementation: Implementation
    let nodes: [ClusterNode]
    let requests: NodeRequests
    /// How often a node ended that nobody had ended.
    private(set) var crashes = 0
    private let group: MultiThreadedEventLoopGroup
    private let clock = ContinuousClock()

    /// Something did not happen in time.
    struct TimedOut: Error { var what: String }

    private init(_ implementation: Implementation, nodes: [ClusterNode], group: MultiThreadedEventLoopGroup) {
        self.implementation = implementation
        self.nodes = nodes
        self.group = group
        self.requests = NodeRequests(group: group)
    }

    /// Starts a node that begins a cluster, and others that become voters in it.
    static func start(
        _ implementation: Implementation, nodes count: Int, in directory: URL, group: MultiThreadedEventLoopGroup
    ) async throws -> Cluster {
        let ports = FreePorts.find(count)
        let first = "127.0.0.1:\(ports[0])"
        let nodes = ports.enumerated().map { index, port in
            ClusterNode(
                implementation, id: UInt64(index + 1), port: port, first: index == 0 ? nil : first, in: directory)
        }
        let cluster = Cluster(implementation, nodes: nodes, group: group)
        do {
            for node in nodes {
                try node.start()
                let leader = try await cluster.leader()
                guard node.id != 1, !implementation.joinsByItself else { continue }
                try await cluster.requests.add(id: node.id, address: node.address, through: leader.port)
                try await cluster.requests.promote(id: node.id, through: leader.port)
            }
            try await cluster.waitForVoters()
        } catch {
            for node in nodes where node.id != 1 || !node.isRunning {
                say("node \(node.id) of \(implementation.rawValue):\n\(node.lastWords())")
            }
            cluster.stop()
            throw error
        }
        return cluster
    }

    func stop() {
        // The others first: a leader that stops last has nobody to give the cluster to, and no election is held.
        for node in self.nodes.reversed() where !node.stop() {
            say("  node \(node.id) of \(self.implementation.rawValue) did not stop as it should:\n\(node.lastWords())")
        }
    }

    /// Starts what has ended by itself.
    ///
    /// - Returns: Whether something had.
    func restartCrashed() throws -> Bool {
        let crashed = self.nodes.filter { !$0.isRunning }
        for node in crashed {
            self.crashes += 1
            say("  node \(node.id) of \(self.implementation.rawValue) has crashed:\n\(node.lastWords())")
            try node.start()
        }
        return !crashed.isEmpty
    }

    // MARK: Who leads

    /// The node that says that it leads. Waits for one.
    func leader() async throws -> ClusterNode {
        let end = self.clock.now + .seconds(60)
        while self.clock.now < end {
            if let port = await self.requests.leader(among: self.nodes.filter(\.isRunning).map(\.port)) {
                return self.nodes.first { $0.port == port }!
            }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw TimedOut(what: "no node of \(self.implementation.rawValue) leads")
    }

    /// Waits until the leader counts all nodes among the voters and all of them know it.
    func waitForVoters() async throws {
        let end = self.clock.now + .seconds(60)
        while self.clock.now < end {
            let leader = try await self.leader()
            let servers = try? await self.requests.servers(accordingTo: leader.port)
            var know = 0
            for node in self.nodes where try await self.knows(node, leader) { know += 1 }
            if know == self.nodes.count, servers?.filter({ $0.role == .voter }).count == self.nodes.count { return }
            try await Task.sleep(for: .milliseconds(50))
        }
        throw TimedOut(what: "not all nodes of \(self.implementation.rawValue) became voters")
    }

    private func knows(_ node: ClusterNode, _ leader: ClusterNode) async throws -> Bool {
        guard let address = try? await self.requests.leader(accordingTo: node.port) else { return false }
        return address == leader.address
    }

    // MARK: What clients do

    /// A connection to the leader, with the dqlite encoding whosever node it is.
    func connect() async throws -> DqliteConnection {
        try await Self.connect(to: try await self.leader().port, group: self.group)
    }

    static let database = "benchmark.db"

    static func connect(
        to port: Int, database: String = Cluster.database, group: MultiThreadedEventLoopGroup
    ) async throws -> DqliteConnection {
        var configuration = DqliteConnectionConfiguration(encoding: .dqlite)
        configuration.callTimeout = .seconds(30)
        return try await DqliteConnection.connect(
            to: .hostname("127.0.0.1", port: port), database: database, configuration: configuration,
            eventLoopGroup: group, logger: Logger(label: "cluster-benchmark"))
    }

    // MARK: What the nodes need

    /// Seconds, of all nodes.
    var processorTime: Double { self.nodes.reduce(0) { $0 + $1.processorTime } }
}

extension NodeRequests {
    /// The node that says that it leads.
    func leader(among ports: [Int]) async -> Int? {
        for port in ports where (try? await self.leader(accordingTo: port)) == "127.0.0.1:\(port)" { return port }
        return nil
    }
}
