import DqliteFraming
import DqliteNode
import DqliteProtocol
import LogSimulation
import NIOCore
import TestSupport
import Testing

/// A whole node over sockets, in the dqlite encoding.
@Suite(.timeLimit(.minutes(2)))
struct DqliteEncodingTests {
    /// A query that runs until it is interrupted, without rows.
    static let endless =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    /// A query of as many rows as anybody wants.
    static let manyRows =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT x, printf('%0100d', x) FROM n"

    @Test func everyRequest() async throws {
        try await withNode { node in
            try await node.opened { connection in
                #expect(
                    try await connection.call(LeaderRequest())
                        == ServerResponse(serverID: 1, address: "\(node.address)"))
                #expect(try await connection.call(ClientRequest()) == WelcomeResponse(heartbeatTimeout: 15000))
                #expect(
                    try await connection.call(ClusterRequest(format: 1), answerRevision: 1)
                        == ServersResponse(servers: [Server(serverID: 1, address: "\(node.address)", role: .voter)]))
                try await connection.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)")
                #expect(
                    try await connection.exec("INSERT INTO t (name) VALUES (?), (?)", [.text("a"), .text("b")])
                        == ResultResponse(lastInsertRowID: 2, rowsAffected: 2))
                #expect(
                    try await connection.query("SELECT * FROM t ORDER BY id")
                        == [.integer(1), .text("a"), .integer(2), .text("b")])
                let statement: StatementResponse = try await connection.call(
                    PrepareRequest(sql: "SELECT name FROM t WHERE id = ?; SELECT 2"), revision: 1, answerRevision: 1)
                #expect(statement == StatementResponse(parameterCount: 1, tailOffset: 32))
                let rows: RowsResponse = try await connection.call(
                    QueryRequest(statementID: 0, parameters: [.integer(2)]))
                #expect(rows == RowsResponse(columns: ["name"], values: [.text("b")]))
                let insert: StatementResponse = try await connection.call(
                    PrepareRequest(sql: "INSERT INTO t (name) VALUES (?)"))
                #expect(insert.statementID == 1)
                #expect(
                    try await connection.call(ExecRequest(statementID: 1, parameters: [.null]))
                        == ResultResponse(lastInsertRowID: 3, rowsAffected: 1))
                #expect(try await connection.call(FinalizeRequest(statementID: 1)) == EmptyResponse())
                #expect(
                    try await connection.call(FinalizeRequest(statementID: 1), FailureResponse.self).code
                        == FailureCode.notFound)
                #expect(try await connection.call(InterruptRequest()) == EmptyResponse())
                let files: FilesResponse = try await connection.call(DumpRequest(name: "test"))
                #expect(files.files.map(\.name) == ["test", "test-wal"])
                #expect(files.files[0].content.starts(with: "SQLite format 3".utf8))
                let failure: FailureResponse = try await connection.call(ExecSQLRequest(sql: "nonsense"))
                #expect(failure.code == FailureCode.error)
                let conflict: FailureResponse = try await connection.call(
                    ExecSQLRequest(sql: "INSERT INTO t (id) VALUES (1)"))
                #expect(conflict.code == 1555)
            }
        }
    }

    @Test func parametersOfEitherRevision() async throws {
        try await withNode { node in
            try await node.opened { connection in
                let values = (0..<300).map { Value.integer($0) }
                let sql = "SELECT " + values.map { _ in "?" }.joined(separator: ", ")
                try await connection.send(QuerySQLRequest(sql: sql, parameters: values), revision: 1)
                let rows: RowsResponse = try await connection.answer()
                #expect(rows.values == values)
            }
        }
    }

    /// A damaged connection ends alone.
    @Test func garbageHurtsNobodyElse() async throws {
        try await withNode { node in
            try await node.opened { healthy in
                try await healthy.exec("CREATE TABLE t (x)")
                for seed: UInt64 in 0..<30 {
                    try await node.opened { broken in
                        var random = SeededRandom(seed: seed)
                        var bytes = ByteBuffer()
                        for _ in 0..<100 { bytes.writeInteger(random.next()) }
                        try await broken.send(bytes)
                        try await healthy.exec("INSERT INTO t VALUES (\(seed))")
                    }
                }
                #expect(try await healthy.query("SELECT count(*) FROM t") == [.integer(30)])
            }
        }
    }

    @Test func pipelinedRequestsAreAnsweredInOrder() async throws {
        try await withNode { node in
            try await node.opened { connection in
                var requests = ByteBuffer()
                for index in 0..<100 {
                    try requests.writeDqliteRequest(QuerySQLRequest(sql: "SELECT \(index)"))
                    try requests.writeDqliteRequest(WeightRequest(weight: 0))
                }
                try await connection.send(requests)
                for index: Int64 in 0..<100 {
                    #expect(try await connection.answer(RowsResponse.self).values == [.integer(index)])
                    #expect(try await connection.answer() == EmptyResponse())
                }
            }
        }
    }

    @Test func interruptEndsAResultWithinAPart() async throws {
        try await withNode { node in
            try await node.opened { connection in
                try await connection.send(QuerySQLRequest(sql: Self.manyRows))
                #expect(try await connection.answer(RowsResponse.self).more)
                try await connection.send(InterruptRequest())
                // As a client of dqlite does it: whatever comes before Empty is passed over.
                while let frame = try await connection.frame(), frame.header.code != ResponseCode.empty.rawValue {
                    #expect(frame.header.code == ResponseCode.rows.rawValue)
                }
                #expect(try await connection.query("SELECT 1") == [.integer(1)])
            }
        }
    }

    @Test func interruptEndsWhatHasNoRows() async throws {
        try await withNode { node in
            try await node.opened { connection in
                try await connection.send(QuerySQLRequest(sql: Self.endless))
                try await connection.send(InterruptRequest())
                #expect(try await connection.answer(FailureResponse.self).code == FailureCode.interrupted)
                #expect(try await connection.answer() == EmptyResponse())
            }
        }
    }

    @Test func longQueryDelaysNobody() async throws {
        try await withNode { node in
            try await node.opened { slow in
                try await slow.send(QuerySQLRequest(sql: Self.endless))
                try await node.opened { other in
                    try await other.exec("CREATE TABLE t (x)")
                    for _ in 0..<100 { try await other.exec("INSERT INTO t VALUES (1)") }
                    #expect(try await other.query("SELECT count(*) FROM t") == [.integer(100)])
                }
                try await slow.send(InterruptRequest())
                #expect(try await slow.answer(FailureResponse.self).code == FailureCode.interrupted)
                #expect(try await slow.answer() == EmptyResponse())
            }
        }
    }

    @Test func errorInsideAResultIsACleanFailure() async throws {
        try await withNode { node in
            try await node.opened { connection in
                let failure: FailureResponse = try await connection.call(
                    QuerySQLRequest(
                        sql: "SELECT abs(x) AS q FROM (SELECT 1 AS x UNION ALL SELECT -9223372036854775808)"))
                #expect(failure == FailureResponse(code: 1, message: "integer overflow"))
            }
        }
    }

    @Test func writersQueue() async throws {
        try await withNode { node in
            try await node.opened { holder in
                try await holder.exec("CREATE TABLE t (x)")
                try await holder.exec("BEGIN IMMEDIATE")
                try await node.opened { waiter in
                    try await waiter.send(ExecSQLRequest(sql: "INSERT INTO t VALUES (2)"))
                    try await holder.exec("INSERT INTO t VALUES (1)")
                    #expect(try await holder.query("SELECT count(*) FROM t") == [.integer(1)])
                    try await holder.exec("COMMIT")
                    _ = try await waiter.answer(ResultResponse.self)
                    #expect(try await waiter.query("SELECT x FROM t ORDER BY x") == [.integer(1), .integer(2)])
                }
            }
        }
    }

    @Test func writersWaitNoLongerThanTheyMay() async throws {
        try await withNode {
            $0.timeouts.write = .milliseconds(50)
        } _: { node in
            try await node.opened { holder in
                try await holder.exec("CREATE TABLE t (x)")
                try await holder.exec("BEGIN IMMEDIATE")
                try await node.opened { waiter in
                    let failure: FailureResponse = try await waiter.call(
                        ExecSQLRequest(sql: "INSERT INTO t VALUES (2)"))
                    #expect(failure.code == FailureCode.busy)
                }
            }
        }
    }

    @Test func disconnectingFreesTheTurn() async throws {
        try await withNode { node in
            try await node.opened { waiter in
                try await waiter.exec("CREATE TABLE t (x)")
                try await node.opened { holder in
                    try await holder.exec("BEGIN IMMEDIATE")
                    try await holder.exec("INSERT INTO t VALUES (1)")
                    try await waiter.send(ExecSQLRequest(sql: "INSERT INTO t VALUES (2)"))
                }
                _ = try await waiter.answer(ResultResponse.self)
                #expect(try await waiter.query("SELECT x FROM t") == [.integer(2)])
            }
        }
    }

    /// A client that leaves in the middle of a result of its transaction takes that back, and nobody waits for it.
    @Test func disconnectingEndsAResult() async throws {
        try await withNode { node in
            try await node.opened { other in
                try await other.exec("CREATE TABLE t (x, y)")
                try await node.opened { leaving in
                    try await leaving.exec("BEGIN")
                    try await leaving.send(
                        QuerySQLRequest(sql: "INSERT INTO t \(Self.manyRows) LIMIT 100000 RETURNING x, y"))
                    #expect(try await leaving.answer(RowsResponse.self).more)
                }
                try await other.exec("INSERT INTO t VALUES (1, 2)")
                #expect(try await other.query("SELECT count(*) FROM t") == [.integer(1)])
            }
        }
    }

    /// The largest result that SQLite's limits allow by its columns.
    @Test func manyColumns() async throws {
        try await withNode { node in
            try await node.opened { connection in
                let sql = "SELECT " + (0..<2000).map { "\($0) AS c\($0)" }.joined(separator: ", ")
                let rows: RowsResponse = try await connection.call(QuerySQLRequest(sql: sql))
                #expect(rows.columns == (0..<2000).map { "c\($0)" })
                #expect(rows.values == (0..<2000).map { .integer($0) })
            }
        }
    }

    @Test func largeValue() async throws {
        try await withNode { node in
            try await node.opened { connection in
                let blob = [UInt8]((0..<5_000_000).map { UInt8(truncatingIfNeeded: $0) })
                let values = try await connection.query("SELECT ?", [.blob(blob)])
                #expect(values == [.blob(blob)])
            }
        }
    }

    @Test func tooManyConnections() async throws {
        try await withNode {
            $0.limits.connections = 1
        } _: { node in
            try await node.opened { first in
                try await TestConnection.with(node.address) { second in
                    #expect(await second.isClosed())
                }
                #expect(try await first.query("SELECT 1") == [.integer(1)])
            }
        }
    }
}
