import DqliteProtocol
import Foundation
import Testing

@testable import DqliteEngine

@Suite("What sessions may hold and touch")
struct EngineLimitTests {
    @Test(
        "functions and modules that reach into the process are refused",
        arguments: [
            "SELECT fts3_tokenizer('simple')", "SELECT hex(FTS3_Tokenizer('simple'))",
            "SELECT \"fts3_tokenizer\"('evil', x'4141414141414141')", "SELECT sqlite_log(1, 'x')",
            "SELECT * FROM sqlite_stmt", "SELECT count(*) FROM sqlite_stmt",
            "CREATE TABLE c AS SELECT sql FROM sqlite_stmt",
            "CREATE VIRTUAL TABLE d USING sqlite_dbpage", "CREATE VIRTUAL TABLE d USING CSV(filename='/etc/passwd')",
            "UPDATE t SET a = fts3_tokenizer('simple')", "DELETE FROM t WHERE fts3_tokenizer('simple') IS NULL",
            "CREATE INDEX i ON t (fts3_tokenizer(a))", "INSERT INTO u VALUES (1)",
        ])
    func functions(sql: String) throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a); CREATE TABLE u (a); CREATE TABLE csv (a); SELECT 1 FROM csv WHERE 0")
        try session.exec("CREATE TRIGGER r AFTER INSERT ON u BEGIN SELECT fts3_tokenizer('simple', x'41'); END")
        // In a view SQLite refuses it already.
        try session.exec("CREATE VIEW v AS SELECT fts3_tokenizer('simple')")
        #expect(failure { try session.query("SELECT * FROM v") } != nil)
        for error in [failure { try session.exec(sql) }, failure { try session.query(sql) }] {
            #expect(error?.code == 23)
            #expect(error?.message.contains("is refused") ?? false, "\(error?.message ?? "")")
        }
    }

    @Test("an address that is bound is refused", arguments: [WireEncoding.dqlite, .protobuf])
    func boundAddress(encoding: WireEncoding) throws {
        let engine = try TestEngine()
        for isStateless in [false, true] where encoding == .protobuf || !isStateless {
            let session = try engine.session("test", encoding, isStateless: isStateless)
            try session.exec("CREATE TABLE IF NOT EXISTS t (a)")
            let address = Value.blob(Array(repeating: 0x41, count: 8))
            #expect(failure { try session.query("SELECT fts3_tokenizer('evil', ?)", [address]) }?.code == 23)
            #expect(failure { try session.exec("CREATE VIRTUAL TABLE f USING fts3(a, tokenize=evil)") }?.code == 1)
        }
    }

    @Test("names that look alike but have other bytes are other databases")
    func names() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session("\u{e9}"), try engine.session("e\u{301}"))
        try one.exec("CREATE TABLE one (a)")
        try two.exec("CREATE TABLE two (a)")
        #expect(try one.query("SELECT name FROM sqlite_schema").rows == [[.text("one")]])
        #expect(try two.query("SELECT name FROM sqlite_schema").rows == [[.text("two")]])
        #expect(one.session.database !== two.session.database)
    }

    @Test("a database that is being created is not locked for anybody")
    func creation() throws {
        let engine = try TestEngine()
        for index in 0..<40 {
            let sessions = try (0..<5).map { _ in try engine.session("new-\(index)") }
            var sinks: [CollectingSink] = []
            for (number, session) in sessions.enumerated() {
                sinks.append(
                    number < 2
                        ? try session.startExec("CREATE TABLE IF NOT EXISTS t (a)")
                        : try session.startQuery("SELECT 1"))
            }
            for (number, sink) in sinks.enumerated() {
                if case .failure(let error) = sink.waitForEnd() { Issue.record("\(number): \(error)") }
            }
            for session in sessions { session.close() }
        }
        engine.engine.close()
        let files = try FileManager.default.contentsOfDirectory(atPath: engine.directory)
        #expect(Set(files) == Set((0..<40).map { "new-\($0)" }))
    }

    @Test("values and texts have limits")
    func sizes() throws {
        let engine = try TestEngine { $0.maximumSQLSize = 1 << 20 }
        let session = try engine.session()
        for sql in [
            "SELECT length(zeroblob(100000000))", "SELECT length(hex(randomblob(50000000)))",
            "SELECT 1 /*\(String(repeating: "x", count: 2 << 20))*/",
        ] {
            #expect(failure { try session.query(sql) }?.code == 18)
        }
        #expect(
            failure { try session.query("SELECT 'a' LIKE ?", [.text(String(repeating: "%", count: 5000))]) }?.code == 1)
        #expect(try session.query("SELECT length(zeroblob(60000000))").rows == [[.integer(60_000_000)]])
    }

    @Test("prepared statements have a limit in bytes, which finalizing frees")
    func preparedBytes() throws {
        let engine = try TestEngine { $0.maximumStatementBytesPerSession = 10_000 }
        let session = try engine.session()
        let sql = "SELECT 1 /*\(String(repeating: "x", count: 4000))*/"
        let first = try session.prepare(sql).statementID
        _ = try session.prepare(sql)
        let error = failure { try session.prepare(sql) }
        #expect(error?.code == 13)
        #expect(error?.message.contains("finalize some") ?? false)
        try session.finalize(first)
        _ = try session.prepare(sql)
    }

    @Test("requests without a session learn nothing of one another")
    func stateless() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf, isStateless: true)
        try session.exec("CREATE TABLE t (a)")
        for sql in [
            "CREATE VIRTUAL TABLE temp.s USING dbstat(main)",
            "CREATE VIRTUAL TABLE temp.k USING fts3tokenize('simple')",
        ] {
            #expect(failure { try session.exec(sql) }?.code == 23)
        }
        #expect(try session.query("SELECT name FROM sqlite_temp_schema").rows.isEmpty)
        let inserted = try session.exec("INSERT INTO t VALUES (1), (2)")
        #expect(inserted == ResultResponse(lastInsertRowID: 2, rowsAffected: 2))
        #expect(try session.exec("CREATE TABLE IF NOT EXISTS u (a)") == ResultResponse())
        #expect(try session.query("SELECT last_insert_rowid()").rows == [[.integer(0)]])
        // Within a request both go on.
        let two = try session.exec("INSERT INTO t VALUES (3); INSERT INTO t VALUES (last_insert_rowid())")
        #expect(two == ResultResponse(lastInsertRowID: 4, rowsAffected: 1))
        #expect(try session.query("SELECT a FROM t WHERE rowid = 4").rows == [[.integer(3)]])
    }
}
