import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Logging
import Synchronization

/// Acts for Raft: gives it time, messages and proposals, and does what it says.
///
/// Raft's value is used under one lock. Who proposes works it off on its own thread. Who brings a message, or what the log has
/// done, must wait neither for the lock nor for a disk: it does so too, when nobody is at it and nothing has to be read; otherwise
/// the event waits in a queue for the driver's thread.
final class RaftDriver: Replicator {
    enum Event: Sendable {
        case message(Message, from: NodeID)
        case contact(NodeID)
        case persisted(UInt64, LogError?)
        case applied
        case read(@Sendable (LogIndex?) -> Void)
        case change(ClusterChange, RaftCore.Done)
        case quiesced(Bool)
        case release(LogIndex)
        case stream(UInt64, start: LogIndex?)
        /// A leader offers a snapshot; the closure gets whether Raft wants it.
        case offer(Term, SnapshotMetadata, from: NodeID, @Sendable (Bool) -> Void)
        case snapshotSent(NodeID, succeeded: Bool)
        case snapshotInstalled(SnapshotMetadata)
        case snapshotFailed
        /// A member waits for entries from the disk, or a write does that must not hold up who brought it.
        case proceed

        /// Whether it is one of those that come often and are handled without waiting, as a rule. The log's failure is none: it may
        /// come on a thread that has the driver's lock.
        var mayBePrompt: Bool {
            switch self {
            case .message(.appendEntries, _), .message(.appendEntriesResult, _), .persisted(_, nil): true
            default: false
            }
        }
    }

    /// What the driver tells its node. All are called on threads of the node, and do not block.
    struct Delegate: Sendable {
        /// The node cannot go on. Says why.
        var failed: @Sendable (String) -> Void
        var viewChanged: @Sendable (ClusterView) -> Void = { _ in }
        /// The node begins, or ends, to serve clients.
        var servingChanged: @Sendable (Bool) -> Void = { _ in }
        var snapshotNeeded: @Sendable (NodeID) -> Void
        var streamDropped: @Sendable (UInt64) -> Void = { _ in }
    }

    let id: NodeID
    let log: Log
    let applier: Applier
    private let settings: RaftSettings
    private let delegate: Delegate
    private let core: Mutex<RaftCore>
    private let inbox: Inbox
    private let published: Mutex<ClusterView>
    private let leading = LeadingTerm()
    /// When the lease ends, in nanoseconds of the clock.
    private let leaseEnd = Atomic<Int64>(.min)
    /// Whether the driver's thread knows of a member that waits to catch up.
    private let isPausingCatchUp = Atomic<Bool>(false)
    private let durableLimit: DurableLimit
    private let engines: EngineSlot
    let freshness: Freshness

    /// - Parameters:
    ///   - start: What the log and the databases hold.
    ///   - engines: Where the engine is that gets what is committed.
    init(
        id: NodeID, settings: RaftSettings, commitTimeout: Duration, log: Log, start: Raft.Start, engines: EngineSlot,
        transport: any RaftTransport, delegate: Delegate, logger: Logger
    ) {
        self.id = id
        self.log = log
        self.settings = settings
        self.delegate = delegate
        self.engines = engines
        let inbox = Inbox()
        self.inbox = inbox
        let freshness = Freshness(transport: transport)
        self.freshness = freshness
        let raft = Raft(
            id: id, settings: settings, start: start, reader: LogReader(log: log),
            randomness: SystemRandomNumberGenerator(), now: MonotonicInstant.now)
        self.applier = Applier(
            applied: raft.commitIndex, servingChanged: delegate.servingChanged, failed: delegate.failed
        ) { index in
            // Raft hands out the next entries when it learns that; it need not be told of each.
            if index.rawValue % 64 == 0 { inbox.append(.applied) }
            freshness.applied(through: index)
        }
        let storage = RaftStorage(log: log)
        self.durableLimit = storage.durableLimit
        self.core = Mutex(
            RaftCore(
                raft: raft, storage: storage, log: log, transport: transport, applier: self.applier,
                leading: self.leading, commitTimeout: commitTimeout,
                handoverTimeout: settings.tickInterval * (2 * settings.electionTicks), logger: logger))
        self.published = Mutex(ClusterView())
    }

    func start(_ engine: Engine) throws(DqliteNodeError) {
        self.core.withLock { core in
            core.storage.completion = { [weak self] in self?.append(.persisted($0, $1)) }
        }
        try self.applier.start(engine)
        guard startThread({ self.run() }) else { throw DqliteNodeError(.engine, "the system has no thread to give") }
        self.work { _, _ in }
    }

    /// Ends both threads. Who still waits is told that leadership is lost.
    func stop() {
        self.inbox.stop()
        self.work { core, _ in
            core.raft.resign()
            core.hasFailed = true
        }
        self.applier.stop()
    }

    /// Has an event handled: now if that takes no time, and else on the driver's thread.
    func append(_ event: Event) { if !self.handleAtOnce(event) { self.inbox.append(event) } }

    private func handleAtOnce(_ event: Event) -> Bool {
        guard event.mayBePrompt, self.inbox.isIdle else { return false }
        var outcome = RaftCore.Outcome()
        var isStalled = false
        let isHandled = self.core.withLockIfAvailable { core in
            guard core.isPrompt(event) else { return false }
            self.handle(event, &core, &outcome)
            self.finish(&core, &outcome, mayWait: false)
            isStalled = core.storage.isStalled
            return true
        }
        guard isHandled == true else { return false }
        let isNews = outcome.catchUp.waits && !self.isPausingCatchUp.exchange(true, ordering: .relaxed)
        if isNews || isStalled { self.inbox.append(.proceed) }
        self.applier.drain()
        self.tell(outcome)
        return true
    }

    private func run() {
        var nextTick = MonotonicInstant.now + self.settings.tickInterval
        var catchUp = CatchUpPace()
        while let events = self.inbox.wait(until: min(nextTick, catchUp.due ?? nextTick)) {
            var isTick = false
            let state = self.work { core, outcome in
                let now = MonotonicInstant.now
                for event in events { self.handle(event, &core, &outcome) }
                if now >= nextTick {
                    core.tick(now: now, &outcome)
                    nextTick = now + self.settings.tickInterval
                    isTick = true
                }
                if catchUp.isDue(now: now) {
                    core.proposedSize = 0
                    core.raft.continueCatchUp(factor: catchUp.factor)
                }
            }
            if state.waits { catchUp.wait(sent: state.sent, proposed: state.proposed, now: MonotonicInstant.now) }
            self.isPausingCatchUp.store(catchUp.due != nil, ordering: .relaxed)
            if isTick { self.freshness.tick(applied: self.applier.applied, leader: self.leaderToAsk) }
        }
    }

    /// Changes Raft, does what it says then, and tells those who wait.
    ///
    /// - Returns: Whether a member waits for entries from the disk.
    @discardableResult private func work(
        _ body: (inout RaftCore, inout RaftCore.Outcome) -> Void
    ) -> RaftCore.CatchUp {
        var outcome = RaftCore.Outcome()
        self.core.withLock { core in
            body(&core, &outcome)
            self.finish(&core, &outcome, mayWait: true)
        }
        self.applier.drain()
        self.tell(outcome)
        return outcome.catchUp
    }

    private func finish(_ core: inout RaftCore, _ outcome: inout RaftCore.Outcome, mayWait: Bool) {
        core.process(&outcome, mayWait: mayWait)
        outcome.catchUp = (core.raft.waitsToCatchUp, core.raft.catchUpSent, core.proposedSize)
        self.leaseEnd.store(core.raft.leaseEnd?.nanoseconds ?? .min, ordering: .releasing)
    }

    private func tell(_ outcome: RaftCore.Outcome) {
        if let view = outcome.viewChanged {
            let isNewest = self.published.withLock { published in
                guard view.term >= published.term else { return false }
                published = view
                return true
            }
            if isNewest { self.delegate.viewChanged(view) }
        }
        if outcome.resumes { self.engines.engine?.resumeWrites() }
        for done in outcome.done { done() }
        for node in outcome.snapshotsNeeded { self.delegate.snapshotNeeded(node) }
        for stream in outcome.streamsDropped { self.delegate.streamDropped(stream) }
        for offer in outcome.offers { offer.reply(offer.metadata == outcome.snapshotWanted) }
        if let failure = outcome.failure { self.delegate.failed(failure) }
    }

    private func handle(_ event: Event, _ core: inout RaftCore, _ outcome: inout RaftCore.Outcome) {
        switch event {
        case .message(let message, let sender): core.raft.step(message, from: sender)
        case .contact(let node): core.raft.contact(from: node)
        case .persisted(let number, nil):
            core.store(&outcome) { $0.done(number) }
            core.store(&outcome) { (storage) throws(LogError) in try storage.proceed() }
        case .persisted(_, .some(let error)): core.fail(error.description, &outcome)
        case .applied: break
        case .read(let completion): core.read(completion, &outcome)
        case .change(let change, let done): self.begin(change, done, &core, &outcome)
        case .quiesced(let isQuiet): core.quiesced(isQuiet, &outcome)
        case .release(let index):
            core.released = max(core.released, index)
            core.truncateHead(&outcome)
        case .stream(let number, let start): core.streams[number] = start
        case .offer(let term, let metadata, let sender, let reply):
            outcome.offers.append((metadata, reply))
            core.raft.step(.installSnapshot(InstallSnapshot(term: term, snapshot: metadata)), from: sender)
        case .snapshotSent(let node, let succeeded): core.raft.reportSnapshot(to: node, succeeded: succeeded)
        case .snapshotInstalled(let snapshot):
            core.storage.reset()
            core.raft.snapshotInstalled(snapshot)
        case .snapshotFailed: core.raft.snapshotFailed()
        case .proceed: core.store(&outcome) { (storage) throws(LogError) in try storage.proceed() }
        }
    }

    // MARK: Replicator

    func propose(
        _ command: [UInt8], term: Term,
        completion: @escaping @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    ) throws(ProposalRefusal) {
        while true {
            var missing: Int?
            var refusal: ProposalRefusal?
            self.work { core, _ in
                do throws(ProposalRefusal) {
                    missing = try core.propose(command, term: term, completion)
                } catch {
                    refusal = error
                }
            }
            if let refusal { throw refusal }
            guard let missing else { return }
            // Without the lock: heartbeats do not wait for a slow disk.
            do throws(LogError) {
                try self.log.prepare(missing)
            } catch {
                self.work { core, _ in refusal = core.refusal(because: error) }
                if let refusal { throw refusal }
            }
        }
    }

    var durableIndex: LogIndex { min(self.log.durableIndex, self.durableLimit.index) }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        try self.mark { () throws(LogError) in try self.log.beginCheckpoint(of: database, through: index) }
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try self.mark { () throws(LogError) in try self.log.endCheckpoint(of: database, at: index) }
    }

    private func mark(_ body: () throws(LogError) -> Void) throws(ReplicationFailure) {
        do throws(LogError) {
            try body()
        } catch {
            let failure = ReplicationFailure(error)
            if case .failed(let reason) = failure { self.work { core, outcome in core.fail(reason, &outcome) } }
            throw failure
        }
    }

    func release(through index: LogIndex) { self.append(.release(index)) }

    var holdsLease: Bool {
        self.isServing && MonotonicInstant.now.nanoseconds < self.leaseEnd.load(ordering: .acquiring)
    }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) {
        self.append(.read { [weak self] index in completion(index != nil && self?.isServing ?? false) })
    }
}

extension RaftDriver: Cluster {
    var isServing: Bool {
        guard let term = self.leading.term else { return false }
        return term.rawValue == self.applier.term
    }

    var view: ClusterView { self.published.withLock { $0 } }

    func confirmFreshness(within bound: Duration, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void) {
        if self.isServing {
            if self.holdsLease { return completion(.success(())) }
            return self.confirmLeadership { completion($0 ? .success(()) : .failure(.notLeader)) }
        }
        self.freshness.confirm(within: bound, leader: self.leaderToAsk, done: completion)
    }

    /// Whom to ask how far this node must be. Who leads, and does not serve yet, finds nobody.
    private var leaderToAsk: NodeID? {
        let leader = self.view.leader
        return leader == self.id ? nil : leader
    }

    func change(_ change: ClusterChange, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void) {
        self.append(.change(change, completion))
    }

    private func begin(
        _ change: ClusterChange, _ done: @escaping RaftCore.Done, _ core: inout RaftCore,
        _ outcome: inout RaftCore.Outcome
    ) {
        switch change {
        case .member(let change): core.begin(change, done, &outcome)
        case .transfer(let target):
            guard core.beginHandover(to: target, done, &outcome) else { return }
            // Everything that was admitted is brought to its end first, off this thread.
            guard let engine = self.engines.engine else { return core.quiesced(false, &outcome) }
            let limit = self.settings.tickInterval * self.settings.electionTicks
            let hasBegun = startThread { [weak self] in
                let isQuiet = engine.pause(atMost: limit)
                self?.append(.quiesced(isQuiet))
            }
            if !hasBegun { core.quiesced(false, &outcome) }
        }
    }
}

/// Where the engine of a node is: it is another one after a copy of all databases was installed.
final class EngineSlot: Sendable {
    private let slot = Mutex<Engine?>(nil)

    var engine: Engine? {
        get { self.slot.withLock { $0 } }
        set { self.slot.withLock { $0 = newValue } }
    }
}

/// Events on their way to the driver's thread.
final class Inbox: Sendable {
    private struct State {
        var events: [RaftDriver.Event] = []
        /// Whether somebody is at events that were taken.
        var isBusy = false
        var isStopped = false
    }

    private let state = Mutex(State())
    private let condition = Condition()

    func append(_ event: RaftDriver.Event) {
        let isFirst = self.state.withLock { state in
            guard !state.isStopped else { return false }
            state.events.append(event)
            return state.events.count == 1
        }
        if isFirst { self.condition.withLock { self.condition.signal() } }
    }

    /// Whether everything that came is handled.
    var isIdle: Bool { self.state.withLock { $0.events.isEmpty && !$0.isBusy && !$0.isStopped } }

    func stop() {
        self.state.withLock { $0.isStopped = true }
        self.condition.withLock { self.condition.signal() }
    }

    /// Waits until there are events, or that instant.
    ///
    /// - Returns: nil when the driver is to end.
    func wait(until instant: MonotonicInstant) -> [RaftDriver.Event]? {
        self.condition.withLock {
            while true {
                let (events, isStopped) = self.state.withLock { state in
                    defer { state.events = [] }
                    state.isBusy = !state.events.isEmpty
                    return (state.events, state.isStopped)
                }
                if isStopped { return nil }
                let rest = instant - MonotonicInstant.now
                if !events.isEmpty || rest <= .zero { return events }
                _ = self.condition.wait(atMost: rest)
            }
        }
    }
}
