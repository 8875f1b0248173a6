import Dispatch
import DqliteProtocol
import Foundation
import TestSupport
import Testing

@testable import DqliteEngine

/// Clients write through a leader that loses its leadership at random, with batches on their way, and regains it; the next
/// leader keeps some of the batches and drops the rest.
///
/// What is done, and when, comes from a seed; how the engine's threads run does not, so a failure may take a few runs of its
/// seed to come back.
final class SpeculationTrial {
    /// What became of a write.
    enum Fate { case acknowledged, dropped, unknown }

    struct Result: Sendable {
        var problems: [String] = []
        var fates: [Fate: Int] = [:]
        var reads = 0
        var entries = 0
    }

    /// A client: a session, what it has asked for, and what it knows.
    private final class Client {
        let session: TestSession
        let number: Int64
        var pending: (sink: CollectingSink, ended: (CollectingSink.End) -> Void)?
        /// What is left of a transaction of several requests.
        var rest: [() throws -> Void] = []
        var isInTransaction = false
        /// The rowid that the next INSERT of this client sees; nil: not known.
        var lastRowID: Int64?

        init(_ session: TestSession, number: Int64) {
            self.session = session
            self.number = number
        }
    }

    private var random: SeededRandom
    private let log = MemoryReplicator()
    private let leader: TestEngine
    private let configure: (inout EngineConfiguration) -> Void
    private var clients: [Client] = []
    private var fates: [Int64: Fate] = [:]
    /// Tickets that were rolled back by their own client.
    private var rolledBack: Set<Int64> = []
    private var nextTicket: Int64 = 1
    /// What readers of the committed view saw, and how many entries were committed by then.
    private var seen: [(committed: Int, tickets: Set<Int64>)] = []
    /// The rowids that rows are to have seen.
    private var expectedRowIDs: [Int64: Int64] = [:]
    private var result = Result()
    private let somebodyEnded = DispatchSemaphore(value: 0)

    init(seed: UInt64, defects: EngineDefects = []) throws {
        self.random = SeededRandom(seed: seed)
        let inFlight = [1, 1, 2, 4][self.random.below(4)]
        let checkpointPages = [4, 16, 4096][self.random.below(3)]
        self.configure = {
            $0.batchesInFlight = inFlight
            $0.checkpointPages = checkpointPages
            $0.writeTimeout = .seconds(60)
            $0.defects = defects
        }
        self.leader = try TestEngine(log: self.log, self.configure)
        self.log.change { $0.ignoresTerm = defects.contains(.ignoresTerm) }
    }

    func run() throws -> Result {
        let setup = try self.leader.session()
        try setup.exec(
            """
            CREATE TABLE t (ticket INTEGER PRIMARY KEY, client INTEGER, body BLOB);
            CREATE TABLE bank (account INTEGER PRIMARY KEY, balance INTEGER);
            INSERT INTO bank SELECT value, 100 FROM json_each('[0,1,2,3,4,5,6,7]');
            CREATE TABLE d (ticket INTEGER PRIMARY KEY, previous INTEGER DEFAULT (last_insert_rowid()))
            """)
        setup.close()
        for number in 0..<4 { self.clients.append(Client(try self.leader.session(), number: Int64(number))) }
        let reader = try self.leader.session()
        self.log.change { $0.commitsAtOnce = false }
        for _ in 0..<(20 + self.random.below(40)) {
            switch self.random.below(20) {
            case 0..<10: try self.write()
            case 10..<15: self.log.commit(1 + self.random.below(3))
            case 15..<18: try self.read(reader)
            case 18: try self.loseLeadership(flickers: self.random.chance(50))
            default: self.collect()
            }
        }
        try self.finish()
        try self.check()
        return self.result
    }

    // MARK: Clients

    private func ticket() -> Int64 {
        defer { self.nextTicket += 1 }
        return self.nextTicket
    }

    /// Notes what has ended.
    private func collect() {
        for client in self.clients {
            guard let pending = client.pending, let end = pending.sink.now.end else { continue }
            client.pending = nil
            pending.ended(end)
        }
    }

    private func write() throws {
        self.collect()
        guard let client = self.clients.filter({ $0.pending == nil }).randomElement(using: &self.random) else { return }
        if !client.rest.isEmpty { return try client.rest.removeFirst()() }
        let ticket = self.ticket()
        let insert = "INSERT INTO t VALUES (\(ticket), \(client.number), randomblob(\(self.random.below(6000))))"
        switch self.random.below(8) {
        case 0, 1: try self.exec(client, insert, ticket)
        case 2: try self.exec(client, "BEGIN; \(insert); \(self.transfer()); COMMIT", ticket)
        case 3: try self.query(client, insert + " RETURNING ticket", ticket)
        case 4: try self.chain(client, ticket, insert, commits: true)
        case 5:
            self.rolledBack.insert(ticket)
            try self.chain(client, ticket, insert, commits: false)
        case 6:
            if let previous = client.lastRowID { self.expectedRowIDs[ticket] = previous }
            try self.exec(client, "INSERT INTO d (ticket) VALUES (\(ticket))", ticket)
        default:
            let sql = self.random.chance(50) ? "CREATE TABLE IF NOT EXISTS x (a)" : "DROP TABLE IF EXISTS x"
            try self.exec(client, "BEGIN; \(sql); \(insert); COMMIT", ticket)
        }
    }

    private func transfer() -> String {
        let (from, to) = (self.random.below(8), self.random.below(8))
        return "UPDATE bank SET balance = balance - 1 WHERE account = \(from); "
            + "UPDATE bank SET balance = balance + 1 WHERE account = \(to)"
    }

    private func exec(_ client: Client, _ sql: String, _ ticket: Int64) throws {
        client.pending = (
            try client.session.startExec(sql, sink: self.sink()),
            { [self] end in
                client.lastRowID = nil
                if case .result(let response) = end { client.lastRowID = response.lastInsertRowID }
                self.decide(client, ticket, end)
            }
        )
    }

    private func query(_ client: Client, _ sql: String, _ ticket: Int64) throws {
        client.lastRowID = nil
        client.pending = (
            try client.session.startQuery(sql, sink: self.sink()), { [self] in self.decide(client, ticket, $0) }
        )
    }

    /// A transaction of several requests, which the loss of leadership may catch open. BEGIN comes as a query, which is how a
    /// client asks for what only reads.
    private func chain(_ client: Client, _ ticket: Int64, _ insert: String, commits: Bool) throws {
        client.lastRowID = nil
        func step(_ sql: String, isLast: Bool, isQuery: Bool = false) throws {
            let sink =
                isQuery
                ? try client.session.startQuery(sql, sink: self.sink())
                : try client.session.startExec(sql, sink: self.sink())
            client.pending = (
                sink,
                { [self] end in
                    client.isInTransaction = !isLast
                    if case .failure = end {
                        client.rest = isLast ? [] : [{ try step("ROLLBACK", isLast: true) }]
                        self.decide(client, ticket, end)
                    } else if isLast, sql != "ROLLBACK" {
                        self.decide(client, ticket, end)
                    }
                }
            )
        }
        client.rest = [
            { try step(insert, isLast: false) }, { try step(self.transfer(), isLast: false) },
            { try step(commits ? "COMMIT" : "ROLLBACK", isLast: true) },
        ]
        try step("BEGIN", isLast: false, isQuery: true)
    }

    private func decide(_ client: Client, _ ticket: Int64, _ end: CollectingSink.End) {
        let fate: Fate
        switch end {
        case .failure(let error):
            fate = error.outcome == .unknown || error.outcome == .unspecified ? .unknown : .dropped
            if error.outcome == .committed { self.result.problems.append("ticket \(ticket): \(error)") }
        default: fate = .acknowledged
        }
        self.fates[ticket] = fate
        self.result.fates[fate, default: 0] += 1
    }

    // MARK: What happens to them

    private func read(_ reader: TestSession) throws {
        let rows = try reader.query("SELECT ticket FROM t UNION ALL SELECT ticket FROM d").rows
        self.seen.append((self.log.now.committed, Self.tickets(rows)))
        self.result.reads += 1
    }

    private static func tickets(_ rows: [[Value]]) -> Set<Int64> {
        Set(rows.compactMap { if case .integer(let ticket)? = $0.first { ticket } else { nil } })
    }

    private func loseLeadership(flickers: Bool) throws {
        if flickers {
            // Lost and regained before the engine hears of it: what it offers meanwhile must be refused.
            let lost = self.log.flicker()
            for _ in 0..<3 { try self.write() }
            _ = self.log.isProposed(within: .milliseconds(50))
            self.log.reportLoss(of: lost, to: self.leader.engine)
        } else {
            try self.log.loseLeadership(self.leader.engine, keeping: self.random.below(4))
            self.waitForAll()
            self.log.lead(self.leader.engine)
        }
    }

    /// After the loss of leadership everybody is told something.
    private func waitForAll() {
        while self.clients.contains(where: { $0.pending.map { $0.sink.now.end == nil } ?? false }) {
            guard self.somebodyEnded.wait(timeout: .now() + 30) == .success else {
                return self.result.problems.append("a client is told nothing")
            }
        }
        self.collect()
    }

    /// Everybody comes to the end of what was begun.
    private func finish() throws {
        self.log.change { $0.commitsAtOnce = true }
        self.log.commit()
        while true {
            self.collect()
            for client in self.clients where client.pending == nil && !client.rest.isEmpty {
                try client.rest.removeFirst()()
            }
            guard self.clients.contains(where: { $0.pending != nil }) else { return }
            guard self.somebodyEnded.wait(timeout: .now() + 30) == .success else {
                return self.result.problems.append("a client is told nothing")
            }
        }
    }

    private func sink() -> CollectingSink { CollectingSink(ended: { [somebodyEnded] in somebodyEnded.signal() }) }

    // MARK: What must hold

    private func check() throws {
        let follower = try TestEngine(leads: false, self.configure)
        try follower.engine.recovered()
        let entries = self.log.now.entries
        self.result.entries = entries.count
        follower.log.change { $0.entries = entries }
        var states: [Set<Int64>] = [[]]
        let reader = try follower.session()
        for (position, entry) in entries.enumerated() {
            try self.log.apply(entry, position, to: follower.engine)
            let rows = try? reader.query("SELECT ticket FROM t UNION ALL SELECT ticket FROM d").rows
            states.append(Self.tickets(rows ?? []))
        }
        for (committed, tickets) in self.seen where !tickets.isSubset(of: states[committed]) {
            let early = tickets.subtracting(states[committed]).sorted()
            self.result.problems.append("a reader saw \(early) when \(committed) entries were committed")
        }
        let present = states[entries.count]
        for (ticket, fate) in self.fates.sorted(by: { $0.key < $1.key }) {
            if fate == .acknowledged, !self.rolledBack.contains(ticket), !present.contains(ticket) {
                self.result.problems.append("ticket \(ticket) was acknowledged and is missing")
            }
            if fate == .dropped, present.contains(ticket) {
                self.result.problems.append("ticket \(ticket) was dropped and is there")
            }
        }
        let wrong = self.rolledBack.intersection(present).sorted()
        if !wrong.isEmpty { self.result.problems.append("\(wrong) were rolled back and are there") }
        try self.checkContent(of: reader)
        reader.close()
        for client in self.clients { client.session.close() }
        self.leader.engine.close()
        follower.engine.close()
        let files = [self.leader, follower].map { FileManager.default.contents(atPath: $0.directory + "/test") }
        if files[0] == nil || files[0] != files[1] {
            let sizes = files.map { $0?.count ?? -1 }
            let pages = stride(from: 0, to: max(0, sizes.min()!), by: 4096).filter { at in
                files[0]?[at..<at + 4096] != files[1]?[at..<at + 4096]
            }.map { $0 / 4096 + 1 }
            self.result.problems.append("the files of leader and follower differ: \(sizes) bytes, pages \(pages)")
        }
    }

    private func checkContent(of reader: TestSession) throws {
        for (sql, expected) in [
            ("SELECT sum(balance) FROM bank", Value.integer(800)), ("PRAGMA integrity_check", .text("ok")),
        ] {
            let rows = (try? reader.query(sql).rows) ?? []
            if rows != [[expected]] { self.result.problems.append("\(sql): \(rows)") }
        }
        for row in (try? reader.query("SELECT ticket, previous FROM d").rows) ?? [] {
            guard case .integer(let ticket) = row[0], let expected = self.expectedRowIDs[ticket] else { continue }
            if row[1] != .integer(expected) {
                self.result.problems.append("ticket \(ticket) saw the rowid \(row[1]), its own was \(expected)")
            }
        }
    }
}
