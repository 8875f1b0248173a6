import DqliteEngine
import DqliteLog
import DqliteRaft
import TestSupport

/// The engine itself: SQLite over the pages of its pager, sessions, lane, batches, answers that wait, checkpoints, recovery.
/// Its jobs and alarms are events of the simulation.
///
/// @unchecked: a simulation does one thing at a time.
final class EngineDatabase: NodeDatabase, @unchecked Sendable {
    /// What is committed, and news of leadership, in the order of the log: as the node's applier has it.
    private enum Item {
        case own(LogIndex, Committed)
        case foreign(Entry)
        case lead(Term, LogIndex)
        case stepDown([Committed])
    }

    typealias Committed = @Sendable (Result<LogIndex, ReplicationFailure>) -> Void

    /// A command that this node proposed and that is not known to be committed.
    struct Proposal {
        var index: LogIndex
        var term: Term
        var completion: Committed
    }

    unowned var node: Node!
    unowned let cluster: Cluster
    let host: Host
    let storage: NodeLog
    let number: NodeID
    private(set) var engine: Engine?
    /// Grows when the engine is another one.
    private var generation = 0
    private(set) var applied = LogIndex.zero
    var marks: CheckpointMarks
    var proposals: [Proposal] = []
    private var inbox: [Item] = []
    private var isApplying = false
    /// The term that Raft leads in, and the one that the engine was told to lead in.
    private(set) var leadingTerm: Term?
    private(set) var servingTerm: Term?

    /// Jobs of the engine that wait for a thread, in order.
    private var jobs: [Int: () -> Void] = [:]
    private var lastJob = 0
    /// When the engine is called because of its alarms.
    private var alarm: VirtualTime?
    /// The checkpoint that is under way.
    private(set) var fiber: Fiber?
    /// Whether nothing is to be done to disks any more.
    private(set) var isDead = false
    /// Whether the engine has said that the node cannot go on.
    private var hasFailed = false
    /// What the log need not keep for the file.
    var released: LogIndex?

    /// Transactions that sessions run, by their ids.
    var runs: [UInt64: SessionRun] = [:]
    /// Requests that were answered.
    var answers: [SessionRun.Answer] = []
    var idleSessions: [EngineSession] = []

    /// Starts on what the disk holds.
    init(_ host: Host, marks: CheckpointMarks, log: NodeLog, in cluster: Cluster) throws {
        self.host = host
        self.number = host.id
        self.cluster = cluster
        self.storage = log
        self.marks = marks
        // What was ever written into a file was committed.
        try self.begin(applied: min(max(marks.intent, log.firstIndex.previous), log.lastIndex))
    }

    var isOpen: Bool { self.engine.map { self.applied >= $0.recoveryTarget } ?? false }
    var pageSize: Int { 4096 }
    var pieceSize: Int { 4 * 4096 }
    var isServing: Bool { self.leadingTerm != nil && self.leadingTerm == self.servingTerm }

    /// What time it is for the engine.
    private var instant: MonotonicInstant { MonotonicInstant(.microseconds(self.cluster.now.microseconds)) }

    /// Makes an engine of the file and of what the log has after it.
    private func begin(applied: LogIndex) throws {
        try self.host.directory.write(try self.host.files.content(), as: DatabaseFiles.database)
        let plan = self.cluster.plan
        var configuration = EngineConfiguration(directory: self.host.directory.path)
        configuration.time = { [unowned self] in self.instant }
        configuration.fileCalls = self.fileCalls
        configuration.allowsUntestedSQLite = true
        configuration.batchesInFlight = plan.batchesInFlight
        configuration.checkpointPages = plan.checkpointPages
        configuration.checkpointIdleLimit = .microseconds((plan.checkpointInterval ?? .seconds(1)).microseconds)
        configuration.maximumTransactionSize = 64 * self.pageSize
        configuration.writeTimeout = .microseconds(plan.patience.upperBound.microseconds)
        configuration.defects = self.cluster.defect?.ofEngine ?? []
        var position = CheckpointPosition(intent: self.marks.intent, done: self.marks.done)
        if self.cluster.defect == .opensBeforeIntent { position.intent = position.done }
        let engine = try Engine(
            configuration: configuration, replicator: self,
            checkpoints: self.marks.intent > .zero ? [DatabaseFiles.database: position] : [:]
        ) { [unowned self] event in
            switch event {
            case .failed: self.hasFailed = true
            case .checkpointFailed: self.cluster.checks.count("checkpoints that failed")
            case .overlayLost: self.cluster.checks.count("overlays lost")
            case .snapshotGivenUp: break
            }
        }
        do {
            var index = self.storage.log.firstIndex
            while index <= applied {
                for entry in try self.storage.log.entries(in: index...applied, maximumSize: 1 << 20) {
                    try engine.apply(entry)
                    index = entry.index.next
                }
            }
            // As the node does; the log may have nothing of it any more.
            engine.passed(applied)
            if engine.recoveryTarget <= applied { try engine.recovered() }
        } catch {
            self.isDead = true
            engine.abandon()
            throw error
        }
        self.engine = engine
        self.applied = applied
        self.generation += 1
    }

    // MARK: The engine's threads

    func run() {}

    func pump() {
        if self.hasFailed { self.node.fail() }
        self.takeAnswers()
        guard let engine = self.engine, self.node.isAlive else { return }
        if let released = self.released.take() { self.node.releaseLog(through: released) }
        for threads in [EngineThreads.lanes, .readers] {
            while let job = engine.takeJob(threads) { self.later(job) }
        }
        if self.fiber == nil, let job = engine.takeJob(.checkpoints) { self.checkpoint(job) }
        self.setAlarm(engine)
        self.pumpInbox()
    }

    private func later(_ job: @escaping () -> Void) {
        self.lastJob += 1
        let number = self.lastJob
        self.jobs[number] = job
        self.node.after(.zero...(.microseconds(300))) { self.jobs.removeValue(forKey: number)?() }
    }

    private func checkpoint(_ job: @escaping () -> Void) {
        self.cluster.checks.count("checkpoints")
        let fiber = Fiber(job)
        self.fiber = fiber
        self.node.after(.zero...(.milliseconds(1))) {
            guard self.fiber === fiber else { return }
            fiber.start { self.fiber = nil }
        }
    }

    private func setAlarm(_ engine: Engine) {
        guard let next = engine.nextAlarm else { return }
        // Rounded up, or it would be too early again and again.
        let span = max(.zero, next - self.instant)
        let time = self.cluster.now + .microseconds(Int((span + .nanoseconds(999)) / .microseconds(1)))
        if let alarm = self.alarm, alarm <= time { return }
        self.alarm = time
        self.node.after(time - self.cluster.now) {
            if self.alarm == time { self.alarm = nil }
            self.engine?.ring()
        }
    }

    // MARK: The order of the log

    func changeRole(_ state: SoftState) {
        if let lost = self.leadingTerm, state.role != .leader || state.term != lost {
            self.leadingTerm = nil
            self.inbox.append(.stepDown(self.proposals.map(\.completion)))
            self.proposals = []
        }
        if state.role == .leader {
            self.leadingTerm = state.term
            if self.cluster.defect == .overlayBeforeOwnEntry { self.inbox.append(.lead(state.term, .zero)) }
        }
    }

    func commit(_ entries: [Entry]) {
        for entry in entries {
            if let first = self.proposals.first, first.index == entry.index {
                self.proposals.removeFirst()
                self.inbox.append(.own(entry.index, first.completion))
            } else if entry.kind == .barrier, entry.term == self.node.raft.term, self.node.raft.role == .leader {
                self.inbox.append(.lead(entry.term, entry.index))
            } else {
                self.inbox.append(.foreign(entry))
            }
        }
    }

    private func pumpInbox() {
        guard self.node.isAlive, !self.isApplying, !self.inbox.isEmpty else { return }
        self.isApplying = true
        let generation = self.generation
        let isSlow = self.cluster.isFaulty && self.cluster.random.once(in: 50)
        let plan = self.cluster.plan
        self.node.after(isSlow ? plan.slowApplying : plan.applying) {
            self.isApplying = false
            guard self.generation == generation else { return }
            for _ in 0..<1 + self.cluster.random.below(4) where !self.inbox.isEmpty {
                self.perform(self.inbox.removeFirst())
            }
        }
    }

    private func perform(_ item: Item) {
        guard let engine = self.engine else { return }
        switch item {
        case .own(let index, let completion):
            completion(.success(index))
            self.advance(to: index)
        case .foreign(let entry):
            do {
                try engine.apply(entry)
                if entry.index >= engine.recoveryTarget { try engine.recoveredOnce() }
                self.advance(to: entry.index)
            } catch {
                self.cluster.checks.found("\(self.number) cannot apply \(entry.index): \(error)")
            }
        case .lead(let term, let index):
            if index > .zero {
                engine.passed(index)
                self.advance(to: index)
            }
            engine.lead(in: term)
            self.servingTerm = term
        case .stepDown(let completions):
            self.servingTerm = nil
            engine.stepDown()
            for completion in completions { completion(.failure(.leadershipLost)) }
        }
    }

    private func advance(to index: LogIndex) {
        self.applied = index
        self.node.raft.applied(through: index)
        // Looking at all pages takes time.
        if index.rawValue % 8 == self.number.rawValue % 8 { self.check() }
        self.node.serveApplied()
    }

    // MARK: The end, and another beginning

    func end() {
        self.isDead = true
        self.close()
        self.forgetRuns()
    }

    func release() {
        self.isDead = true
        self.close()
        for run in self.runs.values.sorted(by: { $0.id < $1.id }) { self.giveUp(run) }
        self.forgetRuns()
    }

    private func forgetRuns() {
        self.runs = [:]
        self.answers = []
    }

    func use(_ copy: DatabaseFiles.Copy) throws {
        self.marks = copy.marks
        self.isDead = false
        try self.begin(applied: copy.snapshot.index)
    }

    /// Nothing is left of the engine.
    private func close() {
        guard let engine = self.engine else { return }
        self.engine = nil
        self.generation += 1
        self.servingTerm = nil
        self.fiber?.cancel()
        self.fiber = nil
        var completions = self.proposals.map(\.completion)
        for item in self.inbox {
            switch item {
            case .own(_, let completion): completions.append(completion)
            case .stepDown(let those): completions += those
            case .foreign, .lead: break
            }
        }
        self.proposals = []
        self.inbox = []
        for completion in completions { completion(.failure(.leadershipLost)) }
        completions = []
        for (_, job) in self.jobs.sorted(by: { $0.key < $1.key }) { job() }
        self.jobs = [:]
        self.idleSessions = []
        engine.abandon()
    }
}
