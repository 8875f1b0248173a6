import DqliteProtocol
import Logging
import NIOCore
import Synchronization
import TestSupport
import Testing

@testable import DqliteClient

@Suite struct DqliteClientTests {
    @Test(arguments: bothEncodings)
    func `A statement goes to the leader, wherever the search begins`(_ encoding: WireEncoding) async throws {
        try await FakeCluster.with(encoding, leader: 2) { cluster in
            for seeds in [[0], [1, 0], [2], [0, 1, 2]] {
                try await cluster.client(seeds: seeds) { client in
                    try await client.execute("DELETE FROM t")
                    try await client.execute("DELETE FROM u")
                }
            }
            #expect(
                cluster.requests
                    == Array(repeating: ["2: DELETE FROM t", "2: DELETE FROM u"], count: 4).flatMap(\.self))
        }
    }

    @Test(arguments: bothEncodings)
    func `What a node refuses because it does not lead is done by the one that does`(
        _ encoding: WireEncoding
    ) async throws {
        try await FakeCluster.with(encoding, leader: 0) { cluster in
            try await cluster.client { client in
                try await client.execute("DELETE FROM t")
                cluster.elect(1)
                try await client.execute("DELETE FROM u")
                try await client.withTransaction { _ in }
                cluster.elect(2)
                var runs = 0
                try await client.withTransaction { transaction in
                    runs += 1
                    try await transaction.execute("DELETE FROM v")
                }
                #expect(runs == 1)
            }
            #expect(
                cluster.requests == [
                    "0: DELETE FROM t", "0: DELETE FROM u", "1: DELETE FROM u", "1: BEGIN IMMEDIATE", "1: COMMIT",
                    "1: BEGIN IMMEDIATE", "2: BEGIN IMMEDIATE", "2: DELETE FROM v", "2: COMMIT",
                ])
        }
    }

    @Test func `A leadership that was lost is no reason to try again, unless nothing was committed`() async throws {
        for outcome in [WriteOutcome.notCommitted, .unknown] {
            try await FakeCluster.with(
                .protobuf,
                respond: { cluster, node, exchange in
                    guard node == 0 else { return try exchange.answer(done) }
                    cluster.elect(1)
                    try exchange.answer(failure(10506, "leadership lost", outcome))
                },
                { cluster in
                    try await cluster.client { client in
                        if outcome == .unknown {
                            let error = await #expect(throws: DqliteError.self) {
                                try await client.execute("DELETE FROM t")
                            }
                            #expect(error?.code == .leadershipLost && error?.outcome == .unknown)
                            #expect(error?.sql == "DELETE FROM t")
                        } else {
                            try await client.execute("DELETE FROM t")
                        }
                        try await client.execute("DELETE FROM u")
                    }
                    let second = outcome == .unknown ? [] : ["1: DELETE FROM t"]
                    #expect(cluster.requests == ["0: DELETE FROM t"] + second + ["1: DELETE FROM u"])
                })
        }
    }

    @Test(arguments: bothEncodings)
    func `A write on a connection that is lost is reported, a read is made elsewhere`(
        _ encoding: WireEncoding
    ) async throws {
        try await FakeCluster.with(
            encoding,
            respond: { cluster, node, exchange in
                if node == 1, case .querySQL = exchange.body { return try exchange.answer(part(0..<3)) }
                guard node == 0 else { return try exchange.answer(done) }
                cluster.elect(1)
                exchange.close()
            },
            { cluster in
                try await cluster.client { client in
                    let error = await #expect(throws: DqliteError.self) { try await client.execute("DELETE FROM t") }
                    #expect(error?.code == .connectionClosed && error?.outcome == .unknown)
                    try await client.execute("DELETE FROM u")
                    #expect(cluster.requests == ["0: DELETE FROM t", "1: DELETE FROM u"])
                }
                cluster.elect(0)
                try await cluster.client { client in
                    let numbers = try await client.query("SELECT n FROM t").decode(Int.self).collect()
                    #expect(numbers == [0, 1, 2])
                    #expect(cluster.requests.suffix(2) == ["0: SELECT n FROM t", "1: SELECT n FROM t"])
                }
            })
    }

    @Test(arguments: bothEncodings)
    func `Without a leader a call ends with its time`(_ encoding: WireEncoding) async throws {
        try await FakeCluster.with(encoding, leader: nil) { cluster in
            try await cluster.client { client in
                let options = DqliteCallOptions(timeout: .milliseconds(30))
                let error = await #expect(throws: DqliteError.self) {
                    try await client.execute("DELETE FROM t", options: options)
                }
                #expect(error?.code == .noLeader && error?.outcome == .notCommitted)
                let transaction = await #expect(throws: DqliteTransactionError.self) {
                    try await client.withTransaction(options: options) { _ in Issue.record("must not run") }
                }
                #expect(transaction?.beginError?.code == .noLeader && transaction?.outcome == .notCommitted)
                // And one that waits long enough gets what it asked for.
                async let late = client.execute("DELETE FROM t")
                while cluster.state.withLock({ $0.leaderRequests }) < 30 { await Task.yield() }
                cluster.elect(1)
                _ = try await late
            }
            #expect(cluster.requests == ["1: DELETE FROM t"])
        }
    }

    @Test func `Nobody is there`() async throws {
        let port = try LoopbackPort()
        defer { withExtendedLifetime(port) {} }
        let client = DqliteClient(
            configuration: .init(seeds: [.hostname("127.0.0.1", port: port.number)], database: "test"),
            logger: Logger(label: "test"))
        let options = DqliteCallOptions(timeout: .milliseconds(30))
        let idle = await #expect(throws: DqliteError.self) { try await client.execute("X", options: options) }
        #expect(idle?.code == .noLeader && idle?.message?.contains("run()") == true)
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await client.run() }
            let error = await #expect(throws: DqliteError.self) {
                try await client.execute("X", options: .init(timeout: .seconds(5)))
            }
            #expect(error?.code == .noLeader)
            #expect((error?.underlyingError as? DqliteError)?.code == .connectFailed)
            group.cancelAll()
        }
        let error = await #expect(throws: DqliteError.self) { try await client.execute("X") }
        #expect(error?.code == .clientIsShutDown)
    }

    @Test(arguments: bothEncodings)
    func `A node that is silent holds up nobody who asks another`(_ encoding: WireEncoding) async throws {
        try await FakeCluster.with(encoding, leader: 2) { cluster in
            cluster.state.withLock { $0.silent = [0, 1] }
            try await cluster.client { client in try await client.execute("DELETE FROM t") }
            #expect(cluster.requests == ["2: DELETE FROM t"])
        }
    }

    @Test(arguments: bothEncodings)
    func `A leader that falls silent is given up`(_ encoding: WireEncoding) async throws {
        try await FakeCluster.with(
            encoding,
            respond: { cluster, node, exchange in
                guard exchange.sql != nil else { return }
                if node == 1 { return try exchange.answer(part(0..<3)) }
                // From now on it answers nothing.
                cluster.state.withLock {
                    $0.silent = [0]
                    $0.leader = 1
                }
            },
            { cluster in
                try await cluster.client {
                    $0.livenessTimeout = .milliseconds(20)
                    $0.probeTimeout = .milliseconds(200)
                } _: { client in
                    let numbers = try await client.query("SELECT n FROM t").decode(Int.self).collect()
                    #expect(numbers == [0, 1, 2])
                }
                // A machine that is slow may have asked the first more than once.
                #expect(cluster.requests.first == "0: SELECT n FROM t")
                #expect(cluster.requests.last == "1: SELECT n FROM t")
            })
    }

    @Test func `Nodes that nobody named are learned from the leader`() async throws {
        try await FakeCluster.with(
            .protobuf,
            respond: { cluster, node, exchange in
                guard node == 0 else { return try exchange.answer(part(0..<3)) }
                cluster.state.withLock {
                    $0.leader = 1
                    $0.silent = [0]
                }
                exchange.close()
            },
            { cluster in
                try await cluster.client(seeds: [0]) { client in
                    try await client.withConnection { _ in }
                    while client.board.addresses(seeds: []).count < 3 { await Task.yield() }
                    let numbers = try await client.query("SELECT n FROM t").decode(Int.self).collect()
                    #expect(numbers == [0, 1, 2])
                }
                #expect(cluster.requests.suffix(2) == ["0: SELECT n FROM t", "1: SELECT n FROM t"])
            })
    }

    @Test func `A database that no node wants to open`() async throws {
        try await FakeNode.with(
            .protobuf, answersOpen: false,
            handling: { exchange in
                guard case .open = exchange.body else { return false }
                try exchange.answer(failure(14, "../bad", .notCommitted))
                return true
            },
            { node in
                try await DqliteClient.withClient(
                    configuration: .patient(seeds: [node.address], database: "../bad"), logger: Logger(label: "test")
                ) { client in
                    async let result = client.execute("DELETE FROM t")
                    let question = try await node.next()
                    try question.answer(.server(ServerResponse(serverID: 1, address: node.address.description)))
                    do {
                        _ = try await result
                        Issue.record("it was opened")
                    } catch let error as DqliteError {
                        #expect(error.server?.extendedResultCode == 14 && error.outcome == .notCommitted)
                    }
                }
            })
    }

    @Test func `Rows that are being read keep a connection of the dqlite encoding for themselves`() async throws {
        try await FakeCluster.with(
            .dqlite,
            respond: { _, _, exchange in
                if case .querySQL = exchange.body { return try exchange.answer(part(0..<3, more: true)) }
                try exchange.answer(done)
            },
            { cluster in
                try await cluster.client { client in
                    for try await row in try await client.query("SELECT n FROM t") {
                        try await client.execute("DELETE FROM t")
                        if try row.decode(Int.self) == 2 { break }
                    }
                }
                #expect(cluster.requests.count == 4)
            })
    }

    @Test(arguments: bothEncodings)
    func `withConnection lends a session`(_ encoding: WireEncoding) async throws {
        struct Whim: Error {}
        try await FakeCluster.with(encoding) { cluster in
            try await cluster.client { client in
                try await client.withConnection { connection in
                    #expect(encoding == .dqlite || connection.sessionID != 0)
                    try await connection.execute("PRAGMA foreign_keys = ON")
                }
                await #expect(throws: Whim.self) { try await client.withConnection { _ in throw Whim() } }
            }
            #expect(cluster.requests == ["0: PRAGMA foreign_keys = ON"])
        }
    }

    @Test func `A configuration that contradicts itself fails every call`() async throws {
        let address = DqliteServerAddress.hostname("a")
        #expect(DqliteClientConfiguration(seeds: [], database: "t").problem != nil)
        let changes: [(inout DqliteClientConfiguration) -> Void] = [
            { $0.callTimeout = .zero }, { $0.retry.maximumBackoff = .zero }, { $0.retry.backoffMultiplier = .nan },
            { $0.connection.resultWindow = 1 }, { $0.maximumIdleConnections = -1 },
        ]
        for change in changes {
            var configuration = DqliteClientConfiguration(seeds: [address], database: "t")
            #expect(configuration.problem == nil)
            change(&configuration)
            #expect(configuration.problem != nil)
            let client = DqliteClient(configuration: configuration, logger: Logger(label: "test"))
            let error = await #expect(throws: DqliteError.self) { try await client.execute("X") }
            #expect(error?.code == .invalidConfiguration)
        }
    }

    @Test func `What a node that shuts down does not begin is done by another`() async throws {
        try await FakeCluster.with(
            .protobuf,
            respond: { cluster, node, exchange in
                guard node == 0 else { return try exchange.answer(done) }
                cluster.elect(1)
                try exchange.answer(failure(4, "the node is shutting down", .notCommitted))
            },
            { cluster in
                try await cluster.client { client in try await client.execute("DELETE FROM t") }
                #expect(cluster.requests == ["0: DELETE FROM t", "1: DELETE FROM t"])
            })
    }

    @Test func `A call that is cancelled while it waits for a leader goes on at once`() async throws {
        try await FakeCluster.with(.protobuf, leader: nil) { cluster in
            try await cluster.client { client in
                let call = Task { try await client.execute("DELETE FROM t") }
                while cluster.state.withLock({ $0.leaderRequests }) < 3 { await Task.yield() }
                call.cancel()
                let error = await #expect(throws: DqliteError.self) { try await call.value }
                #expect(error?.code == .cancelled && error?.outcome == .notCommitted)
            }
        }
    }

    @Test func `Statements that only read are known`() {
        for sql in ["SELECT 1", " \n select * from t", "VALUES (1)", "WITH x AS (SELECT 1) SELECT * FROM x"] {
            #expect(SQLScanner.onlyReads(sql), "\(sql)")
        }
        for sql in [
            "INSERT INTO t VALUES (1)", "SELECT 1; DELETE FROM t", "WITH x AS (SELECT 1) DELETE FROM t", "SELECTED", "",
            "PRAGMA user_version = 1", "EXPLAIN SELECT 1", "INSERT INTO t VALUES (1) RETURNING a",
        ] {
            #expect(!SQLScanner.onlyReads(sql), "\(sql)")
        }
    }
}
