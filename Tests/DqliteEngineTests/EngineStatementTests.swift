import DqliteEngine
import DqliteProtocol
import DqliteWire
import Testing

@Suite("Statements")
struct EngineStatementTests {
    @Test("a table is created, filled and read", arguments: [WireEncoding.dqlite, .protobuf])
    func roundTrip(encoding: WireEncoding) throws {
        let engine = try TestEngine()
        let session = try engine.session("test", encoding)
        try session.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b, c, d)")
        let values: [Value] = [.integer(.min), .real(-0.5), .text("grüße"), .blob([0, 1, 255])]
        let result = try session.exec("INSERT INTO t (a, b, c, d) VALUES (?, ?, ?, ?)", values)
        #expect(result == ResultResponse(lastInsertRowID: 1, rowsAffected: 1))
        try session.exec(
            "INSERT INTO t (a, b, c, d) VALUES (?, ?, ?, ?)", [.null, .text(""), .blob([]), .boolean(true)])
        let rows = try session.query("SELECT id, a, b, c, d FROM t ORDER BY id")
        #expect(rows.columns == ["id", "a", "b", "c", "d"])
        #expect(rows.rows == [[.integer(1)] + values, [.integer(2), .null, .text(""), .blob([]), .integer(1)]])
        session.close()
    }

    @Test("missing parameters are NULL, surplus ones are refused before a single statement runs")
    func parameterCounts() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a, b)")
        try session.exec("INSERT INTO t VALUES (?, ?)", [.integer(1)])
        #expect(try session.query("SELECT * FROM t").rows == [[.integer(1), .null]])
        let error = failure { try session.exec("INSERT INTO t VALUES (?, ?)", Array(repeating: .integer(2), count: 3)) }
        #expect(error?.code == 25)
        #expect(error?.message == "column index out of range: 3 parameters for a statement that takes 2")
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        #expect(failure { try session.query("SELECT ?", [.null, .null]) }?.code == 25)
    }

    @Test("several statements take their parameters from left to right, and each is committed by itself")
    func severalStatements() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let result = try session.exec(
            "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (?); INSERT INTO t VALUES (?), (?); -- the end",
            [.integer(1), .integer(2), .integer(3), .integer(4)])
        #expect(result == ResultResponse(lastInsertRowID: 3, rowsAffected: 2))
        let error = failure {
            try session.exec("INSERT INTO t VALUES (9); INSERT INTO t VALUES (1); INSERT INTO t VALUES (10)")
        }
        #expect(error?.code == 2067)
        #expect(error?.message == "UNIQUE constraint failed: t.a")
        #expect(error?.outcome == .committed)
        #expect(
            try session.query("SELECT a FROM t ORDER BY a").rows.map { $0[0] } == [1, 2, 3, 9].map { .integer($0) })
    }

    @Test("results are those of the connection: what changes neither leaves them")
    func stickyResults() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let result = try session.exec("INSERT INTO t VALUES (1), (2)")
        #expect(try session.exec("BEGIN IMMEDIATE") == result)
        #expect(try session.exec("CREATE TABLE u (a)") == result)
        #expect(try session.exec("COMMIT") == result)
        #expect(try session.exec("") == result)
        #expect(try session.exec(" /* nothing */ ; -- at all") == result)
    }

    @Test("empty statements have dqlite's code 0, surplus text is refused, blanks and comments are not")
    func tails() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        for sql in ["", "  ", "-- no", ";", "/* no */"] {
            #expect(failure { try session.query(sql) } == EngineError(code: 0, message: "empty statement"))
            #expect(failure { try session.prepare(sql) }?.code == 0)
        }
        #expect(
            failure { try session.query("SELECT 1; SELECT 2") }
                == EngineError(code: 1, message: "nonempty statement tail"))
        #expect(try session.query("SELECT 1; -- done\n /* really */ ;").rows == [[.integer(1)]])
        #expect(
            failure { try session.prepare("SELECT 1; SELECT 2", revision: 0) }?.message == "nonempty statement tail")
        #expect(try session.prepare("SELECT 1; ", revision: 0).statementID == 0)
        #expect(try session.prepare("SELECT 1; SELECT 2").tailOffset == 9)
        #expect(try session.prepare("SELECT 1; ").tailOffset == 10)
    }

    @Test("prepared statements have the lowest number that is free")
    func numbers() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a, b)")
        let insert = try session.prepare("INSERT INTO t VALUES (?, ?)")
        #expect(insert == StatementResponse(databaseID: 0, statementID: 0, parameterCount: 2, tailOffset: 27))
        let select = try session.prepare("SELECT a FROM t WHERE b = ?")
        #expect(select.statementID == 1)
        try session.exec(0, [.integer(1), .text("x")])
        try session.exec(0, [.integer(2), .text("y")])
        #expect(try session.query(1, [.text("y")]).rows == [[.integer(2)]])
        #expect(try session.query(1).rows == [])
        try session.finalize(0)
        #expect(failure { try session.finalize(0) }?.code == 12)
        #expect(failure { try session.exec(0) }?.code == 12)
        #expect(failure { try session.query(77) }?.code == 12)
        #expect(try session.prepare("SELECT 3").statementID == 0)
        #expect(try session.prepare("SELECT 4").statementID == 2)
    }

    @Test("a session has a limit of prepared statements")
    func statementLimit() throws {
        let engine = try TestEngine { $0.maximumStatementsPerSession = 2 }
        let session = try engine.session()
        _ = try session.prepare("SELECT 1")
        _ = try session.prepare("SELECT 1")
        #expect(failure { try session.prepare("SELECT 1") }?.code == 13)
        try session.finalize(1)
        #expect(try session.prepare("SELECT 1").statementID == 1)
    }

    @Test("RETURNING works through Exec and Query; rows of a SELECT are not expected by Exec")
    func returning() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let other = try engine.session()
        try session.exec("CREATE TABLE t (id INTEGER PRIMARY KEY, a)")
        #expect(try session.exec("INSERT INTO t (a) VALUES (1), (2) RETURNING id").rowsAffected == 2)
        #expect(try session.query("INSERT INTO t (a) VALUES (3) RETURNING id, a").rows == [[.integer(3), .integer(3)]])
        let statement = try session.prepare("INSERT INTO t (a) VALUES (?) RETURNING id").statementID
        #expect(try session.exec(statement, [.integer(4)]).lastInsertRowID == 4)
        #expect(try session.query(statement, [.integer(5)]).rows == [[.integer(5)]])
        let error = failure { try session.exec("SELECT * FROM t") }
        #expect(error == EngineError(code: 1, message: "rows yielded when none expected for EXEC request"))
        #expect(try session.exec("SELECT * FROM t WHERE a = 99").rowsAffected == 1)
        #expect(try other.exec("INSERT INTO t (a) VALUES (6)").lastInsertRowID == 6)
        #expect(try other.query("SELECT count(*) FROM t").rows == [[.integer(6)]])
    }

    @Test("a write through Query that returns no rows is done, and answered without columns")
    func writeThroughQuery() throws {
        let engine = try TestEngine()
        for encoding in [WireEncoding.dqlite, .protobuf] {
            let session = try engine.session("\(encoding)", encoding)
            try session.exec("CREATE TABLE t (a)")
            #expect(try session.query("INSERT INTO t VALUES (1)") == Rows())
            #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)]])
        }
    }

    @Test("an error in the middle of a result is a failure, and the next request works")
    func errorInResult() throws {
        let engine = try TestEngine { $0.partSize = 64 }
        let session = try engine.session()
        let sink = try session.startQuery(
            "SELECT abs(column1) FROM (VALUES (1), (2), (3), (4), (-9223372036854775808))")
        guard case .failure(let error) = sink.waitForEnd() else {
            Issue.record("no failure")
            return
        }
        #expect(error == EngineError(code: 1, message: "integer overflow"))
        #expect(sink.now.partCount > 0)
        #expect(try session.query("SELECT 1").rows == [[.integer(1)]])
    }

    @Test("a text with NUL fails on the dqlite encoding with advice, and is carried by the other")
    func nulInText() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let error = failure { try session.query("SELECT 1 AS a, 'x' || char(0) || 'y' AS b") }
        #expect(error?.code == 1)
        #expect(error?.message.contains("column \"b\"") ?? false)
        #expect(error?.message.contains("CAST") ?? false)
        #expect(try session.query("SELECT CAST('x' || char(0) AS BLOB)").rows == [[.blob([0x78, 0])]])
        let other = try engine.session("test", .protobuf)
        #expect(try other.query("SELECT 'x' || char(0) || 'y'").rows == [[.text("x\0y")]])
        #expect(try other.query("SELECT length(CAST(? AS BLOB))", [.text("x\0y")]).rows == [[.integer(3)]])
        let refusal = failure { try other.query("SELECT 1\0; DROP TABLE t") }
        #expect(refusal?.code == 1)
        #expect(refusal?.message.contains("NUL, at byte 8") ?? false)
    }

    @Test("what a row with RETURNING has changed is undone when the row cannot be delivered")
    func undeliverableReturning() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let sql = "INSERT INTO t VALUES ('x' || char(0)) RETURNING a"
        #expect(failure { try session.query(sql) }?.outcome == .notCommitted)
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(0)]])
        try session.exec("BEGIN; INSERT INTO t VALUES (1)")
        #expect(failure { try session.query(sql) }?.code == 1)
        try session.exec("COMMIT")
        #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)]])
        #expect(try session.query("INSERT INTO t VALUES (2) RETURNING a").rows == [[.integer(2)]])
    }

    @Test("2,000 columns, and no more than 32,766 parameters")
    func extremes() throws {
        let engine = try TestEngine()
        for encoding in [WireEncoding.dqlite, .protobuf] {
            let session = try engine.session("test", encoding)
            let list = (1...2000).map { "\($0) AS column\($0)" }.joined(separator: ", ")
            let rows = try session.query("SELECT \(list)")
            #expect(rows.columns.count == 2000)
            #expect(rows.rows == [(1...2000).map { .integer($0) }])
            let sum = "SELECT count(*) FROM (VALUES \(Array(repeating: "(?)", count: 32766).joined(separator: ",")))"
            let parameters = Array(repeating: Value.integer(1), count: 32766)
            #expect(try session.query(sum, parameters).rows == [[.integer(32766)]])
            #expect(failure { try session.query("SELECT 1", parameters + [.null]) }?.code == 25)
            let error = failure { try session.query("SELECT ?32767") }
            #expect(error?.code == 1)
        }
    }

    @Test("a row of any size arrives, and a part of its own is made for it")
    func largeRow() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let rows = try session.query(
            "SELECT 1, zeroblob(0) UNION ALL SELECT 2, zeroblob(20000000) UNION ALL SELECT 3, NULL")
        #expect(rows.rows.count == 3)
        #expect(rows.rows[1][1] == .blob(Array(repeating: 0, count: 20_000_000)))
    }

    @Test("declared types on the dqlite encoding: times and booleans, REAL and NULL as what they are")
    func declaredTypes() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a DATETIME, b date, c TimeStamp, d BOOLEAN, e DATETIME(6))")
        try session.exec(
            "INSERT INTO t VALUES (1, '2026-01-02', 1.5, 1, 1), (NULL, x'00', NULL, NULL, NULL), (0, '', 2, 'yes', 0)")
        let sql = "SELECT * FROM t"
        #expect(
            try session.query(sql).rows == [
                [.unixTime(1), .iso8601("2026-01-02"), .real(1.5), .boolean(true), .integer(1)],
                [.null, .blob([0]), .null, .null, .null],
                [.unixTime(0), .iso8601(""), .unixTime(2), .text("yes"), .integer(0)],
            ])
        #expect(
            try engine.session("test", .protobuf).query(sql).rows[0] == [
                .integer(1), .text("2026-01-02"), .real(1.5), .integer(1), .integer(1),
            ])
    }

    @Test("text that is not UTF-8 is stored and returned as it came")
    func invalidUTF8() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        // QuerySQL with a text of the bytes ff fe, in the words of the dqlite encoding.
        var bytes = try QuerySQLRequest(sql: "SELECT hex(?1), ?1", parameters: [.text("ab")]).dqliteBytes()
        let place = bytes.count - 8
        bytes[place] = 0xff
        bytes[place + 1] = 0xfe
        let sink = CollectingSink()
        session.session.run(.querySQL, revision: 0, request: Bytes(bytes), timeout: nil, sink: sink)
        #expect(sink.waitForEnd() == .rows)
        let part = sink.now.parts[0]
        #expect(
            part.suffix(24) == [0x46, 0x46, 0x46, 0x45, 0, 0, 0, 0, 0xff, 0xfe, 0, 0, 0, 0, 0, 0]
                + Array(repeating: 0xff, count: 8))
    }

    @Test("columns are named after the first step, when another session has changed the table meanwhile")
    func changedTable() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let other = try engine.session()
        try session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        let statement = try session.prepare("SELECT * FROM t").statementID
        #expect(try session.query("SELECT * FROM t").columns == ["a"])
        #expect(try session.query(statement).columns == ["a"])
        try other.exec("ALTER TABLE t ADD COLUMN b DATE DEFAULT 7")
        #expect(
            try session.query("SELECT * FROM t") == Rows(columns: ["a", "b"], rows: [[.integer(1), .unixTime(7)]]))
        #expect(try session.query(statement).columns == ["a", "b"])
        try other.exec("ALTER TABLE t RENAME COLUMN a TO c")
        #expect(try session.query("SELECT * FROM t").columns == ["c", "b"])
        #expect(try session.query(statement).columns == ["c", "b"])
    }

    @Test("malformed requests fail and hurt nobody")
    func malformed() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let requests: [[UInt8]] = [[], [1], Array(repeating: 0xff, count: 64), Array(repeating: 0, count: 7)]
        for code in [RequestCode.prepare, .exec, .query, .finalize, .execSQL, .querySQL, .open] {
            for request in requests {
                let sink = CollectingSink()
                session.session.run(code, revision: 0, request: Bytes(request), timeout: nil, sink: sink)
                guard case .failure(let error) = sink.waitForEnd() else {
                    Issue.record("\(code) of \(request) did not fail")
                    continue
                }
                #expect([1005, 12].contains(error.code))
            }
        }
        #expect(
            failure { try TestSession.result(of: session.start(ExecSQLRequest(databaseID: 1, sql: "SELECT 1"))) }?.code
                == 12)
        #expect(try session.query("SELECT 1").rows == [[.integer(1)]])
    }
}
