import DqliteEngine
import DqliteProtocol
import TestSupport
import Testing

@Suite("Everything at once")
struct EngineChaosTests {
    @Test(
        "sessions that read, write, pause, are interrupted and closed at any time answer each request once",
        arguments: 1...6)
    func chaos(seed: UInt64) throws {
        let engine = try TestEngine {
            // Enough for what never ends by itself: whoever closes needs one too.
            $0.maximumThreads = 9
            $0.partSize = 64
        }
        try engine.session().exec("CREATE TABLE t (a, b UNIQUE)")
        var random = SeededRandom(seed: seed)
        var sessions: [(session: TestSession, sink: CollectingSink?)] = []
        for _ in 0..<8 {
            sessions.append((try engine.session("test", Bool.random(using: &random) ? .dqlite : .protobuf), nil))
        }
        let texts = [
            "INSERT INTO t (a) VALUES (1), (1)", "INSERT INTO t (a) SELECT 1 FROM (VALUES (1), (1)) RETURNING a",
            "BEGIN", "BEGIN IMMEDIATE", "COMMIT", "ROLLBACK", "SELECT a FROM t LIMIT 50", endlessRows, endless,
            "INSERT INTO t (a) VALUES (1), (1); INSERT INTO t (a, b) VALUES (1, random())", "SELECT count(*) FROM t",
        ]
        for _ in 0..<2000 {
            let index = Int.random(in: 0..<sessions.count, using: &random)
            let session = sessions[index].session
            if let sink = sessions[index].sink {
                if sink.now.end == nil {
                    if Bool.random(using: &random) { session.session.interrupt() } else { session.session.resume() }
                    continue
                }
                #expect(sink.now.ends == 1)
                sessions[index].sink = nil
            }
            let sink = CollectingSink(pausesAfterEachPart: Bool.random(using: &random), keepsParts: false)
            let text = texts.randomElement(using: &random)!
            if Bool.random(using: &random), !text.hasPrefix("INSERT INTO t (a) VALUES (1), (1);") {
                sessions[index].sink = try session.startQuery(text, sink: sink)
            } else {
                sessions[index].sink = try session.start(ExecSQLRequest(sql: text), sink: sink)
            }
            if Int.random(in: 0..<20, using: &random) == 0 {
                session.close()
                #expect(sink.now.ends == 1)
                sessions[index] = (try engine.session(), nil)
            }
        }
        for (session, sink) in sessions {
            session.close()
            if let sink { #expect(sink.now.ends == 1) }
        }
        // Nobody has kept the turn, and each statement was done as a whole or not at all.
        let last = try engine.session()
        try last.exec("INSERT INTO t (a) VALUES (1), (1)")
        #expect(try last.query("SELECT count(*) % 2 FROM t WHERE b IS NULL").rows == [[.integer(0)]])
        #expect(try last.query("PRAGMA integrity_check").rows == [[.text("ok")]])
    }
}
