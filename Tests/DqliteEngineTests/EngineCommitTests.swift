import DqliteProtocol
import DqliteRaft
import Testing

@testable import DqliteEngine

@Suite("Answers and commits")
struct EngineCommitTests {
    private func engine(_ change: (inout EngineConfiguration) -> Void = { _ in }) throws -> TestEngine {
        try .holdingCommits(after: "CREATE TABLE t (a UNIQUE); INSERT INTO t VALUES (0)", change)
    }

    @Test("nothing that was not committed is told to anybody: results, rows, errors, prepared statements")
    func gates() throws {
        let engine = try self.engine()
        let (one, two, reader) = (try engine.session(), try engine.session(), try engine.session())
        let insert = try one.startExec("INSERT INTO t VALUES (1)")
        engine.log.awaitProposal()
        // A unique value that may still be dropped; a table that may never have been.
        let conflict = try two.startExec("INSERT INTO t VALUES (1)")
        let returning = try engine.session().startQuery("INSERT INTO t VALUES (2) RETURNING a")
        let create = try engine.session().startExec("CREATE TABLE u (a)")
        let useless = try engine.session().startExec("DELETE FROM t WHERE a = 77")
        // Plain reads neither wait nor see it.
        #expect(try reader.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        #expect(failure { try reader.query("SELECT * FROM u") }?.code == 1)
        for sink in [insert, conflict, returning, create, useless] { #expect(sink.now.end == nil) }
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        #expect(insert.waitForEnd() == .result(ResultResponse(lastInsertRowID: 2, rowsAffected: 1)))
        guard case .failure(let error) = conflict.waitForEnd() else {
            throw EngineError(code: 999, message: "no conflict")
        }
        #expect(error.code == 2067)
        for sink in [returning, create, useless] { _ = sink.waitForEnd() }
        #expect(try reader.query("SELECT count(*) FROM t").rows == [[.integer(3)]])
    }

    @Test("while one batch is on its way the next one gathers")
    func batches() throws {
        let engine = try self.engine()
        let before = engine.log.now.entries.count
        let sessions = try (0..<20).map { _ in try engine.session() }
        let sinks = try sessions.enumerated().map { try $1.startExec("INSERT INTO t VALUES (\($0 + 1))") }
        let reader = try engine.session()
        try reader.exec("BEGIN")
        // Its answer waits for all that it sees, so when that is there everything before is on the overlay.
        let last = try reader.startQuery("SELECT count(*) FROM t")
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        for sink in sinks { _ = try TestSession.result(of: sink) }
        _ = last.waitForEnd()
        #expect(engine.log.now.entries.count - before < 20)
        try reader.exec("ROLLBACK")
        #expect(try reader.query("SELECT count(*) FROM t").rows == [[.integer(21)]])
    }

    @Test("a disk that is full fails writes with what to do, reads go on, and writes do when there is room")
    func noSpace() throws {
        let engine = try self.engine()
        engine.log.change { $0.commitsAtOnce = true }
        let (one, two) = (try engine.session(), try engine.session())
        try two.exec("BEGIN")
        _ = try two.query("SELECT count(*) FROM t")
        engine.log.change { $0.refusal = .noSpace("no space left for the log: /data/log/spare") }
        let error = failure { try one.exec("INSERT INTO t VALUES (1)") }
        #expect(error?.code == 13)
        #expect(error?.outcome == .notCommitted)
        #expect(error?.message.contains("/data/log/spare") ?? false)
        #expect(try one.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        // Who was in a transaction is told what became of it, once.
        let lost = failure { try two.query("SELECT count(*) FROM t") }
        #expect(lost?.code == 13)
        #expect(lost?.message.contains("rolled back") ?? false)
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
        engine.log.change { $0.refusal = nil }
        try one.exec("INSERT INTO t VALUES (1)")
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(2)]])
    }

    @Test("a log that is busy is offered the batch again")
    func queueFull() throws {
        let engine = try self.engine()
        let session = try engine.session()
        engine.log.change { $0.refusal = .queueFull }
        let sink = try session.startExec("INSERT INTO t VALUES (1)")
        engine.log.awaitProposal()
        engine.log.awaitProposal()
        #expect(sink.now.end == nil)
        engine.log.change {
            $0.refusal = nil
            $0.commitsAtOnce = true
        }
        _ = try TestSession.result(of: sink)
    }

    @Test("a timeout that ends the wait for a commit leaves its outcome open; an interrupt does not end it")
    func timeout() throws {
        let engine = try self.engine()
        let session = try engine.session()
        // Long enough to be proposed on a busy machine.
        let sink = try session.startExec("INSERT INTO t VALUES (1)", timeout: .seconds(2))
        engine.log.awaitProposal()
        session.session.interrupt()
        guard case .failure(let error) = sink.waitForEnd() else { throw EngineError(code: 999, message: "no timeout") }
        #expect(error.code == 9)
        #expect(error.outcome == .unknown)
        // It goes out with the first.
        engine.log.commit()
        engine.log.forgetProposals()
        let other = try session.startExec("INSERT INTO t VALUES (2)")
        engine.log.awaitProposal()
        session.session.interrupt()
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        _ = try TestSession.result(of: other)
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(3)]])
    }

    @Test("a node that does not lead writes nothing, and says so")
    func notLeader() throws {
        let engine = try TestEngine(leads: false)
        let session = try engine.session()
        #expect(failure { try session.exec("CREATE TABLE t (a)") }?.code == 10250)
        #expect(try session.query("SELECT 1").rows == [[.integer(1)]])
    }

    @Test("a transaction above the limit fails with the limit's name, and takes nothing with it")
    func largeTransaction() throws {
        let engine = try TestEngine { $0.maximumTransactionSize = 1 << 20 }
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let error = failure { try session.exec("INSERT INTO t VALUES (randomblob(2000000))") }
        #expect(error?.code == 13)
        #expect(error?.message.contains("1048576 bytes") ?? false, "\(error?.message ?? "")")
        try session.exec("INSERT INTO t VALUES (randomblob(500000))")
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(1)]])
    }

    @Test("short reads are answered before the call returns, long ones and first ones elsewhere")
    func callersThread() throws {
        let engine = try TestEngine { $0.runsShortReadsOnCaller = true }
        for encoding in [WireEncoding.dqlite, .protobuf] {
            let session = try engine.session("test", encoding)
            try session.exec("CREATE TABLE IF NOT EXISTS t (a INTEGER PRIMARY KEY); INSERT INTO t VALUES (NULL)")
            let short = "SELECT a FROM t WHERE a = 1"
            // Compiled the first time, on another thread.
            #expect(try session.query(short).rows == [[.integer(1)]])
            // The answer comes a moment before the session is free.
            while session.session.idleSince == nil {}
            #expect(try session.startQuery(short).now.end == .rows)
            let long =
                "WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 200000) SELECT sum(x) FROM c"
            for _ in 0..<3 { #expect(try session.query(long).rows == [[.integer(20_000_100_000)]]) }
            let many = "WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 50000) SELECT x FROM c"
            for _ in 0..<3 {
                let rows = try session.query(many).rows
                #expect(rows.count == 50_000)
                #expect(rows.last == [.integer(50_000)])
            }
            // Writes never run there.
            try session.exec("INSERT INTO t VALUES (NULL)")
            #expect(try session.query("SELECT count(*) FROM t").rows.count == 1)
        }
    }
}
