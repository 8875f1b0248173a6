import DqliteProtocol
import Foundation
import Synchronization
import Testing

@testable import DqliteEngine

/// Sessions that read share connections, and notice nothing of it.
@Suite("Connections for reading")
struct EngineReaderTests {
    private static let table = "CREATE TABLE t (a INTEGER PRIMARY KEY, b); INSERT INTO t VALUES (1, 'one'), (2, 'two')"

    private func engine(_ change: (inout EngineConfiguration) -> Void = { _ in }) throws -> TestEngine {
        let engine = try TestEngine(change)
        try engine.session().exec(Self.table)
        return engine
    }

    /// How many statements are compiled on each of the idle connections.
    private func idle(_ session: TestSession) -> [Int] {
        session.session.database.idleReaders.withLock { $0.readers.map { $0.statements.count + $0.prepared.count } }
    }

    @Test("who reads in turn reads on one connection, and what one has compiled serves all")
    func oneForAll() throws {
        let engine = try self.engine()
        let sessions = try (0..<5).map { try engine.session("test", $0 % 2 == 0 ? .dqlite : .protobuf) }
        for session in sessions {
            #expect(try session.query("SELECT b FROM t WHERE a = ?", [.integer(2)]).rows == [[.text("two")]])
            let prepared = try session.prepare("SELECT a FROM t WHERE b = ?").statementID
            #expect(try session.query(prepared, [.text("one")]).rows == [[.integer(1)]])
            #expect(try session.query(prepared).rows == [], "a parameter of the time before")
        }
        #expect(self.idle(sessions[0]) == [2])
        for session in sessions { session.close() }
        let late = try engine.session()
        #expect(self.idle(late) == [2])
    }

    @Test("a result that is read slowly keeps its connection and its snapshot")
    func slowReader() throws {
        let engine = try self.engine { $0.partSize = 16 }
        let (slow, other) = (try engine.session(), try engine.session())
        let sink = CollectingSink(pausesAfterEachPart: true)
        _ = try slow.startQuery("SELECT b FROM t ORDER BY a", sink: sink)
        sink.wait { $0.pauses == 1 }
        #expect(self.idle(other) == [])
        try other.exec("UPDATE t SET b = 'new'")
        #expect(try other.query("SELECT b FROM t ORDER BY a").rows == [[.text("new")], [.text("new")]])
        #expect(self.idle(other) == [1])
        while sink.now.end == nil {
            let pauses = sink.now.pauses
            slow.session.resume()
            sink.wait { $0.end != nil || $0.pauses > pauses }
        }
        #expect(try slow.rows(of: sink).rows == [[.text("one")], [.text("two")]])
        #expect(self.idle(other) == [1, 1])
    }

    @Test("as many stay open as may, whichever way the results ended")
    func idleLimit() throws {
        let engine = try self.engine {
            $0.partSize = 16
            $0.maximumIdleReaders = 2
        }
        let sessions = try (0..<4).map { _ in try engine.session() }
        let sinks = sessions.map { _ in CollectingSink(pausesAfterEachPart: true) }
        for (session, sink) in zip(sessions, sinks) {
            _ = try session.startQuery("SELECT b FROM t", sink: sink)
            sink.wait { $0.pauses == 1 }
        }
        sessions[0].close()
        let other = try engine.session()
        #expect(self.idle(other) == [1])
        for (session, sink) in zip(sessions, sinks).dropFirst() {
            session.session.interrupt()
            #expect(sink.waitForEnd() == .failure(EngineError(code: 9, message: "interrupted")))
        }
        #expect(self.idle(other) == [1, 1])
        #expect(try other.query("SELECT b FROM t").rows.count == 2)
    }

    @Test("what a session may not do another does not make possible")
    func refusals() throws {
        let engine = try self.engine()
        let (full, stateless) = (try engine.session(), try engine.session(isStateless: true))
        let reading = try engine.session("file:test?mode=ro")
        for sql in ["PRAGMA foreign_keys = OFF", "PRAGMA query_only = OFF", "BEGIN", "SELECT count(*) FROM temp.t"] {
            // Compiled for who may, it is there for others.
            _ = try? full.query(sql)
        }
        #expect(failure { try stateless.query("PRAGMA foreign_keys = OFF") }?.message.contains("session") == true)
        #expect(failure { try stateless.query("BEGIN") }?.message.contains("BEGIN needs a session") == true)
        #expect(failure { try reading.query("PRAGMA query_only = OFF") }?.message.contains("mode=ro") == true)
        // And the other way round.
        let another = try engine.session()
        _ = try another.query("PRAGMA foreign_keys = OFF")
        #expect(try another.query("PRAGMA foreign_keys").rows == [[.integer(0)]])
        #expect(try engine.session().query("PRAGMA foreign_keys").rows == [[.integer(1)]])
    }

    @Test("a session may have more statements prepared than a connection keeps compiled")
    func manyStatements() throws {
        let engine = try self.engine { $0.statementCacheCapacity = 1 }
        let session = try engine.session()
        let statements = try (0..<17).map { try session.prepare("SELECT b, \($0) FROM t WHERE a = ?").statementID }
        for _ in 0..<2 {
            for (number, statement) in statements.enumerated() {
                let rows = try session.query(statement, [.integer(1)]).rows
                #expect(rows == [[.text("one"), .integer(Int64(number))]])
            }
        }
        #expect(self.idle(session) == [4])
        // Others, however many, do not drive them out.
        for number in 0..<20 { #expect(try session.query("SELECT \(number)").rows == [[.integer(Int64(number))]]) }
        #expect(self.idle(session) == [8])
        // A long one works too, although it is not kept.
        let list = Array(repeating: "1", count: StatementCache.maximumLength).joined(separator: ",")
        let long = try session.prepare("SELECT count(*) FROM t WHERE a IN (\(list))").statementID
        #expect(try session.query(long).rows == [[.integer(1)]])
        #expect(self.idle(session) == [8])
    }

    @Test("who finds out that it needs the session's own connection lets others have the shared one")
    func movesOn() throws {
        let engine = try self.engine()
        let (one, two) = (try engine.session(), try engine.session())
        #expect(try one.query("SELECT foreign_keys FROM pragma_foreign_keys").rows == [[.integer(1)]])
        #expect(self.idle(two).count == 1)
        // Its turn to write is taken: it waits, and keeps from nobody what it does not need.
        try two.exec("BEGIN IMMEDIATE")
        let sink = try one.startQuery("INSERT INTO t (b) VALUES ('three') RETURNING a")
        one.waitUntilQueued()
        let limit = ContinuousClock.now + .seconds(30)
        while self.idle(two).isEmpty, ContinuousClock.now < limit { sched_yield() }
        #expect(self.idle(two).count == 1)
        try two.exec("ROLLBACK")
        #expect(try one.rows(of: sink).rows == [[.integer(3)]])
    }

    @Test("a statement is taken for as long as it was the last time")
    func shortAgain() throws {
        let engine = try self.engine { $0.runsShortReadsOnCaller = true }
        let session = try engine.session()
        let numbers = "WITH RECURSIVE c (x) AS (VALUES (1) UNION ALL SELECT x + 1 FROM c WHERE x < ?) SELECT"
        for (sql, reads) in [("\(numbers) count(*) FROM c", 1), ("\(numbers) x FROM c", 0)] {
            func isLong() throws -> Bool {
                let sql = Array(sql.utf8)
                return try session.session.database.idleReaders.withLock { idle in
                    let reader = try #require(idle.readers.last)
                    return try #require(sql.withUnsafeBytes { reader.statements.statement(for: $0) }).isLong
                }
            }
            // Some thousand rows are begun on the caller's thread, and end on another: that is long too.
            for count in [1, 40_000, 4000, 4000, 1] {
                let rows = try session.query(sql, [.integer(Int64(count))]).rows
                #expect(rows.count == (reads == 1 ? 1 : count))
                #expect(try isLong() == (count > 1), "\(sql) \(count)")
            }
            // On the caller's thread it has ended when the call returns.
            let limit = ContinuousClock.now + .seconds(30)
            while session.session.idleSince == nil, ContinuousClock.now < limit { sched_yield() }
            let sink = try session.startQuery(sql, [.integer(1)])
            #expect(sink.now.end == .rows)
        }
    }
}
