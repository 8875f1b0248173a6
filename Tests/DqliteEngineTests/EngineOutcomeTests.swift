import DqliteProtocol
import DqliteRaft
import Testing

@testable import DqliteEngine

/// What is told when something goes wrong between a commit and its answer, and what is left then.
@Suite("Outcomes")
struct EngineOutcomeTests {
    private func engine(_ change: (inout EngineConfiguration) -> Void = { _ in }) throws -> TestEngine {
        try .holdingCommits(after: "CREATE TABLE t (a UNIQUE)", change)
    }

    @Test(
        "of two statements that are transactions of their own the first is committed: the failure of the second says so"
    )
    func committedFirst() throws {
        let engine = try self.engine()
        let session = try engine.session()
        let sink = try session.startExec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
        engine.log.awaitProposal()
        engine.log.change { $0.refusal = .noSpace("no space left") }
        engine.log.commit()
        guard case .failure(let error) = sink.waitForEnd() else { throw EngineError(code: 999, message: "no failure") }
        #expect(error.code == 13)
        #expect(error.outcome == .committed)
        #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("of two statements the first is on its way when leadership is lost: nobody knows")
    func unknownFirst() throws {
        let engine = try self.engine()
        let session = try engine.session()
        let sink = try session.startExec("INSERT INTO t VALUES (1); INSERT INTO t VALUES (2)")
        engine.log.awaitProposal()
        try engine.log.loseLeadership(engine.engine, keeping: 1)
        guard case .failure(let error) = sink.waitForEnd() else { throw EngineError(code: 999, message: "no failure") }
        #expect(error.outcome == .unknown)
    }

    @Test("a database outlives its creator, who is gone before its first commit")
    func creatorIsGone() throws {
        let engine = try self.engine()
        let creator = try engine.session("new")
        _ = try creator.startExec("CREATE TABLE a (b)")
        engine.log.awaitProposal()
        creator.close()
        // Somebody looks meanwhile.
        #expect(
            failure {
                try engine.engine.openSession(database: "file:new?mode=ro", encoding: .dqlite, isStateless: false)
            } != nil)
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        let session = try engine.session("new")
        try session.exec("INSERT INTO a VALUES (1)")
        #expect(try session.query("SELECT b FROM a").rows == [[.integer(1)]])
    }

    @Test("who waited in vain for a commit inside a transaction has to wait again")
    func gateAfterTimeout() throws {
        let engine = try self.engine()
        let (one, two) = (try engine.session(), try engine.session())
        let insert = try one.startExec("INSERT INTO t VALUES (1)")
        engine.log.awaitProposal()
        try two.exec("BEGIN")
        for _ in 0..<2 {
            let error = failure { try two.query("SELECT a FROM t", timeout: .milliseconds(30)) }
            #expect(error?.code == 9)
        }
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        _ = try TestSession.result(of: insert)
        #expect(try two.query("SELECT a FROM t").rows == [[.integer(1)]])
        #expect(try two.query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("rows of the committed view go on when the session's overlay, which they do not need, is gone")
    func rowsOutliveTheOverlay() throws {
        let engine = try self.engine()
        let session = try engine.session("test", .protobuf)
        engine.log.change { $0.commitsAtOnce = true }
        try session.exec("INSERT INTO t VALUES (1), (2), (3)")
        let sink = CollectingSink(limit: 10)
        _ = try session.startQuery("SELECT 'abcdefghij' AS c FROM t", sink: sink)
        sink.wait { !$0.blocked.isEmpty }
        try engine.log.loseLeadership(engine.engine)
        engine.log.lead(engine.engine)
        sink.setLimit(100)
        session.session.resume()
        #expect(try session.rows(of: sink).rows.count == 3)
    }

    @Test("a view that comes to ask for the session's own rowid is answered by its own connection")
    func viewChanges() throws {
        let engine = try self.engine()
        engine.log.change { $0.commitsAtOnce = true }
        let (one, two) = (try engine.session(), try engine.session())
        try two.exec("INSERT INTO t VALUES (1), (2), (3); CREATE VIEW v AS SELECT 7 AS x")
        #expect(try one.query("SELECT x FROM v").rows == [[.integer(7)]])
        let prepared = try one.prepare("SELECT x FROM v")
        #expect(try one.query(prepared.statementID).rows == [[.integer(7)]])
        try one.exec("INSERT INTO t VALUES (4)")
        try two.exec("DROP VIEW v; CREATE VIEW v AS SELECT last_insert_rowid() AS x; INSERT INTO t VALUES (5)")
        #expect(try one.query("SELECT x FROM v").rows == [[.integer(4)]])
        #expect(try one.query(prepared.statementID).rows == [[.integer(4)]])
        #expect(try two.query("SELECT x FROM v").rows == [[.integer(5)]])
    }

    @Test("the end of an earlier term does not end a later one")
    func earlierTerm() throws {
        let engine = try self.engine()
        engine.log.change { $0.commitsAtOnce = true }
        let session = try engine.session()
        session.session.database.doomOverlay(.leadershipLost, generation: 0, endingTerm: .zero)
        try session.exec("INSERT INTO t VALUES (1)")
        let generation = session.session.database.generation
        session.session.database.doomOverlay(.leadershipLost, generation: generation - 1, endingTerm: .zero)
        #expect(session.session.database.generation == generation)
    }

    @Test("a database has one call of the clock, however often it is written and copied")
    func calls() throws {
        let engine = try TestEngine { $0.checkpointPages = 1 }
        let sessions = try (0..<4).map { _ in try engine.session() }
        try sessions[0].exec("CREATE TABLE t (a)")
        for _ in 0..<200 {
            let sinks = try sessions.map { try $0.startExec("INSERT INTO t VALUES (1)") }
            for sink in sinks { _ = try TestSession.result(of: sink) }
        }
        #expect(engine.engine.clock.count <= 10)
    }

    @Test("gates that are never all open at once keep only who waits")
    func gates() throws {
        let session = try self.engine().session().session
        var gates = Gates()
        for sequence in 1...UInt64(1000) {
            gates.insert(.init(sequence: sequence, session: session, ticket: sequence))
            #expect(gates.take(through: sequence - 1).map(\.sequence) == (sequence == 1 ? [] : [sequence - 1]))
        }
        #expect(gates.waiters.count <= 2)
        #expect(gates.take(above: 0).map(\.sequence) == [1000])
    }
}

extension SessionStateMachineTests {
    @Test("a transaction that waits for its commit is not told to be too old")
    func oldButDone() {
        var machine = self.inTransaction()
        _ = machine.run(2, timeout: nil, now: self.start)
        _ = machine.beginSlice()
        let ticket = machine.awaitCommit(isDone: true)
        #expect(ticket != nil)
        #expect(machine.nextAlarm == nil)
        #expect(machine.alarm(now: self.start + .seconds(700)).name == "none")
        #expect(machine.stop == nil)
    }

    @Test("what came before the wait for a commit ends it as if it came then")
    func stoppedBefore() {
        var machine = self.running(timeout: .seconds(1))
        _ = machine.alarm(now: self.start + .seconds(2))
        #expect(machine.awaitCommit(isDone: true) == nil)
        machine = self.running(timeout: .seconds(1))
        _ = machine.interrupt()
        #expect(machine.awaitCommit(isDone: false) == nil)
        #expect(machine.awaitCommit(isDone: true) != nil)
        #expect(machine.nextAlarm == self.start + .seconds(1))
    }

    @Test("who has only said BEGIN holds no snapshot")
    func snapshots() {
        var machine = self.inTransaction()
        #expect(machine.snapshotStart == nil)
        _ = machine.run(2, timeout: nil, now: self.start + .seconds(1))
        _ = machine.beginSlice()
        #expect(machine.snapshotStart == self.start + .seconds(1))
        machine.finish()
        _ = machine.delivered(now: self.start, isInTransaction: true, hasSnapshot: true)
        #expect(machine.snapshotStart == self.start)
        machine.finish()
        _ = machine.delivered(now: self.start, isInTransaction: false)
        #expect(machine.snapshotStart == nil)
    }
}
