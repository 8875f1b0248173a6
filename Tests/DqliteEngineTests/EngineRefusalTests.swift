import DqliteEngine
import DqliteProtocol
import Testing

@Suite("What is refused")
struct EngineRefusalTests {
    @Test(
        "statements that would leave the database, or the node's care, are refused with the reason",
        arguments: [
            ("ATTACH 'other' AS o", "ATTACH is refused"),
            ("ATTACH '' AS o", "ATTACH is refused"),
            ("ATTACH ':memory:' AS o", "ATTACH is refused"),
            ("ATTACH ? AS o", "ATTACH is refused"),
            ("DETACH main", "DETACH is refused"),
            ("VACUUM INTO 'copy'", "VACUUM INTO is refused"),
            ("SELECT load_extension('x')", "load_extension is refused"),
            ("PRAGMA journal_mode = DELETE", "PRAGMA journal_mode cannot be set"),
            ("PRAGMA main.journal_mode(OFF)", "PRAGMA journal_mode cannot be set"),
            ("PRAGMA synchronous = OFF", "PRAGMA synchronous cannot be set"),
            ("PRAGMA wal_checkpoint", "PRAGMA wal_checkpoint is refused"),
            ("PRAGMA wal_checkpoint(TRUNCATE)", "PRAGMA wal_checkpoint is refused"),
            ("PRAGMA wal_autocheckpoint = 1", "PRAGMA wal_autocheckpoint cannot be set"),
            ("PRAGMA locking_mode = EXCLUSIVE", "PRAGMA locking_mode cannot be set"),
            ("PRAGMA page_size = 512", "PRAGMA page_size cannot be set"),
            ("PRAGMA writable_schema = ON", "PRAGMA writable_schema cannot be set"),
            ("PRAGMA schema_version = 7", "PRAGMA schema_version cannot be set"),
            ("PRAGMA busy_timeout = 7", "PRAGMA busy_timeout cannot be set"),
            ("PRAGMA mmap_size = 7", "PRAGMA mmap_size cannot be set"),
            ("PRAGMA trusted_schema = 1", "PRAGMA trusted_schema cannot be set"),
            ("PRAGMA temp_store = 2", "PRAGMA temp_store cannot be set"),
            ("PRAGMA temp_store_directory = '/tmp'", "PRAGMA temp_store_directory is refused"),
            ("PRAGMA hard_heap_limit = 1", "PRAGMA hard_heap_limit is refused"),
            ("PRAGMA cache_size = 1000000000", "PRAGMA cache_size cannot be set"),
            ("PRAGMA cache_size = many", "PRAGMA cache_size takes"),
            ("PRAGMA no_such_thing", "PRAGMA no_such_thing is refused"),
            ("SELECT * FROM pragma_journal_mode('x'), (SELECT 1)", ""),
        ])
    func statements(sql: String, reason: String) throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        for error in [failure { try session.exec(sql) }, failure { try session.query(sql) }] {
            if reason.isEmpty {
                #expect(error != nil)
                continue
            }
            #expect(error?.code == 23)
            #expect(error?.message.hasPrefix(reason) ?? false, "\(error?.message ?? "")")
        }
        // Nothing of it has happened.
        #expect(try session.query("PRAGMA journal_mode").rows == [[.text("wal")]])
        #expect(try session.query("PRAGMA synchronous").rows == [[.integer(2)]])
        #expect(!engine.hasFile("copy") && !engine.hasFile("other"))
        try session.exec("INSERT INTO t VALUES (1)")
    }

    @Test("the schema cannot be written to by hand")
    func schema() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        #expect(failure { try session.exec("UPDATE sqlite_schema SET sql = 'x'") }?.code == 1)
        #expect(failure { try session.exec("DELETE FROM sqlite_schema") }?.code == 1)
    }

    @Test("PRAGMAs that are allowed do what they do")
    func pragmas() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
        // A PRAGMA that returns a row is not a SELECT: Exec takes it.
        try session.exec("PRAGMA foreign_keys; PRAGMA foreign_keys = OFF; PRAGMA table_list")
        #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(0)]])
        for _ in 0..<2 {
            try session.exec("PRAGMA foreign_keys = ON")
            #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
            try session.exec("PRAGMA foreign_keys = OFF")
            #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(0)]])
        }
        try session.exec("PRAGMA user_version = 7; PRAGMA application_id = 8; PRAGMA cache_size = -1000")
        #expect(try session.query("PRAGMA user_version").rows == [[.integer(7)]])
        #expect(try session.query("PRAGMA cache_size").rows == [[.integer(-1000)]])
        #expect(try session.query("SELECT name FROM pragma_table_info('sqlite_schema')").rows.count == 5)
        #expect(try session.query("PRAGMA page_size").rows == [[.integer(4096)]])
        let statement = try session.prepare("PRAGMA user_version").statementID
        #expect(try session.query(statement).rows == [[.integer(7)]])
    }

    @Test("requests without a session leave nothing behind, and are told so")
    func stateless() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf, isStateless: true)
        try session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        for sql in [
            "BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT s", "COMMIT", "ROLLBACK", "PRAGMA foreign_keys = OFF",
            "PRAGMA cache_size = 10", "CREATE TEMP TABLE x (a)", "CREATE TEMP VIEW v AS SELECT 1",
            "CREATE TEMP TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
        ] {
            let error = failure { try session.exec(sql) }
            #expect(error?.code == 23, "\(sql)")
            #expect(error?.message.contains("session") ?? false, "\(sql): \(error?.message ?? "")")
        }
        #expect(failure { try session.prepare("SELECT 1") }?.code == 23)
        #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
        try session.exec("PRAGMA user_version = 3")
        #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("TEMP objects belong to their session")
    func temporary() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TEMP TABLE x (a); INSERT INTO x VALUES (1)")
        #expect(try one.query("SELECT a FROM x").rows == [[.integer(1)]])
        #expect(failure { try two.query("SELECT a FROM x") }?.message == "no such table: x")
        // A transaction that writes to TEMP only holds nobody up.
        try one.exec("BEGIN; INSERT INTO x VALUES (2)")
        try two.exec("CREATE TABLE t (a)")
        try one.exec("COMMIT")
    }

    @Test("a database opened with mode=ro is read only")
    func readOnly() throws {
        let engine = try TestEngine()
        try engine.session().exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        let session = try engine.session("file:test?mode=ro")
        #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)]])
        for sql in [
            "INSERT INTO t VALUES (2)", "BEGIN IMMEDIATE", "VACUUM", "PRAGMA user_version = 1", "PRAGMA optimize",
        ] {
            #expect(failure { try session.exec(sql) }?.code == 8, "\(sql)")
        }
        try session.exec("BEGIN; SELECT 1 WHERE 0; COMMIT")
    }
}
