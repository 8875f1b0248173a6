import DqliteProtocol
import Testing

@testable import DqliteEngine

@Suite("Stopping, pausing and closing")
struct EngineStopTests {
    @Test("an interrupt ends a statement that runs, and not the next one", arguments: [endless, endlessRows])
    func interruptRunning(sql: String) throws {
        let engine = try TestEngine()
        let session = try engine.session()
        for _ in 0..<20 {
            let sink = try session.startQuery(sql, sink: CollectingSink(keepsParts: false))
            session.session.interrupt()
            #expect(sink.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
            // Too late for the one, too early for the other.
            session.session.interrupt()
            session.session.interrupt()
            #expect(try session.query("SELECT 1").rows == [[.integer(1)]])
        }
    }

    @Test("an interrupt ends several statements in one request, whichever of them runs")
    func interruptBetween() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let sql = Array(repeating: "INSERT INTO t VALUES (1)", count: 100_000).joined(separator: ";")
        let sink = try session.startExec(sql)
        session.session.interrupt()
        guard case .failure(let error) = sink.waitForEnd() else {
            Issue.record("not interrupted")
            return
        }
        #expect(error.code == 9)
        let rows = try session.query("SELECT count(*) FROM t").rows
        #expect(error.outcome == (rows == [[.integer(0)]] ? .notCommitted : .committed))
    }

    @Test("an interrupt ends the wait for the turn to write")
    func interruptWaiting() throws {
        let engine = try TestEngine()
        let (one, two, three) = (try engine.session(), try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a); BEGIN IMMEDIATE")
        let sink = try two.startExec("INSERT INTO t VALUES (2)")
        two.waitUntilQueued()
        let last = try three.startExec("INSERT INTO t VALUES (3)")
        three.waitUntilQueued()
        two.session.interrupt()
        #expect(sink.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
        #expect(try two.query("SELECT 1").rows == [[.integer(1)]])
        try one.exec("COMMIT")
        _ = try TestSession.result(of: last)
        #expect(try one.query("SELECT a FROM t").rows == [[.integer(3)]])
    }

    @Test("an interrupt ends a paused result at once; what holds the database for writing is undone")
    func interruptPaused() throws {
        let engine = try TestEngine { $0.partSize = 64 }
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let sink = try session.startQuery(endlessRows, sink: CollectingSink(pausesAfterEachPart: true))
        sink.wait { $0.pauses == 1 }
        session.session.interrupt()
        #expect(sink.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
        #expect(sink.now.partCount == 1)
        let insert =
            "INSERT INTO t SELECT value FROM json_each('[\((1...100).map(String.init).joined(separator: ","))]') RETURNING a"
        try session.exec("BEGIN")
        let second = try session.startQuery(insert, sink: CollectingSink(pausesAfterEachPart: true))
        second.wait { $0.pauses == 1 }
        session.session.interrupt()
        #expect(second.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(0)]])
        try session.exec("COMMIT")
        // As a transaction of its own it is committed when its rows are shown.
        let third = try session.startQuery(insert, sink: CollectingSink(pausesAfterEachPart: true))
        third.wait { $0.pauses == 1 }
        session.session.interrupt()
        guard case .failure(let error) = third.waitForEnd() else {
            Issue.record("not interrupted")
            return
        }
        #expect(error.code == 9)
        #expect(error.outcome == .committed)
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(100)]])
        try engine.session().exec("INSERT INTO t VALUES (1)")
    }

    @Test("a timeout ends what runs, what waits, what is paused and what has no thread")
    func timeouts() throws {
        let engine = try TestEngine {
            $0.maximumThreads = 1
            $0.partSize = 64
        }
        let session = try engine.session()
        let timeout = Duration.milliseconds(20)
        let expected = EngineError(
            code: 9, message: "interrupted: the request took longer than its timeout of 20 ms")
        #expect(failure { try session.query(endless, timeout: timeout) } == expected)
        let paused = try session.startQuery(
            endlessRows, timeout: timeout, sink: CollectingSink(pausesAfterEachPart: true))
        #expect(paused.waitForEnd() == .failure(expected))
        try session.exec("CREATE TABLE t (a); BEGIN IMMEDIATE")
        let other = try engine.session()
        #expect(failure { try other.exec("INSERT INTO t VALUES (1)", timeout: timeout) } == expected)
        // The only thread is taken: the other request never begins. (Who writes has a thread apart.)
        let reader = try engine.session()
        let running = try reader.startQuery(endless)
        #expect(failure { try other.query("SELECT 1", timeout: timeout) } == expected)
        reader.session.interrupt()
        _ = running.waitForEnd()
        #expect(try other.query("SELECT 1", timeout: .seconds(30)).rows == [[.integer(1)]])
        try session.exec("ROLLBACK")
    }

    @Test("100 MB are paused and resumed part by part; the nothing is written while paused")
    func largeResult() throws {
        let engine = try TestEngine()
        for encoding in [WireEncoding.dqlite, .protobuf] {
            let session = try engine.session("test", encoding)
            let sink = try session.startQuery(
                """
                WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c LIMIT 100000)
                SELECT x, zeroblob(1000) FROM c
                """, sink: CollectingSink(pausesAfterEachPart: true, keepsParts: false))
            var seen = 0
            while true {
                let state = sink.wait { $0.end != nil || $0.pauses > seen }
                seen = state.pauses
                if state.end != nil { break }
                // Paused after this part, and nothing of the next one has been written.
                #expect(state.part.isEmpty && state.partCount == seen)
                session.session.resume()
            }
            #expect(sink.now.end == .rows)
            #expect(sink.now.byteCount > 100_000_000)
            #expect(sink.now.partCount > 1500)
            // What was asked for as parts, and the word that ends them.
            #expect(sink.now.largestPart <= 65_536 + 8)
        }
    }

    @Test("a paused result occupies no thread")
    func pausedThreads() throws {
        let engine = try TestEngine {
            $0.maximumThreads = 2
            $0.partSize = 64
        }
        let sessions = try (0..<10).map { _ in try engine.session() }
        let sinks = try sessions.map { try $0.startQuery(endlessRows, sink: CollectingSink(pausesAfterEachPart: true)) }
        for sink in sinks { sink.wait { $0.pauses == 1 } }
        #expect(try engine.session().query("SELECT 1").rows == [[.integer(1)]])
        for session in sessions { session.close() }
        for sink in sinks { #expect(sink.now.ends == 1) }
    }

    @Test("a part is never larger than the limit; a row that does not fit waits for more")
    func partLimits() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        let sql = "SELECT 'abcdefghij' AS c FROM (VALUES (1), (2), (3), (4), (5))"
        let sink = CollectingSink(limit: 10)
        _ = try session.startQuery(sql, sink: sink)
        // Name: 3 bytes; row: 14; more: 2.
        sink.wait { $0.blocked == [19] }
        session.session.resume()
        sink.wait { $0.blocked == [19, 19] }
        sink.setLimit(35)
        session.session.resume()
        #expect(sink.waitForEnd() == .rows)
        #expect(sink.now.parts.map(\.count) == [33, 30, 14])
        #expect(try session.decode(sink.now.parts).rows.count == 5)
        let blocked = CollectingSink(limit: 0)
        _ = try session.startQuery(sql, sink: blocked)
        blocked.wait { !$0.blocked.isEmpty }
        session.session.interrupt()
        #expect(blocked.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
    }

    @Test("a result whose reader takes nothing any more is given up, and others may write")
    func unreadResult() throws {
        let engine = try TestEngine {
            $0.partSize = 64
            $0.transactionIdleLimit = .milliseconds(20)
        }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        let insert =
            "INSERT INTO t SELECT value FROM json_each('[\((1...100).map(String.init).joined(separator: ","))]') RETURNING a"
        try one.exec("BEGIN")
        let sink = try one.startQuery(insert, sink: CollectingSink(pausesAfterEachPart: true))
        sink.wait { $0.pauses == 1 }
        try two.exec("INSERT INTO t VALUES (0)")
        guard case .failure(let error) = sink.waitForEnd() else {
            Issue.record("not given up")
            return
        }
        #expect(error.code == 516)
        #expect(try one.query("SELECT DISTINCT a FROM t").rows == [[.integer(0)]])
    }

    @Test("rows of a statement that is a transaction of its own are kept until it is committed, and hold up nobody")
    func heldResult() throws {
        let engine = try TestEngine {
            $0.partSize = 64
            $0.maximumHeldResult = 20_000
        }
        let (one, two) = (try engine.session(), try engine.session())
        try one.exec("CREATE TABLE t (a)")
        let numbers = (1...100).map(String.init).joined(separator: ",")
        let insert = "INSERT INTO t SELECT value FROM json_each('[\(numbers)]') RETURNING a"
        let sink = try one.startQuery(insert, sink: CollectingSink(pausesAfterEachPart: true))
        sink.wait { $0.pauses == 1 }
        // The reader takes its time.
        try two.exec("DELETE FROM t WHERE a = 1")
        var seen = 1
        while true {
            one.session.resume()
            let state = sink.wait { $0.end != nil || $0.pauses > seen }
            seen = state.pauses
            if state.end != nil { break }
        }
        #expect(try one.rows(of: sink).rows == (1...100).map { [.integer($0)] })
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(99)]])
        let tooMany = "INSERT INTO t SELECT value FROM json_each('[\(numbers)]') RETURNING zeroblob(1000)"
        let error = failure { try one.query(tooMany) }
        #expect(error?.code == 18)
        #expect(error?.outcome == .notCommitted)
        #expect(try two.query("SELECT count(*) FROM t").rows == [[.integer(99)]])
    }

    @Test("closing in the middle of everything ends each request once and says so last")
    func closingEverywhere() throws {
        let engine = try TestEngine { $0.partSize = 64 }
        let writer = try engine.session()
        try writer.exec("CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        for round in 0..<30 {
            let session = try engine.session()
            let sink: CollectingSink
            switch round % 6 {
            case 0: sink = try session.startQuery(endless)
            case 1: sink = try session.startQuery(endlessRows, sink: CollectingSink(keepsParts: false))
            case 2:
                sink = try session.startQuery(endlessRows, sink: CollectingSink(pausesAfterEachPart: true))
                sink.wait { $0.pauses == 1 }
            case 3: sink = try session.startExec("INSERT INTO t VALUES (2)")
            case 4:
                sink = try session.startExec("INSERT INTO t VALUES (2)")
                session.waitUntilQueued()
            default: sink = try session.startQuery("SELECT 1")
            }
            session.close()
            #expect(sink.now.ends == 1)
        }
        try writer.exec("COMMIT")
        #expect(try engine.session().query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("the engine closes what its clients have left open")
    func closingTheEngine() throws {
        let engine = try TestEngine()
        let sessions = try (0..<5).map { try engine.session("test\($0)") }
        try sessions[0].exec("CREATE TABLE t (a); BEGIN IMMEDIATE; INSERT INTO t VALUES (1)")
        let sinks = try sessions[1...].map { try $0.startQuery(endless) }
        let paused = try sessions[0].startQuery(endlessRows, sink: CollectingSink(pausesAfterEachPart: true))
        paused.wait { $0.pauses == 1 }
        engine.engine.close()
        for sink in sinks + [paused] { #expect(sink.now.ends == 1) }
        #expect(throws: EngineError.self) { try engine.session() }
        #expect(engine.engine.pool.threads == 0)
        engine.engine.close()
        let again = try TestEngine(after: engine) { $0.maximumThreads = 1 }
        #expect(try again.session("test0").query("SELECT count(*) FROM t").rows == [[.integer(0)]])
    }

    @Test("too many requests that wait for a thread are refused, those that have begun are not")
    func overload() throws {
        let engine = try TestEngine {
            $0.maximumThreads = 1
            $0.maximumWaitingRequests = 2
        }
        let busy = try engine.session()
        let running = try busy.startQuery(endlessRows, sink: CollectingSink(keepsParts: false))
        running.wait { $0.partCount > 0 }
        let waiting = try (0..<2).map { _ in try engine.session().startQuery("SELECT 1") }
        let refused = try engine.session().startQuery("SELECT 1")
        guard case .failure(let error) = refused.waitForEnd() else {
            Issue.record("not refused")
            return
        }
        #expect(error.code == 5)
        #expect(error.message.contains("too many requests wait"))
        busy.session.interrupt()
        for sink in waiting { #expect(sink.waitForEnd() == .rows) }
    }

    @Test("a second request while one runs is refused, and hurts neither")
    func overlapping() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        let running = try session.startQuery(endless)
        #expect(failure { try session.query("SELECT 1") }?.code == 21)
        session.session.interrupt()
        _ = running.waitForEnd()
        #expect(try session.query("SELECT 1").rows == [[.integer(1)]])
    }

    @Test("a long query delays nobody while threads are left")
    func concurrency() throws {
        let engine = try TestEngine { $0.maximumThreads = 4 }
        let sessions = try (0..<3).map { _ in try engine.session() }
        let sinks = try sessions.map { try $0.startQuery(endless) }
        #expect(try engine.session().query("SELECT 1").rows == [[.integer(1)]])
        for session in sessions { session.session.interrupt() }
        for sink in sinks { _ = sink.waitForEnd() }
    }
}
