import CReplicaPager
import DqliteProtocol
import DqliteRaft
import Foundation
import Synchronization
import Testing

@testable import DqliteEngine

@Suite("Memory and checkpoints")
struct EngineMemoryTests {
    private static let hardLimit = 8 << 20

    private func engine() throws -> TestEngine {
        let engine = try TestEngine {
            $0.checkpointPages = 64
            $0.softMemoryLimit = 2 << 20
            $0.hardMemoryLimit = Self.hardLimit
            $0.partSize = 64
        }
        try engine.session().exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 0)")
        return engine
    }

    /// Writes 40 MiB in small transactions, and returns the most that was in memory between them.
    private func write(_ session: TestSession, rounds: Int = 400) throws -> Int {
        var most = 0
        for round in 0..<rounds {
            try session.exec(
                "INSERT OR REPLACE INTO t VALUES (?, randomblob(100000))", [.integer(Int64(2 + round % 40))])
            most = max(most, Int(session.session.database.pager.statistics.page_buffers) * 4096)
        }
        return most
    }

    @Test("who holds a transaction open stops no writer, takes bounded memory, and is told in the end")
    func openTransaction() throws {
        let engine = try self.engine()
        let (reader, writer) = (try engine.session(), try engine.session())
        try reader.exec("BEGIN")
        #expect(try reader.query("SELECT b FROM t WHERE a = 1").rows == [[.integer(0)]])
        #expect(try self.write(writer) < 3 * Self.hardLimit)
        let error = failure { try reader.query("SELECT b FROM t WHERE a = 1") }
        #expect(error?.code == 516)
        #expect(error?.message.contains("8 MiB of pages were kept") ?? false, "\(error?.message ?? "")")
        #expect(try reader.query("SELECT count(*) FROM t").rows == [[.integer(41)]])
    }

    @Test("so does a result that nobody takes")
    func unreadResult() throws {
        let engine = try self.engine()
        let (reader, writer) = (try engine.session(), try engine.session())
        let sink = try reader.startQuery(
            "SELECT a, b FROM t, (VALUES (1), (2), (3), (4), (5), (6), (7), (8))",
            sink: CollectingSink(pausesAfterEachPart: true))
        sink.wait { $0.pauses == 1 }
        #expect(try self.write(writer) < 3 * Self.hardLimit)
        guard case .failure(let error) = sink.waitForEnd() else { throw EngineError(code: 999, message: "no failure") }
        #expect(error.code == 516)
        #expect(try reader.query("SELECT count(*) FROM t").rows == [[.integer(41)]])
    }

    @Test("checkpoints follow the writers, the file has what they copied, and the log is given up behind them")
    func checkpoints() throws {
        let engine = try self.engine()
        let writer = try engine.session()
        #expect(try self.write(writer) < 2 * Self.hardLimit)
        let log = engine.log.now
        let marks = try #require(log.checkpoints["test"])
        #expect(marks.done.rawValue > 200)
        #expect(log.released <= marks.done)
        #expect(log.released.rawValue > 200)
        engine.engine.close()
        let again = try TestEngine(after: engine)
        #expect(try again.session("test").query("PRAGMA integrity_check").rows == [[.text("ok")]])
    }

    @Test("a file ahead of its own log is not made: pages wait until the node's own disk has their entries")
    func durableIndex() throws {
        let engine = try self.engine()
        engine.log.change { $0.durableLimit = 1 }
        let writer = try engine.session()
        _ = try self.write(writer, rounds: 60)
        #expect(engine.log.now.checkpoints["test"]?.intent ?? .zero <= .init(1))
        // Writers wait rather than fill the memory with what cannot be written yet.
        var sink = try writer.startExec("INSERT INTO t VALUES (NULL, randomblob(1000000))")
        while sink.now.end != nil || !writer.session.database.state.withLock({ $0.checkpoint.holdsWriters }) {
            if sink.now.end != nil { sink = try writer.startExec("INSERT INTO t VALUES (NULL, randomblob(1000000))") }
        }
        #expect(Int(writer.session.database.pager.statistics.page_buffers) * 4096 < 4 * Self.hardLimit)
        engine.log.change { $0.durableLimit = nil }
        _ = try TestSession.result(of: sink)
    }

    /// On a full disk nothing can be written before there is room, and hence no other checkpoint come.
    @Test("one checkpoint is enough to give up what it copied")
    func releaseAtOnce() throws {
        let engine = try TestEngine { $0.checkpointIdleLimit = .milliseconds(10) }
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        let last = LogIndex(UInt64(engine.log.now.entries.count))
        let limit = ContinuousClock.now + .seconds(30)
        while engine.log.now.released != last, ContinuousClock.now < limit { sched_yield() }
        #expect(engine.log.now.checkpoints["test"]?.done == last)
        #expect(engine.log.now.released == last)
    }

    /// Otherwise a crash in the middle of the redo loses what the other database has in the log only.
    @Test("what a file has from an earlier run gives nothing up that another database is still to get from the log")
    func releaseInRedo() throws {
        let first = try TestEngine()
        let (one, two) = (try first.session("one"), try first.session("two"))
        try one.exec("CREATE TABLE t (a)")
        try two.exec("CREATE TABLE t (a)")
        for number in 0..<4 {
            try two.exec("INSERT INTO t VALUES (\(number))")
            try one.exec("INSERT INTO t VALUES (\(number))")
        }
        first.engine.close()
        let (log, entries) = (first.log, first.log.now.entries)
        let last = LogIndex(UInt64(entries.count))
        // The file of one has everything; that of the other was never made.
        log.change { state in
            state.checkpoints = ["one": CheckpointPosition(intent: last, done: last)]
            state.released = .zero
        }
        try FileManager.default.removeItem(atPath: first.directory + "/two")
        var configuration = EngineConfiguration(directory: first.directory)
        configuration.checkpointPages = 1
        configuration.checkpointIdleLimit = .milliseconds(1)
        let engine = try Engine(configuration: configuration, replicator: log, checkpoints: log.now.checkpoints)
        for (position, entry) in entries.enumerated() {
            let index = LogIndex(UInt64(position + 1))
            try log.apply(entry, position, to: engine)
            guard case .frames("two", _)? = try? entry.withUnsafeBytes(CommandView.init) else { continue }
            let limit = ContinuousClock.now + .seconds(30)
            while log.now.checkpoints["two"]?.done != index, ContinuousClock.now < limit { sched_yield() }
            #expect(log.now.checkpoints["two"]?.done == index)
            #expect(log.now.released <= index)
        }
        try engine.recovered()
        engine.close()
        #expect(log.now.released > .zero)
    }

    @Test("the log must reach the newest checkpoint that was begun, or nobody opens the file")
    func intent() throws {
        let engine = try self.engine()
        engine.engine.close()
        engine.log.change { $0.checkpoints["test"]?.intent = .init(1000) }
        let error = #expect(throws: EngineError.self) { try TestEngine(after: engine) }
        #expect(error?.code == 11)
        #expect(error?.message.contains("/test may hold pages of entries up to 1000") ?? false)
    }
}
