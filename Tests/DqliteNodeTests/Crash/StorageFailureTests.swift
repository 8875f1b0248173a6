import DqliteLog
import DqliteProtocol
import DqliteRaft
import Foundation
import LogSimulation
import Testing

@testable import DqliteEngine

/// What a node does when the disk fails, or is full.
@Suite struct StorageFailureTests {
    private static let database = "one.db"

    /// A node with one table of one row.
    private func node(
        segmentSize: Int = 256 << 10, _ engine: @escaping (inout EngineConfiguration) -> Void = { _ in }
    ) throws -> (SimulatedNode, SimulatedClient) {
        let node = SimulatedNode(seed: 1, log: { $0.segmentSize = segmentSize }, engine: engine)
        try node.start()
        let client = try node.session(Self.database)
        try client.exec("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        try client.exec("INSERT INTO t VALUES (1, NULL)")
        return (node, client)
    }

    private static func insert(_ number: Int) -> String { "INSERT INTO t VALUES (\(number), randomblob(3000))" }

    private func failure(_ client: SimulatedClient, _ sql: String) throws -> EngineError {
        try #require(try client.startExec(sql).wait().failure)
    }

    private func count(_ client: SimulatedClient) throws -> Int64 {
        guard case .integer(let count) = try client.query("SELECT count(*) FROM t")[0][0] else { return -1 }
        return count
    }

    /// The file is what the log says, after a crash as well.
    private func restart(_ node: SimulatedNode, killed: Bool = false) throws -> SimulatedClient {
        try node.crash(killed: killed)
        node.files.faults = SimulatedDatabaseFiles.Faults()
        try node.start()
        let client = try node.session(Self.database)
        #expect(try client.query("PRAGMA integrity_check") == [[.text("ok")]])
        return client
    }

    // MARK: The log

    @Test("after a failed sync of the log nothing is acknowledged and nothing is synced; reads go on")
    func failedSync() throws {
        let (node, client) = try self.node()
        node.disk.faults.syncsToFailure = 0
        let error = try self.failure(client, "INSERT INTO t VALUES (2, NULL)")
        #expect(error.outcome == .unknown)
        #expect(error.code == FailureCode.inputOutput)
        // The node is told to stop, and which file it is.
        #expect(node.reports.wait { $0.logFailures.contains { $0.contains("cannot sync segment-") } })
        #expect(error.message.contains("cannot sync segment-"))
        let syncs = node.disk.syncs
        node.disk.faults.syncsToFailure = nil
        for number in 3..<6 {
            let error = try self.failure(client, "INSERT INTO t VALUES (\(number), NULL)")
            #expect(error.outcome == .notCommitted)
        }
        #expect(try self.count(client) == 1)
        let again = try self.restart(node, killed: true)
        #expect(node.disk.syncs > syncs, "the next start syncs, and writes again what it finds")
        let found = try self.count(again)
        #expect(found == 1 || found == 2)
    }

    @Test("a node that ends after a failed sync of the log does not sync it again")
    func endAfterFailedSync() throws {
        let (node, client) = try self.node()
        node.disk.faults.syncsToFailure = 0
        _ = try self.failure(client, "INSERT INTO t VALUES (2, NULL)")
        node.disk.faults.syncsToFailure = nil
        let (syncs, writes) = (node.disk.syncs, node.files.counts.writes)
        node.stop()
        #expect(node.disk.syncs == syncs)
        #expect(node.files.counts.writes == writes, "the log has no intent for them")
    }

    @Test("damage before the end of the log: the node does not start, names file and place, and changes nothing")
    func damage() throws {
        let (node, client) = try self.node(segmentSize: 16 << 10) {
            $0.checkpointPages = 4
        }
        for number in 2..<12 { try client.exec(Self.insert(number)) }
        node.stop()
        let names = node.disk.files.keys.filter { $0.hasPrefix("segment-") }.sorted()
        let whole = node.disk.files
        let files = try node.files.contents()
        for name in names {
            var damaged = whole
            damaged[name]![300] ^= 0x10
            node.disk.files = damaged
            let error = #expect(throws: LogError.self) { try node.start() }
            guard case .damaged(let file, let offset, _) = error else {
                Issue.record("\(String(describing: error))")
                continue
            }
            #expect(file == name)
            #expect((0...300).contains(offset))
            #expect(error?.description.hasPrefix("\(name) is damaged at byte \(offset): ") ?? false)
            #expect(node.disk.files == damaged)
            #expect(try node.files.contents() == files)
        }
        node.disk.files = whole
        try node.start()
        #expect(try self.count(try node.session(Self.database)) == 11)
    }

    @Test("a full disk: writes fail as not committed, reads go on, and writes do when there is room")
    func noRoom() throws {
        let (node, client) = try self.node()
        node.disk.faults.capacity = node.disk.files.reduce(0) { $0 + $1.value.count }
        var error: EngineError?
        var acknowledged: Int64 = 1
        while error == nil, acknowledged < 100 {
            error = try client.startExec(Self.insert(Int(acknowledged) + 1)).wait().failure
            if error == nil { acknowledged += 1 }
        }
        #expect(error?.code == FailureCode.full)
        #expect(error?.outcome == .notCommitted)
        #expect(error?.message.contains("no space left for the log") ?? false)
        for _ in 0..<3 {
            #expect(try self.failure(client, Self.insert(1000)).outcome == .notCommitted)
            #expect(try self.count(client) == acknowledged)
        }
        node.disk.faults.capacity = .max
        try client.exec(Self.insert(1000))
        #expect(node.reports.now.logFailures == [])
        #expect(try self.count(try self.restart(node)) == acknowledged + 1)
    }

    /// A term begins with an entry of its own, for which there may be no room.
    @Test("a node starts on a full disk, with a log that is full: it reads, and writes when there is room")
    func startWithoutRoom() throws {
        // Entries of three pages leave less than that, sooner or later so little that nothing fits.
        let (node, client) = try self.node(segmentSize: 32 << 10)
        node.disk.faults.capacity = node.disk.files.reduce(0) { $0 + $1.value.count }
        var number: Int64 = 2
        while try client.startExec(Self.insert(Int(number))).wait().failure == nil, number < 100 { number += 1 }
        // Each start adds an entry, until there is no room for one.
        var again = client
        for _ in 0..<1000 where node.obstacle == nil { again = try self.restart(node, killed: true) }
        guard case .noSpace = node.obstacle else {
            Issue.record("\(String(describing: node.obstacle))")
            return
        }
        for _ in 0..<3 {
            #expect(try self.count(again) == number - 1)
            let error = try self.failure(again, Self.insert(1000))
            #expect(error.code == FailureCode.full)
            #expect(error.outcome == .notCommitted)
            #expect(error.message.contains("no space left for the log"))
        }
        again = try self.restart(node)
        #expect(node.obstacle != nil)
        // Those of the crashes.
        let failures = node.reports.now.logFailures.count
        node.disk.faults.capacity = .max
        try again.exec(Self.insert(1000))
        try again.exec(Self.insert(1001))
        #expect(node.reports.now.logFailures.count == failures)
        again = try self.restart(node)
        #expect(node.obstacle == nil)
        #expect(try self.count(again) == number + 1)
    }

    @Test("a checkpoint can be recorded on a full disk, and makes the room that writes wait for")
    func checkpointMakesRoom() throws {
        let (node, client) = try self.node(segmentSize: 32 << 10) { $0.checkpointIdleLimit = .seconds(1) }
        node.disk.faults.capacity = 4 * 32 << 10
        var last: Int64 = 1
        while try client.startExec(Self.insert(Int(last) + 1)).wait().failure == nil, last < 100 { last += 1 }
        #expect(last < 100)
        // A checkpoint comes by itself, after which the segments before the last are not needed.
        let index = try #require(node.log?.status.lastIndex)
        #expect(node.files.waitForCheckpoint(of: Self.database, at: index))
        #expect(try self.count(client) == last)
        let limit = ContinuousClock.now + .seconds(30)
        while try client.startExec(Self.insert(Int(last) + 1)).wait().failure != nil, ContinuousClock.now < limit {}
        #expect(try self.count(client) == last + 1)
        #expect(node.reports.now.checkpointFailures == [])
        #expect(node.reports.now.logFailures == [])
    }

    // MARK: The files

    @Test("pages that cannot be written are written later, and nothing is lost", arguments: [ENOSPC, EIO])
    func failedWrite(code: CInt) throws {
        let (node, client) = try self.node {
            $0.checkpointPages = 8
            $0.checkpointIdleLimit = .milliseconds(20)
        }
        #expect(node.files.waitForCheckpoint(of: Self.database, at: try #require(node.log?.status.lastIndex)))
        node.files.faults.codeOfWrites = code
        node.files.faults.writesToFailure = 2
        for number in 2..<12 { try client.exec(Self.insert(number)) }
        #expect(node.reports.wait { !$0.checkpointFailures.isEmpty })
        let reason = try #require(node.reports.now.checkpointFailures.first)
        #expect(reason.contains("\(node.files.directory)/\(Self.database) cannot be written"))
        #expect(try self.count(client) == 11)
        // As long as it lasts, what the file lacks is in the log.
        let again = try self.restart(node, killed: true)
        #expect(try self.count(again) == 11)
        node.files.faults.codeOfWrites = code
        node.files.faults.writesToFailure = 0
        let failures = node.reports.now.checkpointFailures.count
        for number in 12..<22 { try again.exec(Self.insert(number)) }
        #expect(node.reports.wait { $0.checkpointFailures.count > failures })
        // When it works again, it is done by itself.
        node.files.faults.writesToFailure = nil
        #expect(node.files.waitForCheckpoint(of: Self.database, at: try #require(node.log?.status.lastIndex)))
        #expect(node.reports.now.engineFailures == [])
        #expect(try self.count(again) == 21)
        #expect(try self.count(try self.restart(node)) == 21)
    }

    @Test("an attempt to write the same pages again costs the log nothing")
    func repeatedAttempts() throws {
        let (node, client) = try self.node { $0.checkpointIdleLimit = .milliseconds(20) }
        #expect(node.files.waitForCheckpoint(of: Self.database, at: try #require(node.log?.status.lastIndex)))
        node.files.faults.writesToFailure = 0
        try client.exec(Self.insert(2))
        #expect(node.reports.wait { !$0.checkpointFailures.isEmpty })
        let syncs = node.disk.syncs
        #expect(node.reports.wait { $0.checkpointFailures.count >= 4 })
        #expect(node.disk.syncs == syncs)
        node.files.faults.writesToFailure = nil
        #expect(node.files.waitForCheckpoint(of: Self.database, at: try #require(node.log?.status.lastIndex)))
        #expect(try self.count(try self.restart(node, killed: true)) == 2)
    }

    @Test("after a failed sync of a file nothing is written into it, not at the end either; redo repairs it")
    func failedFileSync() throws {
        let (node, client) = try self.node { $0.checkpointPages = 8 }
        node.files.faults.syncsToFailure = 1
        for number in 2..<12 { try client.exec(Self.insert(number)) }
        #expect(node.reports.wait { !$0.engineFailures.isEmpty })
        try self.stopsAfterFailedSync(node, client)
    }

    @Test("after a failed sync of the directory nothing is written into the file")
    func failedDirectorySync() throws {
        let (node, client) = try self.node { $0.checkpointPages = 8 }
        node.files.faults.directorySyncsToFailure = 0
        for number in 2..<12 { try client.exec(Self.insert(number)) }
        #expect(node.reports.wait { !$0.engineFailures.isEmpty })
        try self.stopsAfterFailedSync(node, client)
    }

    private func stopsAfterFailedSync(_ node: SimulatedNode, _ client: SimulatedClient) throws {
        let error = try #require(node.reports.now.engineFailures.first)
        #expect(error.message.contains("\(node.files.directory)/\(Self.database)"))
        let before = node.files.counts
        node.files.faults = SimulatedDatabaseFiles.Faults()
        // What is in the log is durable, whatever the file is.
        for number in 12..<32 { try client.exec(Self.insert(number)) }
        #expect(try self.count(client) == 31)
        let done = node.log?.status.checkpoints[Self.database]?.done
        node.stop()
        #expect(node.files.counts.syncs == before.syncs)
        #expect(node.files.counts.writes == before.writes)
        #expect(node.reports.now.engineFailures.count == 1)
        let again = try self.restart(node)
        #expect(node.log?.status.checkpoints[Self.database]?.done ?? .zero >= done ?? .zero)
        #expect(try self.count(again) == 31)
        node.stop()
        #expect(node.files.violations == [])
    }

    /// Who made the file may have been killed before its name was durable, and then the file is there.
    @Test("a file is not marked as done before its name is durable, whoever made it")
    func nameOfAFile() throws {
        let (node, _) = try self.node {
            $0.checkpointIdleLimit = .milliseconds(20)
        }
        node.files.faults.directorySyncsToFailure = 0
        #expect(node.reports.wait { !$0.events.isEmpty })
        let client = try self.restart(node, killed: true)
        try client.exec(Self.insert(2))
        node.stop()
        #expect(node.files.violations == [])
        try node.start()
        #expect(try self.count(try self.restart(node)) == 2)
    }
}
