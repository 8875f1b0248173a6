import DqliteClient
import DqliteNode
import DqliteTesting
import Foundation
import Logging
import NIOCore
import Synchronization
import Testing

/// Whole nodes, with real sockets and disks, in one process.
@Suite(.serialized) struct ClusterTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func withClient<Value: Sendable>(
        _ cluster: DqliteTestCluster, callTimeout: Duration = .seconds(60),
        _ body: (DqliteClient) async throws -> Value
    ) async throws -> Value {
        let seeds = cluster.addresses.map { DqliteServerAddress.hostname($0.host, port: $0.port) }
        var configuration = DqliteClientConfiguration(seeds: seeds, database: "test")
        configuration.callTimeout = callTimeout
        return try await DqliteClient.withClient(configuration: configuration, logger: Self.logger, body)
    }

    private static func count(_ client: DqliteClient) async throws -> Int64 {
        for try await row in try await client.query("SELECT count(*) FROM t") { return try row.decode(Int64.self) }
        return -1
    }

    private static func expectEqualDatabases(_ cluster: DqliteTestCluster) async throws {
        try await cluster.waitUntilEqual()
        var dumps: Set<ByteBuffer> = []
        for id in cluster.ids { dumps.insert(try await #require(cluster.node(id)).dump(database: "test")) }
        #expect(dumps.count == 1)
    }

    @Test(.timeLimit(.minutes(2))) func nodesJoinInTheirRoles() async throws {
        try await DqliteTestCluster.with { cluster in
            try await cluster.start(4, role: .standby)
            try await cluster.start(5, role: .spare)
            let leader = try #require(cluster.node(try await cluster.leader()))
            while leader.status?.servers.first(where: { $0.id == 4 })?.role != .standby
                || leader.status?.servers.contains(where: { $0.id == 5 }) != true
            { try await Task.sleep(for: .milliseconds(5)) }
            let roles = try #require(leader.status).servers.map(\.role)
            #expect(roles == [.voter, .voter, .voter, .standby, .spare])
        }
    }

    @Test(.timeLimit(.minutes(2))) func aStoppedLeaderIsReplacedAndComesBack() async throws {
        try await DqliteTestCluster.with { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                let old = try await cluster.leader()
                await cluster.stop(old)
                for index in 0..<20 { _ = try await client.execute("INSERT INTO t VALUES (\(Int64(index)))") }
                #expect(try await cluster.leader() != old)
                try await cluster.start(old)
                #expect(try await Self.count(client) == 20)
                try await Self.expectEqualDatabases(cluster)
            }
        }
    }

    /// A planned handover leaves nobody in doubt (rule 30): 64 writers through 20 transfers.
    @Test(.timeLimit(.minutes(4))) func transfersLeaveNoWriteInDoubt() async throws {
        try await DqliteTestCluster.with { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                let end = End()
                let written = try await withThrowingTaskGroup(of: Int.self) { group in
                    for _ in 0..<64 {
                        group.addTask {
                            var count = 0
                            while !end.hasCome {
                                _ = try await client.execute("INSERT INTO t VALUES (1)")
                                count += 1
                                end.note()
                            }
                            return count
                        }
                    }
                    for _ in 0..<20 {
                        let leader = try await cluster.leader()
                        try await end.waitForNotes(64)
                        try await cluster.node(leader)?.transferLeadership()
                        _ = try await cluster.leader(except: leader)
                    }
                    end.come()
                    return try await group.reduce(0, +)
                }
                #expect(written >= 20 * 64)
                #expect(try await Self.count(client) == Int64(written))
                try await Self.expectEqualDatabases(cluster)
            }
        }
    }

    /// A leader that is cut off answers no read with what is old, and no write with what was never committed.
    @Test(.timeLimit(.minutes(2))) func aLeaderThatIsCutOffTellsNothingOld() async throws {
        try await DqliteTestCluster.with { cluster in
            let old = try await cluster.leader()
            let address = cluster.addresses[Int(old) - 1]
            let seed = DqliteServerAddress.hostname(address.host, port: address.port)
            var configuration = DqliteConnectionConfiguration()
            configuration.callTimeout = .seconds(60)
            let patient = configuration
            try await DqliteConnection.withConnection(
                to: seed, database: "test", configuration: patient, logger: Self.logger
            ) { connection in
                _ = try await connection.execute("CREATE TABLE t (a)")
                cluster.cut(old)
                // It may not know yet that nobody hears it.
                let error = await #expect(throws: DqliteError.self) {
                    _ = try await connection.execute("INSERT INTO t VALUES (1)")
                }
                #expect(error?.outcome != .committed)
                let successor = try await cluster.leader(except: old)
                #expect(successor != old)
                await #expect(throws: DqliteError.self) {
                    for try await _ in try await connection.query("SELECT count(*) FROM t") {}
                }
            }
            cluster.heal(old)
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("INSERT INTO t VALUES (2)")
                try await Self.expectEqualDatabases(cluster)
            }
        }
    }

    /// A follower shows what is not older than asked for (rule 29), and nothing once it cannot know that.
    @Test(.timeLimit(.minutes(2))) func aFollowerIsReadWithinABound() async throws {
        try await DqliteTestCluster.with { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                let leader = try await cluster.leader()
                let follower = try #require(cluster.ids.first { $0 != leader })
                let address = cluster.addresses[Int(follower) - 1]
                let node = DqliteServerAddress.hostname(address.host, port: address.port)
                await #expect(throws: DqliteError.self) {
                    _ = try await DqliteConnection.connect(to: node, database: "test", logger: Self.logger)
                }
                var configuration = DqliteConnectionConfiguration()
                configuration.readConsistency = .stale(maximumLag: .zero)
                configuration.callTimeout = .seconds(60)
                try await DqliteConnection.withConnection(
                    to: node, database: "test", configuration: configuration, logger: Self.logger
                ) { connection in
                    for count in 1...50 {
                        _ = try await client.execute("INSERT INTO t VALUES (1)")
                        let rows = try await connection.query("SELECT count(*) FROM t").decode(Int.self).collect()
                        #expect(rows == [count])
                    }
                    let refused = await #expect(throws: DqliteError.self) {
                        _ = try await connection.execute("INSERT INTO t VALUES (2)")
                    }
                    #expect(refused?.outcome == .notCommitted)
                    let elsewhere = await #expect(throws: DqliteError.self) {
                        _ = try await connection.query(
                            "SELECT count(*) FROM t", options: .init(readConsistency: .linearizable))
                    }
                    #expect(elsewhere?.code == .notLeader)
                    cluster.cut(follower)
                    let old = await #expect(throws: DqliteError.self) {
                        _ = try await connection.query("SELECT count(*) FROM t")
                    }
                    #expect(old?.outcome == .notCommitted)
                    // What it has is not older than an hour.
                    let rows = try await connection.query(
                        "SELECT count(*) FROM t", options: .init(readConsistency: .stale(maximumLag: .seconds(3600)))
                    ).decode(Int.self).collect()
                    #expect(rows == [50])
                    cluster.heal(follower)
                }
            }
        }
    }

    /// There is nobody to hand over to, and nobody who could be elected.
    @Test(.timeLimit(.minutes(1))) func aLeaderWithoutAMajorityStops() async throws {
        try await DqliteTestCluster.with { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                let leader = try await cluster.leader()
                for id in cluster.ids where id != leader { await cluster.stop(id) }
                await cluster.stop(leader)
            }
        }
    }

    @Test(.timeLimit(.minutes(2))) func aNodeLeaves() async throws {
        try await DqliteTestCluster.with { cluster in
            let leader = try await cluster.leader()
            try await #require(cluster.node(leader)).leave()
            let successor = try await cluster.leader(except: leader)
            let servers = try #require(cluster.node(successor)?.status).servers
            #expect(!servers.contains { $0.id == leader })
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                #expect(try await Self.count(client) == 0)
            }
        }
    }

    @Test(.timeLimit(.minutes(2))) func aFollowerLeaves() async throws {
        try await DqliteTestCluster.with { cluster in
            let leader = try await cluster.leader()
            // Not the first of the members, whom the leader names one after the other.
            let follower: UInt64 = leader == 3 ? 2 : 3
            try await #require(cluster.node(follower)).leave()
            let servers = try #require(cluster.node(leader)?.status).servers
            #expect(!servers.contains { $0.id == follower })
        }
    }

    /// A node that was removed and goes on running hears nothing any more, and lets the others be.
    @Test(.timeLimit(.minutes(2))) func aRemovedNodeDisturbsNobody() async throws {
        try await DqliteTestCluster.with { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a)")
                let leader = try await cluster.leader()
                let removed: UInt64 = leader == 3 ? 2 : 3
                let node = try #require(cluster.node(leader))
                let term = try #require(node.status).term
                try await #require(cluster.node(removed)).leave()
                for _ in 0..<300 { _ = try await client.execute("INSERT INTO t VALUES (1)") }
                let status = try #require(node.status)
                #expect(status.isServing && status.term == term)
                #expect(!status.servers.contains { $0.id == removed })
                #expect(try await Self.count(client) == 300)
            }
        }
    }

    /// Elections are far, so that it is not for them that a write ends which no majority gets.
    @Test(.timeLimit(.minutes(2))) func aWriteWithoutAMajorityIsOfUnknownOutcome() async throws {
        try await DqliteTestCluster.with { configuration in
            configuration.consensus.electionTimeout = .seconds(20)
            configuration.consensus.commitTimeout = .milliseconds(300)
        } _: { cluster in
            let leader = try await cluster.leader()
            let address = cluster.addresses[Int(leader) - 1]
            var configuration = DqliteConnectionConfiguration()
            configuration.callTimeout = .seconds(60)
            try await DqliteConnection.withConnection(
                to: .hostname(address.host, port: address.port), database: "test", configuration: configuration,
                logger: Self.logger
            ) { connection in
                _ = try await connection.execute("CREATE TABLE t (a)")
                cluster.cut(leader)
                let began = ContinuousClock.now
                let error = await #expect(throws: DqliteError.self) {
                    _ = try await connection.execute("INSERT INTO t VALUES (1)")
                }
                #expect(error?.outcome == .unknown)
                let waited = began.duration(to: .now)
                #expect(waited >= .milliseconds(300) && waited < .seconds(15))
                cluster.heal(leader)
            }
        }
    }

    /// What a follower misses that the log has no more comes as a copy, while others write.
    @Test(.timeLimit(.minutes(4))) func aFollowerFarBehindGetsACopy() async throws {
        let log = RecordedLog()
        try await DqliteTestCluster.with(logger: Logger(label: "test") { _ in log }) { configuration in
            configuration.storage.maximumLogSize = 128 << 20
        } _: { cluster in
            try await Self.withClient(cluster) { client in
                _ = try await client.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
                let leader = try await cluster.leader()
                let follower = try #require(cluster.ids.first { $0 != leader })
                await cluster.stop(follower)
                for index in 0..<48 {
                    _ = try await client.execute(
                        "REPLACE INTO t VALUES (\(Int64(index % 4)), randomblob(4000000))")
                }
                try await cluster.start(follower)
                for index in 0..<20 { _ = try await client.execute("REPLACE INTO t VALUES (\(Int64(index)), NULL)") }
                try await Self.expectEqualDatabases(cluster)
                #expect(try await Self.count(client) == 20)
                #expect(log.events.withLock { $0.contains { $0.message.hasPrefix("A member has a copy") } })
            }
        }
    }

    @Test(.timeLimit(.minutes(2))) func aClusterIsMadeOfSeveralAndRecoveredFromOne() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-\(UUID())").path
        defer { try? FileManager.default.removeItem(atPath: directory) }
        var configuration = DqliteNodeConfiguration(
            address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: directory)
        configuration.id = 3
        let own = DqliteServer(id: 3, address: NodeAddress(host: "127.0.0.1", port: 1))
        let other = DqliteServer(id: 4, address: NodeAddress(host: "127.0.0.1", port: 2))
        try await DqliteNode(configuration: configuration, logger: Self.logger).bootstrap(servers: [own, other])
        let error = await #expect(throws: DqliteNodeError.self) {
            try await DqliteNode(configuration: configuration, logger: Self.logger).bootstrap(servers: [own])
        }
        #expect(error?.code == .configurationExists)
        // The other is lost; the one that is left becomes a cluster of its own.
        try await DqliteNode(configuration: configuration, logger: Self.logger).recover(servers: [own])
        let node = DqliteNode(configuration: configuration, logger: Self.logger)
        let task = Task { try await node.run() }
        _ = try await node.waitUntilReady()
        #expect(node.status?.isServing == true)
        #expect(node.status?.servers == [own])
        task.cancel()
        _ = await task.result
    }
}

/// For tasks that go on until something else is done, and what they have done.
private final class End: Sendable {
    private let state = Mutex((hasCome: false, notes: 0))

    var hasCome: Bool { self.state.withLock { $0.hasCome } }

    func come() { self.state.withLock { $0.hasCome = true } }

    func note() { self.state.withLock { $0.notes += 1 } }

    /// Returns when so many more notes were made.
    func waitForNotes(_ count: Int) async throws {
        let target = self.state.withLock { $0.notes } + count
        while self.state.withLock({ $0.notes }) < target { try await Task.sleep(for: .milliseconds(1)) }
    }
}
