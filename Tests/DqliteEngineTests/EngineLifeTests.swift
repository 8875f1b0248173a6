import Dispatch
import DqliteEngine
import DqliteProtocol
import Foundation
import Synchronization
import Testing

@Suite("Databases come and go")
struct EngineLifeTests {
    @Test("opening and reading create nothing; the first write does")
    func creation() throws {
        let engine = try TestEngine()
        let (one, two) = (try engine.session(), try engine.session())
        #expect(try one.query("SELECT count(*) FROM sqlite_schema").rows == [[.integer(0)]])
        #expect(failure { try one.query("SELECT * FROM t") }?.message == "no such table: t")
        #expect(failure { try one.exec("INSERT INTO t VALUES (1)") }?.code == 1)
        #expect(failure { try one.exec("CREATE TABLE") }?.code == 1)
        #expect(try FileManager.default.contentsOfDirectory(atPath: engine.directory) == [])
        // Statements, settings and the transaction live on when the file comes.
        let count = try one.prepare("SELECT count(*) FROM sqlite_schema").statementID
        let setting = try one.prepare("PRAGMA foreign_keys").statementID
        let create = try one.prepare("CREATE TABLE t (a)").statementID
        try one.exec("PRAGMA foreign_keys = OFF")
        #expect(try two.query("SELECT count(*) FROM sqlite_schema").rows == [[.integer(0)]])
        try one.exec("BEGIN; SAVEPOINT s")
        #expect(try one.query(count).rows == [[.integer(0)]])
        try one.exec(create)
        #expect(try one.query(count).rows == [[.integer(1)]])
        #expect(try two.query("SELECT count(*) FROM sqlite_schema").rows == [[.integer(0)]])
        try one.exec("RELEASE s; COMMIT")
        #expect(try one.query(setting).rows == [[.integer(0)]])
        #expect(try two.query("SELECT count(*) FROM sqlite_schema").rows == [[.integer(1)]])
        #expect(try two.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
        #expect(failure { try two.exec("CREATE TABLE t (a)") }?.message == "table t already exists")
    }

    @Test("a transaction that has seen the database empty cannot write once somebody else has created it")
    func creationRace() throws {
        let engine = try TestEngine()
        let (one, two, three) = (try engine.session(), try engine.session(), try engine.session())
        try one.exec("BEGIN")
        _ = try one.query("SELECT count(*) FROM sqlite_schema")
        let statement = try three.prepare("CREATE TABLE t (a)").statementID
        try two.exec("CREATE TABLE t (a)")
        #expect(try one.query("SELECT count(*) FROM sqlite_schema").rows == [[.integer(0)]])
        #expect(failure { try one.exec("CREATE TABLE u (a)") }?.code == 517)
        try one.exec("ROLLBACK")
        try one.exec("CREATE TABLE u (a)")
        #expect(failure { try three.exec(statement) }?.message == "table t already exists")
    }

    @Test("what was committed is there after everything was closed")
    func durability() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        session.close()
        #expect(try engine.session().query("SELECT a FROM t").rows == [[.integer(1)]])
        // Until a checkpoint it is in the log alone.
        #expect(!engine.hasFile("test"))
        engine.engine.close()
        #expect(engine.hasFile("test"))
        #expect(!engine.hasFile("test-wal"))
        let again = try TestEngine(after: engine)
        #expect(try again.session().query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("modes that need the database refuse one that does not exist")
    func modes() throws {
        let engine = try TestEngine()
        for mode in ["ro", "rw"] {
            #expect(failure { try engine.session("file:test?mode=\(mode)") }?.code == 14)
        }
        try engine.session("file:test?mode=rwc").exec("CREATE TABLE t (a)")
        try engine.session("file:te%73t?mode=rw&cache=private").exec("INSERT INTO t VALUES (1)")
        #expect(try engine.session("file:test?mode=ro").query("SELECT a FROM t").rows == [[.integer(1)]])
    }

    @Test("there is a limit on databases")
    func limit() throws {
        let engine = try TestEngine { $0.maximumDatabases = 2 }
        try engine.session("a").exec("CREATE TABLE t (a)")
        let session = try engine.session("b")
        #expect(failure { try engine.session("c") }?.code == 13)
        session.close()
        let other = try engine.session("c")
        try other.exec("CREATE TABLE t (a)")
        other.close()
        let third = try engine.session("d")
        let error = failure { try third.exec("CREATE TABLE t (a)") }
        #expect(error?.code == 13)
        #expect(error?.message == "there are 2 databases, which is the limit of this node")
    }

    @Test("a dump holds what is committed, in one file that SQLite can open")
    func dump() throws {
        let engine = try TestEngine { $0.maximumDumpSize = 1 << 20 }
        guard case .failure(let unknown) = engine.dump("test") else {
            Issue.record("a dump of nothing")
            return
        }
        #expect(unknown.code == 1002)
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a); INSERT INTO t VALUES (1)")
        try session.exec("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)")
        let files = try engine.dump("test").get().files
        #expect(files.map(\.name) == ["test", "test-wal"])
        #expect(files[1].content == [])
        #expect(files[0].content.count % 4096 == 0)
        try session.exec("COMMIT")
        let copy = try TestEngine()
        try Data(files[0].content).write(to: URL(fileURLWithPath: "\(copy.directory)/copy"))
        #expect(try copy.session("copy").query("SELECT a FROM t").rows == [[.integer(1)]])
        try session.exec("INSERT INTO t VALUES (zeroblob(2000000))")
        guard case .failure(let tooBig) = engine.dump("test") else {
            Issue.record("a dump that is too large")
            return
        }
        #expect(tooBig.code == 18)
    }

    @Test("a file that is no database is an error, not a crash, and is not touched")
    func notADatabase() throws {
        let engine = try TestEngine()
        let path = "\(engine.directory)/notes"
        let content = Data(repeating: 0x41, count: 10_000)
        try content.write(to: URL(fileURLWithPath: path))
        let session = try engine.session("notes")
        #expect(failure { try session.query("SELECT * FROM sqlite_schema") }?.code == 26)
        #expect(failure { try session.exec("CREATE TABLE t (a)") }?.code == 26)
        #expect(try Data(contentsOf: URL(fileURLWithPath: path)) == content)
        try FileManager.default.createSymbolicLink(atPath: "\(engine.directory)/link", withDestinationPath: path)
        #expect(failure { try engine.session("link").query("SELECT * FROM sqlite_schema") }?.code == 1550)
    }

    @Test("an engine needs a directory that it can write to")
    func directories() throws {
        let engine = try TestEngine()
        try Data().write(to: URL(fileURLWithPath: "\(engine.directory)/file"))
        for (path, text) in [("missing/child", "cannot be created"), ("file", "is none")] {
            let error = #expect(throws: EngineError.self) {
                try Engine(
                    configuration: EngineConfiguration(directory: "\(engine.directory)/\(path)"), replicator: engine.log
                )
            }
            #expect(error?.code == 14)
            #expect(error?.message.contains(text) ?? false)
        }
    }

    @Test("closing waits for who is about to let go of a batch, so that the files can be opened again")
    func batchHeldWhileClosing() throws {
        let engine = try TestEngine()
        let session = try engine.session()
        try session.exec("CREATE TABLE t (a)")
        engine.log.forgetProposals()
        engine.log.change { $0.commitsAtOnce = false }
        let sink = try session.startExec("INSERT INTO t VALUES (1)")
        engine.log.awaitProposal()
        // Each keeps its batch.
        let completions = Mutex(engine.log.now.pending)
        #expect(completions.withLock { $0.count } == 1)
        engine.log.change { $0.commitsAtOnce = true }
        engine.log.commit()
        _ = try TestSession.result(of: sink)
        session.close()
        DispatchQueue.global().asyncAfter(deadline: .now() + .milliseconds(100)) { completions.withLock { $0 = [] } }
        engine.engine.close()
        let again = try TestEngine(after: engine)
        #expect(try again.session().query("SELECT a FROM t").rows == [[.integer(1)]])
    }
}
