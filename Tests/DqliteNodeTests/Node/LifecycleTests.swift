import DqliteFraming
import DqliteNode
import DqliteProtocol
import Foundation
import Logging
import NIOCore
import ServiceLifecycle
import Synchronization
import Testing

/// Starts and ends of nodes.
@Suite(.timeLimit(.minutes(2)))
struct LifecycleTests {
    private let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private func startError(_ configuration: DqliteNodeConfiguration) async throws -> DqliteNodeError {
        let node = DqliteNode(configuration: configuration, logger: self.logger)
        let error = try await #require(throws: DqliteNodeError.self) { try await node.run() }
        // Those who wait are told the same.
        let waiting = try await #require(throws: DqliteNodeError.self) { try await node.waitUntilReady() }
        #expect(waiting == error)
        return error
    }

    @Test func whatCannotStart() async throws {
        try await withTemporaryDirectoryAsync { path in
            func configuration(_ host: String, port: Int = 0, directory: String? = nil) -> DqliteNodeConfiguration {
                DqliteNodeConfiguration(
                    address: NodeAddress(host: host, port: port), dataDirectory: directory ?? path + "/node")
            }
            #expect(try await self.startError(configuration("0.0.0.0")).code == .address)
            #expect(try await self.startError(configuration("no-such-host.invalid")).code == .address)
            #expect(try await self.startError(configuration("127.0.0.1", port: 70000)).code == .invalidConfiguration)
            #expect(
                try await self.startError(configuration("127.0.0.1", directory: path + "/a/b")).code == .dataDirectory)
            var zero = configuration("127.0.0.1")
            zero.id = 0
            #expect(try await self.startError(zero).code == .invalidConfiguration)
            var limits = configuration("127.0.0.1")
            limits.limits.frameSize = 1 << 40
            let error = try await self.startError(limits)
            #expect(error.code == .invalidConfiguration)
            #expect(error.message.contains("limits.frameSize"))
        }
    }

    @Test func addressInUseAndDirectoryInUse() async throws {
        try await withTemporaryDirectoryAsync { path in
            try await withNode(in: path + "/node") { node in
                let sameAddress = DqliteNodeConfiguration(address: node.address, dataDirectory: path + "/other")
                let error = try await self.startError(sameAddress)
                #expect(error.code == .address)
                #expect(error.message.contains("in use"))
                let sameDirectory = DqliteNodeConfiguration(
                    address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: path + "/node")
                #expect(try await self.startError(sameDirectory).code == .locked)
            }
        }
    }

    @Test func dataOutlivesTheNode() async throws {
        try await withTemporaryDirectoryAsync { path in
            try await withNode(in: path + "/node") { node in
                try await node.opened { connection in
                    try await connection.exec("CREATE TABLE t (x)")
                    try await connection.exec("INSERT INTO t VALUES (1)")
                    try await connection.exec("BEGIN IMMEDIATE")
                    try await connection.exec("INSERT INTO t VALUES (2)")
                    // The node shuts down with the transaction open: it is rolled back.
                    await node.group.triggerGracefulShutdown()
                    #expect(await connection.isClosed())
                }
            }
            try await withNode(in: path + "/node") { node in
                try await node.opened { connection in
                    let values = try await connection.query("SELECT x FROM t")
                    #expect(values == [.integer(1)])
                }
            }
            var other = DqliteNodeConfiguration(
                address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: path + "/node")
            other.id = 2
            #expect(try await self.startError(other).code == .identity)
        }
    }

    @Test func damagedLogIsNamedAndLeftAsItIs() async throws {
        try await withTemporaryDirectoryAsync { path in
            let directory = path + "/node"
            try await withNode(in: directory) { node in
                try await node.opened { connection in
                    try await connection.exec("CREATE TABLE t (x)")
                    try await connection.exec("INSERT INTO t VALUES (1)")
                }
            }
            let segment = directory + "/log/segment-0000000000000001"
            let file = try #require(FileHandle(forUpdatingAtPath: segment))
            try file.seek(toOffset: 3000)
            let byte = try #require(try file.read(upToCount: 1)?.first)
            try file.seek(toOffset: 3000)
            try file.write(contentsOf: Data([byte ^ 1]))
            try file.close()
            func contents() throws -> [String: Data] {
                let names = try #require(FileManager.default.enumerator(atPath: directory)).compactMap { $0 as? String }
                return Dictionary(
                    uniqueKeysWithValues: names.map {
                        ($0, FileManager.default.contents(atPath: "\(directory)/\($0)") ?? Data())
                    })
            }
            let before = try contents()
            for _ in 0..<2 {
                let configuration = DqliteNodeConfiguration(
                    address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: directory)
                let error = try await self.startError(configuration)
                #expect(error.code == .engine)
                #expect(error.message.contains("segment-0000000000000001 is damaged at byte "))
            }
            #expect(try contents() == before)
        }
    }

    @Test func shutdownLetsWhatRunsEnd() async throws {
        try await withNode { node in
            try await node.opened { holder in
                try await holder.exec("CREATE TABLE t (x)")
                // About a second of work, so that it runs when the node is told to stop.
                let sql =
                    "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 300000) SELECT count(*) FROM n"
                try await holder.send(QuerySQLRequest(sql: sql))
                await node.group.triggerGracefulShutdown()
                // Either the request was received before the shutdown, then it is answered, or the connection just ends.
                if let frame = try await holder.frame() {
                    #expect(try frame.message(RowsResponse.self).values == [.integer(300000)])
                }
                #expect(await holder.isClosed())
            }
        }
    }

    @Test func shutdownInterruptsWhatRunsTooLong() async throws {
        try await withNode {
            $0.timeouts.shutdown = .milliseconds(50)
        } _: { node in
            try await node.opened { connection in
                try await connection.send(QuerySQLRequest(sql: DqliteEncodingTests.manyRows))
                #expect(try await connection.answer(RowsResponse.self).more)
                await node.group.triggerGracefulShutdown()
                var last: DqliteFrame?
                while let frame = try await connection.frame() { last = frame }
                #expect(try last?.message(FailureResponse.self).code == FailureCode.interrupted)
            }
        }
    }

    @Test func cancellationEndsANodeAtOnce() async throws {
        try await withTemporaryDirectoryAsync { path in
            let node = DqliteNode(
                configuration: .init(address: .init(host: "localhost", port: 0), dataDirectory: path + "/node"),
                logger: self.logger)
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await node.run() }
                let address = try await node.waitUntilReady()
                try await TestConnection.with(address) { connection in
                    try await connection.send(ByteBuffer(integer: Preface.dqlite, endianness: .little))
                    #expect(try await connection.call(OpenRequest(name: "test")) == DatabaseResponse())
                    try await connection.send(QuerySQLRequest(sql: DqliteEncodingTests.endless))
                    tasks.cancelAll()
                    while try await connection.frame() != nil {}
                }
                try await tasks.waitForAll()
            }
            let error = try await #require(throws: DqliteNodeError.self) { try await node.run() }
            #expect(error.code == .stopped)
        }
    }

    @Test func waitingForReadinessCanBeCancelled() async throws {
        let node = DqliteNode(
            configuration: .init(address: .init(host: "localhost", port: 0), dataDirectory: "unused"),
            logger: self.logger)
        await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { _ = try await node.waitUntilReady() }
            tasks.cancelAll()
            await #expect(throws: CancellationError.self) { try await tasks.waitForAll() }
        }
    }

    @Test func nodeThatWaitsToBeAdded() async throws {
        try await withNode {
            $0.id = 2
        } _: { node in
            try await node.connected { connection in
                #expect(try await connection.call(LeaderRequest()) == ServerResponse())
                let failure: FailureResponse = try await connection.call(OpenRequest(name: "test"))
                #expect(failure.code == FailureCode.notLeader)
            }
        }
    }

    /// Requests leave no trace in the log of a node that does not trace.
    @Test func logsNothingPerRequest() async throws {
        let log = RecordedLog()
        var logger = Logger(label: "test") { _ in log }
        logger.logLevel = .trace
        try await withNode(logger: logger) { node in
            try await node.opened { connection in
                for _ in 0..<50 {
                    _ = try await connection.query("SELECT 1")
                    _ = try await connection.call(ExecSQLRequest(sql: "nonsense"), FailureResponse.self)
                }
            }
        }
        let levels = log.events.withLock { $0.map(\.level) }
        #expect(levels.count { $0 == .trace } >= 100)
        #expect(levels.count { $0 == .debug } < 10)
        #expect(levels.count { $0 > .debug } == 2)
    }
}
