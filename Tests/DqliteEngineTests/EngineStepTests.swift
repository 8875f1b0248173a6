import Dispatch
import DqliteProtocol
import DqliteRaft
import Synchronization
import Testing

@testable import DqliteEngine

/// An engine without threads, whose jobs run when the test says so.
@Suite("An engine without threads") struct EngineStepTests {
    private final class Time: Sendable {
        private let span = Mutex(Duration.zero)

        var now: MonotonicInstant { MonotonicInstant(self.span.withLock { $0 }) }
        func pass(_ duration: Duration) { self.span.withLock { $0 += duration } }
    }

    private static func work(_ engine: Engine) {
        while let job = engine.takeJob(.readers) ?? engine.takeJob(.lanes) { job() }
    }

    @Test("a batch that is refused because too much is under way is offered again after a while, and not at once")
    func offersAgainLater() throws {
        let time = Time()
        let engine = try TestEngine { $0.time = { time.now } }
        defer { engine.engine.abandon() }
        engine.log.change {
            $0.commitsAtOnce = false
            $0.refusal = .queueFull
        }
        let sink = try engine.session().startExec("CREATE TABLE t (a)")
        Self.work(engine.engine)
        #expect(engine.log.isProposed(within: .nanoseconds(0)))
        #expect(!engine.log.isProposed(within: .nanoseconds(0)))
        engine.log.change { $0.refusal = nil }
        engine.engine.ring()
        Self.work(engine.engine)
        #expect(!engine.log.isProposed(within: .nanoseconds(0)))
        time.pass(.milliseconds(2))
        engine.engine.ring()
        Self.work(engine.engine)
        #expect(engine.log.isProposed(within: .nanoseconds(0)))
        engine.log.commit()
        #expect(sink.now.end == .result(.init(lastInsertRowID: 0, rowsAffected: 0)))
    }

    @Test("connections for reading that nobody has used for a while are closed, and others are not")
    func closesUnusedReaders() throws {
        let time = Time()
        let engine = try TestEngine {
            $0.time = { time.now }
            $0.partSize = 16
        }
        defer { engine.engine.abandon() }
        let sessions = [try engine.session(), try engine.session()]
        let database = sessions[0].session.database
        func idle() -> Int { database.idleReaders.withLock { $0.readers.count } }
        func read(_ sessions: [TestSession]) throws {
            let sinks = try sessions.map {
                try $0.startQuery("VALUES (1), (2)", sink: CollectingSink(pausesAfterEachPart: true))
            }
            for _ in 0..<3 {
                Self.work(engine.engine)
                for session in sessions { session.session.resume() }
            }
            for sink in sinks { #expect(sink.now.end == .rows) }
        }
        func wait() {
            time.pass(Database.readerIdleLimit)
            engine.engine.ring()
            Self.work(engine.engine)
        }
        try read(sessions)
        #expect(idle() == 2)
        // Both were used since they were opened; then one is.
        wait()
        #expect(idle() == 2)
        try read([sessions[0]])
        wait()
        #expect(idle() == 1)
        wait()
        #expect(idle() == 0)
        wait()
        try read(sessions)
        #expect(idle() == 2)
    }
}
