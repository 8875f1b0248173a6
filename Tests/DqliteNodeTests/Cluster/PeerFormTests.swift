import DqliteClient
import DqliteTesting
import Logging
import NIOCore
import Synchronization
import Testing

@testable import DqliteNode

extension ClusterTests {
    /// Clusters of which members speak the C form to each other.
    @Suite(.serialized) struct PeerFormTests {
        private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

        private static func withClient<Value: Sendable>(
            _ cluster: DqliteTestCluster, _ body: (DqliteClient) async throws -> Value
        ) async throws -> Value {
            let seeds = cluster.addresses.map { DqliteServerAddress.hostname($0.host, port: $0.port) }
            var configuration = DqliteClientConfiguration(seeds: seeds, database: "test")
            configuration.callTimeout = .seconds(60)
            return try await DqliteClient.withClient(configuration: configuration, logger: Self.logger, body)
        }

        /// The one member that is spoken to in the C form, and learns of it by that; it must not lead, as nobody would answer its
        /// rounds.
        private static let foreign: UInt64 = 3

        private static func with(
            _ log: RecordedLog = RecordedLog(), _ body: (DqliteTestCluster, DqliteClient) async throws -> Void
        ) async throws {
            try await DqliteTestCluster.with(logger: Logger(label: "test") { _ in log }) { configuration in
                configuration.storage.maximumLogSize = 128 << 20
                configuration.takesCForm = true
                if configuration.id != Self.foreign { configuration.peerForms = [Self.foreign: .c] }
            } _: { cluster in
                try await Self.withClient(cluster) { client in
                    _ = try await client.execute("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
                    let leader = try await cluster.leader()
                    if leader == Self.foreign {
                        try await cluster.node(leader)?.transferLeadership()
                        _ = try await cluster.leader(except: leader)
                    }
                    try await body(cluster, client)
                }
            }
        }

        private static func expectEqualDatabases(_ cluster: DqliteTestCluster) async throws {
            try await cluster.waitUntilEqual()
            var dumps: Set<ByteBuffer> = []
            for id in cluster.ids { dumps.insert(try await #require(cluster.node(id)).dump(database: "test")) }
            #expect(dumps.count == 1)
        }

        /// Also those above a MiB, which nodes of ours send in parts. With the third member away nothing is committed but by answers in
        /// the C form.
        @Test(.timeLimit(.minutes(2))) func entriesTravelInTheCForm() async throws {
            try await Self.with { cluster, client in
                let leader = try await cluster.leader()
                let other = try #require(cluster.ids.first { $0 != Self.foreign && $0 != leader })
                await cluster.stop(other)
                for size in [10, 4_000_000, 10] {
                    _ = try await client.execute("INSERT INTO t (b) VALUES (randomblob(\(Int64(size))))")
                }
                try await cluster.start(other)
                try await Self.expectEqualDatabases(cluster)
            }
        }

        /// What the member misses that the log has no more comes as one message, while others write.
        @Test(.timeLimit(.minutes(4))) func aFollowerFarBehindGetsACopyInOneMessage() async throws {
            let log = RecordedLog()
            try await Self.with(log) { cluster, client in
                await cluster.stop(Self.foreign)
                for index in 0..<48 {
                    _ = try await client.execute("REPLACE INTO t VALUES (\(Int64(index % 4)), randomblob(4000000))")
                }
                try await cluster.start(Self.foreign)
                for index in 0..<20 { _ = try await client.execute("REPLACE INTO t VALUES (\(Int64(index)), NULL)") }
                try await Self.expectEqualDatabases(cluster)
                // Who has sent it learns of it by what it is told of entries.
                while !log.events.withLock({ $0.contains { $0.message.hasPrefix("A member has a copy") } }) {
                    try await Task.sleep(for: .milliseconds(5))
                }
                let copies = log.events.withLock { $0.filter { $0.message.hasPrefix("A member lags behind the log") } }
                #expect(!copies.isEmpty && copies.allSatisfy { $0.metadata["dqlite.form"] == "c" })
            }
        }
    }
}
