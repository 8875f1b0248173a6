import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore
import Synchronization

/// The term in which Raft leads, as far as the engine knows or will be told, also for who asks without the driver's lock.
///
/// It is said before the applier can be told, so that whoever hears that this node serves finds that it does.
final class LeadingTerm: Sendable {
    private let value = Atomic<UInt64>(0)

    /// nil: it does not lead.
    var term: Term? {
        get {
            let value = self.value.load(ordering: .acquiring)
            return value == 0 ? nil : Term(value)
        }
        set { self.value.store(newValue?.rawValue ?? 0, ordering: .releasing) }
    }
}

/// Raft, its storage, and who waits for what: used under the driver's lock only.
struct RaftCore {
    typealias Committed = @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    typealias Done = @Sendable (Result<Void, EngineError>) -> Void

    /// A command that this node proposed and that is not known to be committed.
    struct Proposal {
        var index: LogIndex
        var term: Term
        var deadline: MonotonicInstant
        var completion: Committed
    }

    /// Leadership that is being handed over.
    struct Handover {
        var target: NodeID?
        var done: Done
        /// The engine admits nothing more and all that it had is applied; Raft has been told, and this long it may take. nil: not
        /// yet.
        var deadline: MonotonicInstant?
        var isUnderWay: Bool { self.deadline != nil }
    }

    var raft: Raft
    var storage: RaftStorage
    let log: Log
    let transport: any RaftTransport
    let applier: Applier
    let leading: LeadingTerm
    let commitTimeout: Duration
    /// How long a leader that has handed over waits to hear who leads.
    let handoverTimeout: Duration
    let logger: Logger

    var proposals = CircularBuffer<Proposal>()
    /// Bytes of proposals for which room was found since the last write.
    var preparedSize = 0
    var reads: [UInt64: @Sendable (LogIndex?) -> Void] = [:]
    var lastRead: UInt64 = 0
    /// A change of the configuration that is not committed.
    var change: (index: LogIndex?, term: Term, done: Done)?
    var handover: Handover?
    /// When each member was heard last, while this node leads.
    var heard: [NodeID: MonotonicInstant] = [:]
    /// How far the files of the databases are.
    var released = LogIndex.zero
    /// Copies of the databases that are being sent, and where each begins.
    var streams: [UInt64: LogIndex] = [:]
    var view = ClusterView()
    var hasFailed = false
    /// Bytes that were proposed since a member that catches up got entries from the disk.
    var proposedSize = 0
    var lastTransferBecauseFull: MonotonicInstant?

    /// Whether a member waits for entries from the disk; bytes of the last ones, and of what was proposed meanwhile.
    typealias CatchUp = (waits: Bool, sent: Int, proposed: Int)

    /// What is to be done when the lock is given up.
    struct Outcome {
        var done: [@Sendable () -> Void] = []
        var viewChanged: ClusterView?
        /// Whether the engine shall admit transactions again.
        var resumes = false
        var failure: String?
        var snapshotsNeeded: [NodeID] = []
        /// Copies for which the log did not wait.
        var streamsDropped: [UInt64] = []
        /// Snapshots that leaders have offered, and the one that Raft wants.
        var offers: [(metadata: SnapshotMetadata, reply: @Sendable (Bool) -> Void)] = []
        var snapshotWanted: SnapshotMetadata?
        var catchUp: CatchUp = (false, 0, 0)
    }

    // MARK: The way of what Raft says

    /// Does what Raft wants done, until it wants nothing more.
    ///
    /// - Parameter mayWait: Whether writes may wait for the disk. Otherwise some may be left to the driver's thread.
    mutating func process(_ outcome: inout Outcome, mayWait: Bool) {
        self.raft.applied(through: self.applier.applied)
        while true {
            let ready = self.raft.ready()
            if ready.isEmpty { break }
            if let softState = ready.softState { self.roleChanged(softState, &outcome) }
            if !ready.messages.isEmpty { self.transport.send(ready.messages) }
            if let write = ready.write { self.perform(write, &outcome, mayWait: mayWait) }
            for entry in ready.committedEntries { self.committed(entry, &outcome) }
            for state in ready.readStates {
                guard let read = self.reads.removeValue(forKey: state.context) else { continue }
                outcome.done.append { read(state.index) }
            }
            outcome.snapshotsNeeded += ready.snapshotsNeeded
            if let snapshot = ready.snapshot { outcome.snapshotWanted = snapshot }
            if let error = ready.failedPromotion, let change = self.change, change.index == nil {
                self.change = nil
                outcome.done.append { change.done(.failure(EngineError(error))) }
            }
        }
        self.updateView(&outcome)
    }

    /// Whether an event can be handled without reading from the disk, or waiting for it: whoever brings it must not.
    func isPrompt(_ event: RaftDriver.Event) -> Bool {
        guard !self.hasFailed, !self.storage.isStalled else { return false }
        return switch event {
        case .message(let message, let sender): self.raft.isPlain(message, from: sender)
        case .persisted(_, nil): self.raft.isUpToDateInMemory
        default: false
        }
    }

    private mutating func perform(_ write: StorageWrite, _ outcome: inout Outcome, mayWait: Bool) {
        self.preparedSize = 0
        if let entry = write.entries.last(where: { $0.kind == .configuration }), let change = self.change,
            change.index == nil, self.raft.role == .leader
        {
            // The member that was to be promoted has caught up.
            self.change?.index = entry.index
        }
        self.store(&outcome) { (storage) throws(LogError) in try storage.perform(write, mayWait: mayWait) }
    }

    /// Has storage do something, and tells Raft which writes are done.
    mutating func store(
        _ outcome: inout Outcome, _ body: (inout RaftStorage) throws(LogError) -> UInt64?
    ) {
        do throws(LogError) {
            if let number = try body(&self.storage) { self.raft.persisted(through: number) }
        } catch {
            self.fail(error.description, &outcome)
        }
    }

    mutating func fail(_ reason: String, _ outcome: inout Outcome) {
        guard !self.hasFailed else { return }
        self.hasFailed = true
        self.raft.storageFailed()
        outcome.failure = reason
    }

    private mutating func committed(_ entry: Entry, _ outcome: inout Outcome) {
        if let proposal = self.proposals.first, proposal.index == entry.index {
            self.proposals.removeFirst()
            self.applier.append(.own(entry.index, proposal.completion))
        } else if entry.kind == .barrier, entry.term == self.raft.term, self.raft.role == .leader {
            self.applier.append(.lead(entry.term, entry.index))
        } else {
            self.applier.append(.foreign(entry))
        }
        if let change = self.change, let index = change.index, entry.index >= index {
            self.change = nil
            let isOurs = entry.index == index && entry.term == change.term
            outcome.done.append {
                change.done(isOurs ? .success(()) : .failure(.leadershipLost))
            }
        }
    }

    private mutating func roleChanged(_ state: SoftState, _ outcome: inout Outcome) {
        if let lost = self.leading.term, state.role != .leader || state.term != lost {
            self.leading.term = nil
            self.applier.append(.stepDown(self.proposals.map(\.completion)))
            self.proposals.removeAll()
            self.heard = [:]
            // A leader that has removed itself steps down when that is committed.
            if let change = self.change, change.index.map({ $0 > self.raft.commitIndex }) ?? true {
                self.change = nil
                outcome.done.append { change.done(.failure(.leadershipLost)) }
            }
        }
        if state.role == .leader { self.leading.term = state.term }
        if let handover = self.handover, state.role != .leader, state.leader != nil || !handover.isUnderWay {
            self.handover = nil
            outcome.done.append { handover.done(handover.isUnderWay ? .success(()) : .failure(.notLeader)) }
        }
    }

    private mutating func updateView(_ outcome: inout Outcome) {
        let isNews =
            self.view.role != self.raft.role || self.view.leader != self.raft.leader
            || self.view.term != self.raft.term || self.view.configurationIndex != self.raft.configurationIndex
        guard isNews else { return }
        let configuration = self.raft.configuration
        if self.view.configurationIndex != self.raft.configurationIndex { self.transport.update(configuration) }
        self.view = ClusterView(
            term: self.raft.term, role: self.raft.role, leader: self.raft.leader, configuration: configuration,
            configurationIndex: self.raft.configurationIndex)
        outcome.viewChanged = self.view
    }

    // MARK: Time

    mutating func tick(now: MonotonicInstant, _ outcome: inout Outcome) {
        self.raft.tick(now: now)
        for peer in self.raft.peers where peer.isRecentlyActive { self.heard[peer.id] = now }
        self.store(&outcome) { (storage) throws(LogError) in try storage.proceed() }
        // The clients who wait get an answer, though nobody knows which: those writes may yet be committed.
        if let first = self.proposals.first, first.deadline < now {
            self.logger.error(
                "Leadership is given up: a write has not been committed in time",
                metadata: ["dqlite.index": "\(first.index)"])
            self.raft.resign()
        }
        if let deadline = self.handover?.deadline {
            // Who does not lead any more waits for who does; but without a majority nobody ever will.
            let isOver = self.raft.role == .leader ? self.raft.transferTarget == nil : now > deadline
            if isOver { self.failHandover(&outcome) }
        }
    }

    // MARK: The head of the log

    /// For so long the log waits for a member that is not heard.
    private static let patience = Duration.seconds(600)
    /// So many entries are kept for others, whoever they are: a new leader does not know who needs what.
    private static let trailing = 4096

    mutating func truncateHead(_ outcome: inout Outcome) {
        var needs = LogNeeds(checkpoints: self.released)
        let now = MonotonicInstant.now
        for peer in self.raft.peers {
            if let heard = self.heard[peer.id], now - heard < Self.patience {
                needs.holders[.follower(peer.id)] = peer.match
            }
        }
        if self.raft.configuration.servers.count > 1 {
            let last = self.raft.lastIndex.rawValue
            needs.holders[.follower(self.raft.id)] = LogIndex(last - min(last, UInt64(Self.trailing)))
        }
        for (stream, start) in self.streams { needs.holders[.stream(stream)] = start }
        let truncation = self.log.truncateHead(needs)
        let dropped = truncation.dropped.filter { $0 != .follower(self.raft.id) }
        for case .stream(let number) in dropped {
            // The copy has a beginning that nothing follows any more.
            self.streams[number] = nil
            outcome.streamsDropped.append(number)
        }
        if !dropped.isEmpty {
            self.logger.warning(
                "The log is too long to wait for members that are behind: they will need a copy of the databases",
                metadata: ["dqlite.members": "\(dropped)", "dqlite.log.bytes": "\(truncation.size)"])
        }
    }
}
