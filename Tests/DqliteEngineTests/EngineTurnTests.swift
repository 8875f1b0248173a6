import DqliteProtocol
import Testing

@testable import DqliteEngine

@Suite("Statements that have come to their end, and the turn to write")
struct EngineTurnTests {
    @Test("a write whose result is not taken is committed, holds nobody up, and is said to be committed")
    func endOfResult() throws {
        let engine = try TestEngine { $0.writeTimeout = .milliseconds(200) }
        let (one, two) = (try engine.session("test", .protobuf), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        for (index, sql) in ["INSERT INTO t VALUES (1)", "INSERT INTO t SELECT 1 WHERE 0 RETURNING a"].enumerated() {
            let sink = try one.startQuery(sql, sink: CollectingSink(limit: -1))
            sink.wait { !$0.blocked.isEmpty }
            try two.exec("INSERT INTO t VALUES (2)")
            one.session.interrupt()
            guard case .failure(let error) = sink.waitForEnd() else {
                Issue.record("not interrupted")
                return
            }
            #expect(error.code == 9)
            #expect(error.outcome == .committed)
            #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(Int64(index + 2))]])
        }
        // What only reads has committed nothing.
        let sink = try one.startQuery("SELECT 1 WHERE 0", sink: CollectingSink(limit: -1))
        sink.wait { !$0.blocked.isEmpty }
        one.session.interrupt()
        #expect(sink.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
    }

    @Test("so it is with COMMIT, also when its time is over")
    func commit() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        try session.exec("CREATE TABLE t (a); BEGIN; INSERT INTO t VALUES (1)")
        let sink = try session.startQuery("COMMIT", timeout: .milliseconds(50), sink: CollectingSink(limit: -1))
        guard case .failure(let error) = sink.waitForEnd() else {
            Issue.record("not interrupted")
            return
        }
        #expect(error.code == 9)
        #expect(error.outcome == .committed)
        #expect(!error.message.contains("rolled back"))
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
    }

    @Test("in a transaction the change stays part of it, and the failure says so")
    func inTransaction() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        try session.exec("CREATE TABLE t (a); BEGIN")
        let sink = try session.startQuery("INSERT INTO t VALUES (1)", sink: CollectingSink(limit: -1))
        sink.wait { !$0.blocked.isEmpty }
        session.session.interrupt()
        guard case .failure(let error) = sink.waitForEnd() else {
            Issue.record("not interrupted")
            return
        }
        #expect(error.outcome == .unspecified)
        #expect(error.message.contains("part of the transaction"))
        try session.exec("COMMIT")
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
    }

    @Test("the end of a result that was blocked is delivered once its reader takes it")
    func blockedEnd() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        let sink = try session.startQuery("SELECT 1 AS a WHERE 0", sink: CollectingSink(limit: -1))
        sink.wait { !$0.blocked.isEmpty }
        sink.setLimit(100)
        session.session.resume()
        #expect(try session.rows(of: sink) == Rows(columns: ["a"], rows: []))
    }

    @Test("a statement that read when it was compiled takes its turn when it writes", arguments: [false, true])
    func compiledAgain(prepared: Bool) throws {
        let engine = try TestEngine { $0.writeTimeout = .milliseconds(50) }
        let (one, two) = (try engine.session(), try engine.session())
        try two.exec("CREATE TABLE t (a)")
        let drop = "DROP TRIGGER IF EXISTS x"
        let create = "CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END"
        let number = prepared ? try one.prepare(drop).statementID : 0
        func run() throws { _ = prepared ? try one.exec(number) : try one.exec(drop) }
        try run()
        try two.exec(create)
        try two.exec("BEGIN IMMEDIATE")
        // Told by the queue, and not by SQLite after five seconds.
        let error = failure { try run() }
        #expect(error?.code == 5)
        #expect(error?.message.contains("another session has been writing") ?? false, "\(error?.message ?? "")")
        try two.exec("COMMIT")
        try one.exec("BEGIN")
        try run()
        #expect(failure { try two.exec("INSERT INTO t VALUES (1)") }?.code == 5)
        try one.exec("COMMIT")
        #expect(try two.query("SELECT name FROM sqlite_schema WHERE type = 'trigger'").rows.isEmpty)
        // As a query, with the parameters it was given.
        _ = try one.query("DROP TRIGGER IF EXISTS y")
        try two.exec("CREATE TRIGGER y AFTER INSERT ON t BEGIN SELECT 1; END")
        _ = try one.query("DROP TRIGGER IF EXISTS y")
        #expect(try two.query("SELECT name FROM sqlite_schema WHERE type = 'trigger'").rows.isEmpty)
    }

    @Test("with mode=ro such a statement fails")
    func readOnly() throws {
        let engine = try TestEngine()
        let writer = try engine.session()
        try writer.exec("CREATE TABLE t (a); CREATE VIRTUAL TABLE f USING fts4(a)")
        let session = try engine.session("file:test?mode=ro")
        try session.exec("DROP TRIGGER IF EXISTS x")
        try writer.exec("CREATE TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END; INSERT INTO f VALUES ('a')")
        #expect(failure { try session.exec("DROP TRIGGER IF EXISTS x") }?.code == 8)
        #expect(failure { try session.query("SELECT optimize(f) FROM f LIMIT 1") }?.code == 23)
        #expect(failure { try session.exec("PRAGMA query_only = OFF") }?.code == 23)
        #expect(failure { try session.query("SELECT * FROM pragma_optimize") } != nil)
        #expect(try session.query("SELECT a FROM f WHERE f MATCH 'a'").rows == [[.text("a")]])
        #expect(try writer.query("SELECT count(*) FROM sqlite_schema WHERE type = 'trigger'").rows == [[.integer(1)]])
    }

    @Test("what writes to TEMP only needs no turn; what turns out to write elsewhere does")
    func temporary() throws {
        let engine = try TestEngine { $0.writeTimeout = .milliseconds(50) }
        let (one, two) = (try engine.session(), try engine.session())
        try two.exec("CREATE TABLE x (a); BEGIN IMMEDIATE")
        try one.exec("CREATE TEMP TABLE x (a); INSERT INTO x VALUES (?)", [.integer(1)])
        #expect(try one.query("UPDATE x SET a = 2 RETURNING a").rows == [[.integer(2)]])
        try one.exec("BEGIN; INSERT INTO x VALUES (3); ROLLBACK; DELETE FROM x WHERE a = 7")
        let insert = "INSERT INTO x VALUES (?)"
        try one.exec(insert, [.integer(4)])
        try one.exec("DROP TABLE temp.x")
        #expect(failure { try one.exec(insert, [.integer(5)]) }?.code == 5)
        try two.exec("COMMIT")
        try one.exec(insert, [.integer(6)])
        #expect(try two.query("SELECT a FROM x").rows == [[.integer(6)]])
        // A trigger of TEMP writes to the database.
        try one.exec(
            "CREATE TEMP TABLE z (a); CREATE TEMP TRIGGER r AFTER INSERT ON z BEGIN INSERT INTO x VALUES (7); END")
        try two.exec("BEGIN IMMEDIATE")
        #expect(failure { try one.exec("INSERT INTO z VALUES (1)") }?.code == 5)
    }

    @Test("virtual tables whose module writes are read and written after another session changed the schema")
    func virtualTables() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE VIRTUAL TABLE r USING rtree(i, a, b); CREATE VIRTUAL TABLE f USING fts5(a)")
        let reader = try engine.session("file:test?mode=ro")
        for index in 0..<3 {
            try two.exec("INSERT INTO r VALUES (?, 1, 2)", [.integer(Int64(index))])
            try two.exec("INSERT INTO f VALUES ('a')")
            for session in [one, reader] {
                #expect(try session.query("SELECT count(*) FROM r").rows == [[.integer(Int64(index + 1))]])
                #expect(try session.query("SELECT count(*) FROM f('a')").rows == [[.integer(Int64(index + 1))]])
            }
            try two.exec("CREATE TABLE t\(index) (a)")
        }
    }
}
