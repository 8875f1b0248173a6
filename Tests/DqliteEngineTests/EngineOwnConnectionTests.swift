import DqliteProtocol
import Testing

@testable import DqliteEngine

/// What a session's own connection would know, it knows here too, whoever else does what in between.
@Suite("Sessions know their own")
struct EngineOwnConnectionTests {
    @Test("rowids and counts of changes are the session's own", arguments: [WireEncoding.dqlite, .protobuf])
    func numbers(encoding: WireEncoding) throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session("test", encoding), try engine.session("test", encoding))
        try one.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        for session in [one, two] { #expect(try session.query("SELECT last_insert_rowid()").rows == [[.integer(0)]]) }
        #expect(try one.exec("INSERT INTO t (b) VALUES (1)").lastInsertRowID == 1)
        #expect(
            try two.exec("INSERT INTO t (b) VALUES (2), (3)") == ResultResponse(lastInsertRowID: 3, rowsAffected: 2))
        let numbers = "SELECT last_insert_rowid(), changes(), total_changes()"
        #expect(try one.query(numbers).rows == [[.integer(1), .integer(1), .integer(1)]])
        #expect(try two.query(numbers).rows == [[.integer(3), .integer(2), .integer(2)]])
        try two.exec("UPDATE t SET b = 0")
        #expect(try one.query(numbers).rows == [[.integer(1), .integer(1), .integer(1)]])
        #expect(try two.query(numbers).rows == [[.integer(3), .integer(3), .integer(5)]])
        // Also for statements that are prepared, and in a transaction.
        let prepared = try one.prepare(numbers).statementID
        try one.exec("BEGIN")
        try one.exec("INSERT INTO t (b) VALUES (4)")
        #expect(try one.query(prepared).rows == [[.integer(4), .integer(1), .integer(2)]])
        try one.exec("ROLLBACK")
        try two.exec("DELETE FROM t")
        #expect(try one.query(prepared).rows == [[.integer(4), .integer(1), .integer(2)]])
    }

    /// No authorizer sees that a default reads the rowid of another session.
    private func rowIDsSeen(_ defects: EngineDefects) throws -> [[Value]] {
        let engine = try TestEngine { $0.defects = defects }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, who, previous DEFAULT (last_insert_rowid()))")
        try one.exec("INSERT INTO t (a, who) VALUES (10, 1)")
        try two.exec("INSERT INTO t (a, who) VALUES (20, 2)")
        try one.exec("INSERT INTO t (a, who) VALUES (11, 1)")
        try two.exec("INSERT INTO t (a, who) VALUES (21, 2)")
        return try one.query("SELECT a, previous FROM t ORDER BY a").rows
    }

    @Test("a default that reads the last rowid reads the session's own; a shared connection is found out")
    func defaults() throws {
        let right: [[Value]] = [[10, 0], [11, 10], [20, 0], [21, 20]].map { $0.map { .integer($0) } }
        #expect(try self.rowIDsSeen([]) == right)
        #expect(try self.rowIDsSeen(.sharesWriter) != right)
    }

    @Test("TEMP objects are the session's own, and last")
    func temporary() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        try one.exec("CREATE TEMP TABLE u (a); INSERT INTO u VALUES (2)")
        #expect(failure { try two.query("SELECT a FROM u") }?.message == "no such table: u")
        try two.exec("CREATE TEMP TABLE t (a); INSERT INTO t VALUES (3)")
        #expect(try one.query("SELECT a FROM t").rows == [[.integer(1)]])
        #expect(try two.query("SELECT a FROM t").rows == [[.integer(3)]])
        #expect(try two.query("SELECT a FROM main.t").rows == [[.integer(1)]])
        try two.exec("INSERT INTO main.t VALUES (4)")
        #expect(try one.query("SELECT a FROM t UNION ALL SELECT a FROM u").rows.count == 3)
        #expect(try one.query("SELECT name FROM sqlite_temp_schema").rows == [[.text("u")]])
        try two.exec("DROP TABLE temp.t")
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(2)]])
    }

    @Test("settings of a connection are the session's own; foreign keys are on from the start")
    func settings() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE p (a INTEGER PRIMARY KEY); CREATE TABLE c (a REFERENCES p)")
        for session in [one, two] {
            #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
            #expect(failure { try session.exec("INSERT INTO c VALUES (7)") }?.code == 787)
        }
        // As a query, which is how a client may ask for it.
        _ = try one.query("PRAGMA foreign_keys = OFF")
        #expect(try one.query("PRAGMA foreign_keys").rows == [[.integer(0)]])
        #expect(try one.query("SELECT foreign_keys FROM pragma_foreign_keys").rows == [[.integer(0)]])
        try one.exec("INSERT INTO c VALUES (7)")
        #expect(try two.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
        #expect(try two.query("SELECT foreign_keys FROM pragma_foreign_keys").rows == [[.integer(1)]])
        #expect(failure { try two.exec("INSERT INTO c VALUES (8)") }?.code == 787)
        let prepared = try two.prepare("PRAGMA query_only = ON").statementID
        try two.exec(prepared)
        #expect(failure { try two.exec("DELETE FROM c") }?.code == 8)
        #expect(try two.query("PRAGMA query_only").rows == [[.integer(1)]])
        #expect(try one.query("PRAGMA query_only").rows == [[.integer(0)]])
        try one.exec("DELETE FROM c")
        #expect(try two.query("SELECT count(*) FROM c").rows == [[.integer(0)]])
    }

    @Test("statements outlive changes of the schema, also in their number of columns", arguments: [false, true])
    func schemaChanges(prepared: Bool) throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try two.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        let sql = "SELECT * FROM t"
        let number = prepared ? try one.prepare(sql).statementID : 0
        func rows() throws -> Rows { prepared ? try one.query(number) : try one.query(sql) }
        #expect(try rows() == Rows(columns: ["a"], rows: [[.integer(1)]]))
        try two.exec("ALTER TABLE t ADD COLUMN b DEFAULT 2")
        #expect(try rows() == Rows(columns: ["a", "b"], rows: [[.integer(1), .integer(2)]]))
        try two.exec("ALTER TABLE t RENAME COLUMN a TO c")
        #expect(try rows() == Rows(columns: ["c", "b"], rows: [[.integer(1), .integer(2)]]))
        try two.exec("DROP TABLE t")
        #expect(failure { try rows() }?.message == "no such table: t")
        try two.exec("CREATE TABLE t (d)")
        #expect(try rows() == Rows(columns: ["d"], rows: []))
    }

    @Test("connections for writing that are idle are given up for others, and with them nothing")
    func idleWriters() throws {
        let engine = try TestEngine { $0.maximumIdleWriters = 2 }
        let sessions = try (0..<6).map { _ in try engine.session() }
        try sessions[0].exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        // One that has something of its own keeps it.
        try sessions[1].exec("CREATE TEMP TABLE u (a); INSERT INTO u VALUES (1)")
        for round in 0..<3 {
            for (number, session) in sessions.enumerated() {
                let result = try session.exec("INSERT INTO t (b) VALUES (?)", [.integer(Int64(number))])
                #expect(result.rowsAffected == 1)
                let expected = try session.query("SELECT max(a) FROM t").rows
                #expect([[.integer(result.lastInsertRowID)]] == expected, "round \(round)")
            }
        }
        #expect(try sessions[1].query("SELECT a FROM u").rows == [[.integer(1)]])
        for (number, session) in sessions.enumerated() where number != 1 {
            #expect(try session.query("SELECT last_insert_rowid()").rows == [[.integer(Int64(13 + number))]])
        }
    }
}
