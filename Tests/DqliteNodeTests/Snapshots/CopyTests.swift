import DqliteLog
import DqliteProtocol
import DqliteRaft
import Foundation
import Synchronization
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// A copy that is made while transactions and checkpoints go on becomes the databases, by the entries of the log after its start.
@Suite struct CopyTests {
    private static let name = "one.db"

    /// A node whose checkpoints follow its transactions at once.
    ///
    /// - Parameter term: That it leads in.
    static func leader(rows: Int = 40, term: Int = 1) throws -> (SimulatedNode, SimulatedClient) {
        let node = SimulatedNode(
            seed: 1, log: { if term > 1 { $0.segmentSize = 256 << 10 } },
            engine: { $0.checkpointIdleLimit = .milliseconds(1) })
        for _ in 1..<term {
            try node.start()
            node.stop()
        }
        try node.start()
        let client = try node.session(Self.name)
        try client.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, round INTEGER, b BLOB)")
        try client.exec(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows)) "
                + "INSERT INTO t SELECT i, 0, randomblob(3000) FROM n")
        try Self.checkpoint(node)
        return (node, client)
    }

    /// Waits until the file has everything, and the engine knows.
    static func checkpoint(_ node: SimulatedNode, of name: String = Self.name) throws {
        let index = try #require(node.log?.status.lastIndex)
        #expect(node.files.waitForCheckpoint(of: name, at: index))
        let session = try node.session(name)
        defer { session.close() }
        let database = session.session.database
        database.quiet.withLock {
            while database.state.withLock({ $0.checkpoint.done }) < index {
                guard database.quiet.wait(atMost: .seconds(30)) else { break }
            }
        }
        #expect(database.state.withLock { $0.checkpoint.done } == index)
    }

    /// A follower with nothing that has installed the snapshot.
    private static func follower(with content: SnapshotContent) throws -> SnapshotFollower {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let installation = try content.receive(in: try #require(follower.directory))
        #expect(try follower.install(installation) == .installed)
        return follower
    }

    /// Gives the follower what the leader has, and compares.
    private static func catchUp(_ follower: SnapshotFollower, with leader: SimulatedNode, _ names: [String]) throws {
        try follower.openEngine()
        try follower.append(from: try #require(leader.log))
        try follower.apply()
        #expect(follower.engine?.recoveryTarget ?? .zero <= follower.log?.status.lastIndex ?? .zero)
        try follower.engine?.recovered()
        for name in names {
            #expect(try follower.dump(name) == leader.engine?.dumped(name))
            #expect(try follower.session(name).query("PRAGMA integrity_check") == [[.text("ok")]])
        }
    }

    @Test("writing, growing and shrinking between any two reads of the copy", arguments: [20_000, 262_144])
    func writingMeanwhile(chunkSize: Int) throws {
        let (leader, client) = try Self.leader()
        let other = try leader.session("two.db")
        try other.exec("CREATE TABLE u (a)")
        var round = 0
        let statements = [
            "UPDATE t SET round = round + 1, b = randomblob(3000)",
            "INSERT INTO t (round, b) SELECT 0, randomblob(2000) FROM t LIMIT 5",
            "DELETE FROM t WHERE a % 3 = 0", "VACUUM",
        ]
        let content = try SnapshotContent(of: leader, chunkSize: chunkSize) { _, _ in
            try client.exec(statements[round % statements.count])
            try Self.checkpoint(leader)
            try other.exec("INSERT INTO u VALUES (\(round))")
            round += 1
            if round == 2 { try leader.session("three.db").exec("CREATE TABLE v (a); INSERT INTO v VALUES (1)") }
        }
        #expect(content.newestIntent > content.metadata.index)
        try other.exec("INSERT INTO u VALUES (-1)")
        let follower = try Self.follower(with: content)
        #expect(follower.hasConfiguration(of: content.metadata))
        #expect(follower.log?.status.firstIndex == content.metadata.index.next)
        try Self.catchUp(follower, with: leader, ["one.db", "two.db", "three.db"])
        // And again, from what that left in its files.
        follower.stop()
        #expect(try follower.open() == nil)
        try client.exec("UPDATE t SET round = -1")
        try Self.catchUp(follower, with: leader, ["one.db", "two.db", "three.db"])
    }

    @Test("a file that shrinks while it is copied ends early; one that grows is read to where it ended")
    func changingSize() throws {
        let (leader, client) = try Self.leader()
        let shrunk = try SnapshotContent(of: leader, chunkSize: 4096) { _, chunk in
            guard chunk == 1 else { return }
            try client.exec("DELETE FROM t WHERE a > 2")
            try client.exec("VACUUM")
            try Self.checkpoint(leader)
        }
        let file = shrunk.files[0]
        #expect(file.chunks.count * 4096 < file.size)
        try Self.catchUp(try Self.follower(with: shrunk), with: leader, [Self.name])
        let grown = try SnapshotContent(of: leader, chunkSize: 4096) { _, chunk in
            guard chunk == 1 else { return }
            try client.exec("INSERT INTO t (b) SELECT randomblob(100000) FROM t")
            try Self.checkpoint(leader)
        }
        #expect(grown.files[0].chunks.reduce(0) { $0 + $1.count } == grown.files[0].size)
        try Self.catchUp(try Self.follower(with: grown), with: leader, [Self.name])
    }

    @Test("the copy starts where files have everything, and who holds the log hears of it before more is released")
    func start() throws {
        let node = SimulatedNode(seed: 2, engine: { $0.checkpointIdleLimit = .seconds(1000) })
        try node.start()
        let engine = try #require(node.engine)
        let client = try node.session(Self.name)
        let before = try #require(node.log?.status.lastIndex)
        try client.exec("CREATE TABLE t (a)")
        try client.exec("INSERT INTO t VALUES (1)")
        let copy = try engine.beginCopy { #expect($0 == before) }
        #expect(copy.start == before)
        #expect(copy.size == 0)
        #expect(try copy.nextFile() == nil)
        #expect(copy.finish() == before)
    }

    @Test("a copy of an engine that was closed meanwhile is none")
    func closing() throws {
        let (leader, _) = try Self.leader()
        let engine = try #require(leader.engine)
        let copy = try engine.beginCopy { _ in }
        #expect(try copy.nextFile()?.name == Self.name)
        engine.close(because: "the databases are replaced")
        let error = #expect(throws: EngineError.self) { try copy.endFile() }
        #expect(error?.message == "the databases are replaced")
        #expect(throws: EngineError.self) { try engine.beginCopy { _ in } }
    }

    @Test("who reads when the databases are replaced is told so")
    func readers() throws {
        let (leader, client) = try Self.leader()
        let reader = try leader.session(Self.name)
        let answer = Answer()
        let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
        _ = try reader.startQuery(endless, answer)
        leader.engine?.close(because: "the databases are replaced by those of the leader")
        #expect(answer.wait().failure?.message == "interrupted: the databases are replaced by those of the leader")
        let next = try client.startExec("SELECT 1").wait().failure
        #expect(next?.message == "interrupted: the databases are replaced by those of the leader")
    }

    // MARK: Rule 25

    /// What a client sees that reads before the entries of the copy are applied. nil: it is refused, which is right.
    private func earlyReading(ignoresIntents: Bool) throws -> [[Value]]? {
        let (leader, client) = try Self.leader()
        let content = try SnapshotContent(of: leader, chunkSize: 32 << 10) { _, chunk in
            guard chunk == 1 else { return }
            try client.exec("UPDATE t SET round = 1")
            try Self.checkpoint(leader)
        }
        let follower = try Self.follower(with: content)
        // Also after a restart.
        follower.stop()
        #expect(try follower.open() == nil)
        try follower.openEngine(ignoresIntents: ignoresIntents)
        let engine = try #require(follower.engine)
        do {
            try engine.recovered()
        } catch {
            #expect(engine.recoveryTarget == content.newestIntent)
            let refusal = #expect(throws: EngineError.self) { try follower.session(Self.name) }
            #expect(refusal?.message == "the node has not recovered yet")
            #expect(throws: EngineError.self) { try follower.dump(Self.name) }
            #expect(throws: EngineError.self) { try engine.beginCopy { _ in } }
            try Self.catchUpAfterRefusal(follower, leader)
            return nil
        }
        return try follower.session(Self.name).query("SELECT DISTINCT round FROM t ORDER BY 1")
    }

    private static func catchUpAfterRefusal(_ follower: SnapshotFollower, _ leader: SimulatedNode) throws {
        try follower.append(from: try #require(leader.log))
        try follower.apply()
        try follower.engine?.recovered()
        #expect(try follower.dump(Self.name) == leader.engine?.dumped(Self.name))
    }

    @Test("nobody reads before the newest entry of the copy is applied, also after a restart")
    func noEarlyReaders() throws {
        #expect(try self.earlyReading(ignoresIntents: false) == nil)
    }

    /// Otherwise a leader that was started again could send none before it has applied something, and if that takes the vote of
    /// the member that waits for the copy, never.
    @Test("a copy begins where the log does, when that holds nothing that was applied")
    func copyOfAnEmptyLog() throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "copy-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        let log = try Log(directory: path + "/log")
        defer { log.close() }
        try log.save(HardState(term: Term(3)))
        try log.reset(to: LogIndex(500), term: Term(2))
        let replicator = LocalReplicator(log: log) { Issue.record("\($0)") }
        let engine = try Engine(
            configuration: EngineConfiguration(directory: path + "/databases"), replicator: replicator)
        defer { engine.close() }
        try engine.redo(log, through: LogIndex(500))
        try engine.recovered()
        #expect(try engine.beginCopy { _ in }.start == LogIndex(500))
    }

    @Test("a node that lets clients read before that is found: they see a transaction in part")
    func plantedDefect() throws {
        let rows = try self.earlyReading(ignoresIntents: true)
        #expect(rows == [[.integer(0)], [.integer(1)]])
    }
}
