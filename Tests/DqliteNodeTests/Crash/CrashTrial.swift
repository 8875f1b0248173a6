import Dispatch
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Foundation
import LogSimulation
import TestSupport

@testable import DqliteEngine
@testable import DqliteNode

/// Clients write to two databases of a node until it crashes; it starts again, and crashes again, also while it recovers.
///
/// What is done, and after how many steps of the disk it crashes, comes from a seed; how the threads of engine and log run
/// does not, so a failure may take a few runs of its seed to come back.
final class CrashTrial {
    /// What became of a write.
    enum Fate { case acknowledged, dropped, unknown }

    struct Result: Sendable {
        var problems: [String] = []
        var fates: [Fate: Int] = [:]
        var crashes = 0
        /// Those of them that came before the node had recovered.
        var crashesOfStarts = 0
        var entries = 0
        var segmentsRetired = 0
        /// Times that files were compared with a replay.
        var comparisons = 0
        var files = SimulatedDatabaseFiles.Counts()
    }

    private final class Client {
        let client: SimulatedClient
        var pending: (answer: Answer, ended: (EngineError?) -> Void)?
        /// What is left of a transaction of several requests.
        var rest: [() throws -> Void] = []

        init(_ client: SimulatedClient) { self.client = client }

        var isInTransaction: Bool { !self.rest.isEmpty }
    }

    static let databases = ["one.db", "two.db"]

    private var random: SeededRandom
    private let node: SimulatedNode
    private var load: CrashLoad
    private var clients: [Client] = []
    /// Whether one request follows the other.
    private let isSerial: Bool
    private let peersCommit: Bool
    private var fates: [Int64: (fate: Fate, database: String)] = [:]
    private var replay = NaiveReplay()
    /// The last entry of the replay.
    private var replayed = LogIndex.zero
    private var result = Result()
    /// Whether requests may fail.
    private var isCrashing = false
    private let somebodyEnded = DispatchSemaphore(value: 0)

    /// - Parameter peersCommit: Whether entries are committed before the node's own log has them, which a crash takes away.
    init(seed: UInt64, peersCommit: Bool = false, defect: CrashDefect? = nil) {
        self.random = SeededRandom(seed: seed)
        self.load = CrashLoad(seed: seed &* 7)
        self.isSerial = self.random.once(in: 2)
        self.peersCommit = peersCommit
        let segmentSize = [16, 64, 256].randomElement(using: &self.random)! << 10
        let checkpointPages = [1, 4, 16, 64].randomElement(using: &self.random)!
        let inFlight = [1, 1, 3].randomElement(using: &self.random)!
        self.node = SimulatedNode(seed: seed) {
            $0.segmentSize = segmentSize
            $0.recentEntriesSize = segmentSize / 4
        } engine: {
            $0.checkpointPages = checkpointPages
            $0.batchesInFlight = inFlight
        }
        self.node.peersCommit = peersCommit
        self.node.defect = defect
    }

    func run() throws -> Result {
        for _ in 0..<3 + self.random.next() % 3 {
            if self.random.once(in: 2) {
                // While pages are copied into a file.
                let writes = [4, 15, 60].randomElement(using: &self.random)!
                self.node.files.faults.writesToCrash = Int.random(in: 0...writes, using: &self.random)
            } else {
                let steps = [20, 100, 400].randomElement(using: &self.random)!
                self.node.disk.faults.stepsToCrash = Int.random(in: 0...steps, using: &self.random)
            }
            if try self.start() {
                self.check()
                if self.random.once(in: 4), try self.compare() { continue }
                try self.work(5 + Int(self.random.next() % 40))
            }
            try self.crash()
            if !self.result.problems.isEmpty { return self.result }
        }
        self.disarm()
        guard try self.start() else { throw CrashTrialError("the node does not start") }
        self.check()
        try self.work(10)
        try self.drain()
        _ = try self.compare()
        try self.compareWithArchive()
        self.result.entries = self.replay.entries
        self.result.segmentsRetired = self.node.disk.retired.count
        self.result.files = self.node.files.counts
        for (fate, _) in self.fates.values { self.result.fates[fate, default: 0] += 1 }
        return self.result
    }

    // MARK: Starts and crashes

    /// - Returns: Whether the node runs; if not, a crash came in between.
    private func start() throws -> Bool {
        do {
            try self.node.start { try self.follow($0) }
        } catch {
            guard self.node.disk.isCrashed, !(error is CrashTrialError) else { throw error }
            self.result.crashesOfStarts += 1
            return false
        }
        let count = self.isSerial ? 1 : 2
        for database in Self.databases {
            for _ in 0..<count { self.clients.append(Client(try self.node.session(database))) }
        }
        return true
    }

    /// The replay gets what is durable in the log that was opened.
    private func follow(_ log: Log) throws {
        let status = log.status
        for (database, done) in self.node.files.unfinished
        where status.checkpoints[database]?.intent ?? .zero <= done {
            throw CrashTrialError("pages were written into \(database), and the log does not know")
        }
        guard status.lastIndex >= self.replayed else {
            throw CrashTrialError("the log ends at \(status.lastIndex), and was durable up to \(self.replayed)")
        }
        var index = max(status.firstIndex, self.replayed.next)
        var commands: [(LogIndex, [UInt8])] = []
        while index <= status.lastIndex {
            for entry in try log.entries(in: index...status.lastIndex, maximumSize: 4 << 20) {
                if entry.kind == .command { commands.append((entry.index, entry.data)) }
                index = entry.index.next
            }
        }
        let first = status.firstIndex
        try self.advance(self.committed.filter { $0.key < first }.sorted { $0.key < $1.key } + commands)
        self.replayed = status.lastIndex
        self.committed = [:]
    }

    /// What was committed and is not in the replay yet.
    private var committed: [LogIndex: [UInt8]] = [:]

    private func advance(_ commands: [(LogIndex, [UInt8])]) throws {
        for (index, command) in commands where index > self.replayed { try self.replay.apply(command) }
    }

    private func crash() throws {
        let replicator = self.node.replicator
        let killed = self.random.once(in: 4)
        self.isCrashing = true
        defer { self.isCrashing = false }
        try self.node.crash(killed: killed)
        self.committed.merge(replicator?.committed ?? [:]) { $1 }
        self.collect()
        if self.clients.contains(where: { $0.pending != nil }) {
            self.result.problems.append("a client is told nothing")
        }
        self.clients = []
        self.disarm()
        self.result.problems += self.node.files.violations
        self.result.crashes += 1
    }

    // MARK: Work

    private func collect() {
        for client in self.clients {
            guard let pending = client.pending, pending.answer.now.isEnded else { continue }
            client.pending = nil
            pending.ended(pending.answer.now.failure)
        }
    }

    private func waitForSomebody() {
        if self.somebodyEnded.wait(timeout: .now() + 30) == .timedOut {
            self.result.problems.append("a client is told nothing")
        }
        self.collect()
    }

    private func work(_ count: Int) throws {
        for _ in 0..<count {
            if self.node.disk.isCrashed || !self.result.problems.isEmpty { return }
            self.collect()
            while !self.clients.contains(where: { $0.pending == nil }) {
                self.waitForSomebody()
                if !self.result.problems.isEmpty { return }
            }
            let client = self.clients.filter { $0.pending == nil }.randomElement(using: &self.random)!
            try self.act(client)
            if self.isSerial { try self.drain() }
        }
        if self.random.once(in: 2) { try self.drain() }
    }

    /// Everybody comes to the end of what was begun.
    private func drain() throws {
        while true {
            self.collect()
            for client in self.clients where client.pending == nil && client.isInTransaction {
                try client.rest.removeFirst()()
            }
            guard self.clients.contains(where: { $0.pending != nil }), self.result.problems.isEmpty else { return }
            self.waitForSomebody()
        }
    }

    private func act(_ client: Client) throws {
        if client.isInTransaction { return try client.rest.removeFirst()() }
        let work = self.load.next()
        guard work.requests.count > 1 else {
            return try self.request(client, work.requests[0]) { [self] error in self.decide(client, work, error) }
        }
        for (position, sql) in work.requests.enumerated() {
            client.rest.append { [self] in
                try self.request(client, sql) { error in
                    if error != nil { client.rest = [] }
                    if error != nil || position == work.requests.count - 1 { self.decide(client, work, error) }
                }
            }
        }
        try client.rest.removeFirst()()
    }

    private func request(_ client: Client, _ sql: String, _ ended: @escaping (EngineError?) -> Void) throws {
        let answer = Answer { [somebodyEnded] in somebodyEnded.signal() }
        client.pending = (try client.client.startExec(sql, answer), ended)
    }

    private func decide(_ client: Client, _ work: CrashLoad.Work, _ error: EngineError?) {
        if let error, !self.isCrashing, !self.node.disk.isCrashed {
            self.result.problems.append("\(work.requests.joined(separator: "; ")) fails: \(error)")
        }
        guard let ticket = work.ticket else { return }
        var fate = work.isRolledBack ? Fate.dropped : .acknowledged
        if let error {
            if error.outcome == .committed { self.result.problems.append("ticket \(ticket): \(error)") }
            fate = error.outcome == .notCommitted || work.isRolledBack ? .dropped : .unknown
        }
        self.fates[ticket] = (fate, client.client.database)
    }

    // MARK: What must hold

    private func check() {
        for database in Self.databases {
            do {
                let client = try self.node.session(database)
                defer { client.close() }
                try self.check(client)
            } catch {
                self.result.problems.append("\(database) cannot be read: \(error)")
            }
        }
    }

    private func check(_ client: SimulatedClient) throws {
        let database = client.database
        let exists = try client.query("SELECT 1 FROM sqlite_schema WHERE name = 'ledger'").count > 0
        let ledger = exists ? try client.query(CrashLoad.ledger) : []
        var present: Set<Int64> = []
        for row in ledger {
            guard case .integer(let ticket) = row[0] else { continue }
            present.insert(ticket)
            if row[1] != row[2] {
                self.result.problems.append("\(database): ticket \(ticket) has \(row[2]) parts, not \(row[1])")
            }
        }
        // What peers committed and this node's log did not get yet they would send again.
        for (ticket, (fate, home)) in self.fates where home == database {
            if fate == .acknowledged, !self.peersCommit, !present.contains(ticket) {
                self.result.problems.append("\(database): ticket \(ticket) was acknowledged and is missing")
            }
            if fate == .dropped, present.contains(ticket) {
                self.result.problems.append("\(database): ticket \(ticket) was dropped and is there")
            }
        }
        if exists {
            for (sql, expected) in CrashLoad.invariants {
                let rows = try client.query(sql)
                if rows != [[expected]] { self.result.problems.append("\(database): \(sql): \(rows)") }
            }
        }
        let integrity = try client.query("PRAGMA integrity_check")
        if integrity != [[.text("ok")]] { self.result.problems.append("\(database): \(integrity)") }
    }

    /// Ends in order, and compares the files with the replay.
    ///
    /// - Returns: Whether that was done; if not, a crash came in between.
    private func compare() throws -> Bool {
        self.disarm()
        if self.node.disk.isCrashed { return false }
        if !self.clients.allSatisfy({ $0.pending == nil }) { try self.drain() }
        let replicator = self.node.replicator
        self.node.stop()
        self.collect()
        self.clients = []
        self.committed.merge(replicator?.committed ?? [:]) { $1 }
        let committed = self.committed.sorted { $0.key < $1.key }
        try self.advance(committed)
        if let last = committed.last { self.replayed = max(self.replayed, last.key) }
        self.committed = [:]
        if let differences = self.replay.differences(from: try self.node.files.contents()) {
            self.result.problems.append("the files are not as a replay makes them: \(differences)")
        }
        self.result.problems += self.node.files.violations
        self.result.comparisons += 1
        return true
    }

    /// No crash is to come.
    private func disarm() {
        self.node.disk.faults.stepsToCrash = nil
        self.node.files.faults.writesToCrash = nil
    }

    /// The log with all segments that were ever removed gives the same files.
    private func compareWithArchive() throws {
        let disk = SimulatedDisk(seed: 1)
        disk.files = self.node.disk.retired.merging(self.node.disk.files) { $1 }
        var configuration = LogConfiguration()
        configuration.segmentSize = 4096
        let log = try Log(fileSystem: disk, configuration: configuration)
        defer { log.close() }
        guard log.status.firstIndex == LogIndex(1) else {
            self.result.problems.append("the archived log begins at \(log.status.firstIndex)")
            return
        }
        var replay = NaiveReplay()
        try replay.apply(log)
        if let differences = replay.differences(from: try self.node.files.contents()) {
            self.result.problems.append("the files are not as a replay of the archive makes them: \(differences)")
        }
    }
}

/// Something that must not be, found while the node starts.
struct CrashTrialError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
