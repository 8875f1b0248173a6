import DqliteProtocol
import Testing

@testable import DqliteEngine

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

@Suite("Transactions and writers")
struct EngineTransactionTests {
    @Test("a transaction is seen by its own session only until it is committed")
    func isolation() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session("test", .protobuf))
        try one.exec("CREATE TABLE t (a)")
        try one.exec("BEGIN")
        try one.exec("INSERT INTO t VALUES (1)")
        #expect(try one.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(0)]])
        try one.exec("COMMIT")
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        try one.exec("BEGIN; DELETE FROM t; ROLLBACK")
        #expect(try one.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
    }

    @Test("writers wait in order, and none is told that the database is locked")
    func fairness() throws {
        let engine = try TestEngine { $0.maximumThreads = 2 }
        let first = try engine.session()
        try first.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b)")
        try first.exec("BEGIN IMMEDIATE")
        // More waiters than threads: waiting occupies none.
        let others = try (0..<10).map { _ in try engine.session() }
        var sinks: [CollectingSink] = []
        for (index, other) in others.enumerated() {
            sinks.append(try other.startExec("INSERT INTO t (b) VALUES (?)", [.integer(Int64(index))]))
            other.waitUntilQueued()
        }
        #expect(try engine.session().query("SELECT count(*) FROM t").rows == [[.integer(0)]])
        #expect(sinks.allSatisfy { $0.now.end == nil })
        try first.exec("COMMIT")
        for sink in sinks { _ = try TestSession.result(of: sink) }
        #expect(try first.query("SELECT b FROM t ORDER BY a").rows == (0..<10).map { [.integer($0)] })
    }

    @Test("many sessions that write at once all succeed")
    func manyWriters() async throws {
        let engine = try TestEngine()
        try engine.session().exec("CREATE TABLE t (a)")
        let sessions = try (0..<20).map { _ in try engine.session() }
        let sinks = try sessions.map {
            try $0.startExec(Array(repeating: "INSERT INTO t VALUES (1)", count: 20).joined(separator: ";"))
        }
        for sink in sinks { _ = try TestSession.result(of: sink) }
        #expect(try engine.session().query("SELECT count(*) FROM t").rows == [[.integer(400)]])
    }

    @Test("a writer that waits too long is told who wrote, and for how long")
    func timeout() throws {
        let engine = try TestEngine { $0.writeTimeout = .milliseconds(30) }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a); BEGIN IMMEDIATE")
        let error = failure { try two.exec("INSERT INTO t VALUES (1)") }
        #expect(error?.code == 5)
        #expect(error?.outcome == .notCommitted)
        #expect(error?.message.hasPrefix("database is locked: another session has been writing for ") ?? false)
        #expect(error?.message.contains("waited ") ?? false)
        #expect(failure { try two.exec("BEGIN IMMEDIATE") }?.code == 5)
        try one.exec("ROLLBACK")
        try two.exec("INSERT INTO t VALUES (1)")
    }

    @Test("a deferred transaction waits for its turn at its first write, and then learns that it is too late")
    func staleSnapshot() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        try one.exec("BEGIN")
        _ = try one.query("SELECT * FROM t")
        try two.exec("INSERT INTO t VALUES (2)")
        let error = failure { try one.exec("INSERT INTO t VALUES (1)") }
        #expect(error?.code == 517)
        #expect(
            error?.message
                == "another transaction committed since this one first read; start it with BEGIN IMMEDIATE, or run it again"
        )
        // The turn is free again although the transaction is open.
        try two.exec("INSERT INTO t VALUES (3)")
        #expect(try one.query("SELECT * FROM t").rows == [])
        try one.exec("ROLLBACK")
        #expect(try one.query("SELECT count(*) FROM t").rows == [[.integer(2)]])
    }

    @Test("deferred and read-only transactions do not keep others from writing")
    func readTransactions() throws {
        let engine = try TestEngine { $0.writeTimeout = .milliseconds(1) }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        try one.exec("BEGIN; SAVEPOINT s; SELECT * FROM t")
        try two.exec("INSERT INTO t VALUES (2)")
        try one.exec("RELEASE s; COMMIT")
        // A failed statement of a transaction gives nothing away that it does not have.
        try one.exec("BEGIN IMMEDIATE")
        #expect(failure { try one.exec("INSERT INTO nowhere VALUES (1)") }?.code == 1)
        #expect(failure { try two.exec("INSERT INTO t VALUES (3)") }?.code == 5)
        try one.exec("COMMIT")
        try two.exec("INSERT INTO t VALUES (3)")
    }

    @Test("a closed session gives back the turn and rolls back")
    func closing() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        try one.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        let sink = try two.startExec("INSERT INTO t VALUES (2)")
        two.waitUntilQueued()
        one.close()
        _ = try TestSession.result(of: sink)
        #expect(try two.query("SELECT a FROM t").rows == [[.integer(2)]])
        #expect(failure { try one.exec("SELECT 1") }?.code == 9)
        one.close()
    }

    @Test("constraint errors have extended codes, and leave the transaction as SQLite does")
    func constraints() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (p REFERENCES p, n NOT NULL)")
        #expect(failure { try session.exec("INSERT INTO c VALUES (1, 1)") }?.code == 787)
        #expect(failure { try session.exec("INSERT INTO c VALUES (NULL, NULL)") }?.code == 1299)
        try session.exec("INSERT INTO p VALUES (1)")
        #expect(failure { try session.exec("INSERT INTO p VALUES (1)") }?.code == 1555)
        try session.exec("BEGIN; INSERT INTO p VALUES (2)")
        let error = failure { try session.exec("INSERT OR ROLLBACK INTO p VALUES (1)") }
        #expect(error?.code == 1555)
        #expect(error?.message == "UNIQUE constraint failed: p.id; the transaction was rolled back")
        #expect(failure { try session.exec("COMMIT") }?.message == "cannot commit - no transaction is active")
    }

    @Test("a transaction that does nothing for too long is rolled back, and its client told once")
    func idleTransaction() throws {
        let engine = try TestEngine { $0.transactionIdleLimit = .milliseconds(20) }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        // Waits until the other has lost its turn.
        try two.exec("INSERT INTO t VALUES (2)")
        let error = failure { try one.exec("INSERT INTO t VALUES (3)") }
        #expect(error?.code == 516)
        #expect(error?.message.hasPrefix("the transaction was rolled back: nothing was asked of it for 20 ms") ?? false)
        #expect(try one.query("SELECT a FROM t").rows == [[.integer(2)]])
    }

    @Test("a transaction that takes too long is rolled back, also while a statement of it runs")
    func longTransaction() throws {
        let engine = try TestEngine { $0.maximumTransactionDuration = .milliseconds(100) }
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        try session.exec("BEGIN IMMEDIATE")
        let error = failure { try session.query(endless) }
        #expect(error?.code == 516)
        #expect(error?.message.contains("it was open for longer than 100 ms") ?? false)
        try session.exec("BEGIN; INSERT INTO t VALUES (1); COMMIT")
    }

    @Test("VACUUM works, and so do ANALYZE, REINDEX and PRAGMA optimize")
    func maintenance() throws {
        let engine = try TestEngine()
        for isStateless in [false, true] {
            let session = try engine.session("test", .protobuf, isStateless: isStateless)
            try session.exec("CREATE TABLE IF NOT EXISTS t (a UNIQUE); INSERT OR IGNORE INTO t VALUES (1)")
            try session.exec("VACUUM")
            try session.exec("VACUUM; ANALYZE; REINDEX; PRAGMA optimize; PRAGMA incremental_vacuum")
            #expect(try session.query("VACUUM").rows == [])
            #expect(try session.query("PRAGMA integrity_check").rows == [[.text("ok")]])
        }
    }

    @Test("full-text tables are filled by triggers")
    func fullText() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec(
            """
            CREATE TABLE t (id INTEGER PRIMARY KEY, a);
            CREATE VIRTUAL TABLE f USING fts5 (a, content = 't', content_rowid = 'id');
            CREATE TRIGGER i AFTER INSERT ON t BEGIN INSERT INTO f (rowid, a) VALUES (new.id, new.a); END;
            INSERT INTO t (a) VALUES ('the quick fox'), ('the slow fox');
            """)
        #expect(try session.query("SELECT rowid FROM f WHERE f MATCH 'slow'").rows == [[.integer(2)]])
    }
}

/// A query that does not end by itself.
let endless = "WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c"
/// One that returns rows all the time.
let endlessRows = "WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"

extension TestSession {
    /// Waits until the session waits for the turn to write.
    func waitUntilQueued() {
        let limit = ContinuousClock.now + .seconds(30)
        while !self.session.database.isWaiting(self.session) {
            guard ContinuousClock.now < limit else {
                Issue.record("the session does not wait for its turn")
                return
            }
            sched_yield()
        }
    }
}
