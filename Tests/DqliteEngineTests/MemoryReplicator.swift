import DqliteEngine
import DqliteRaft
import Foundation
import Synchronization
import Testing

/// A log in memory that commits what it is told to, and loses the rest.
final class MemoryReplicator: Replicator {
    typealias Completion = @Sendable (Result<LogIndex, ReplicationFailure>) -> Void

    struct State {
        var entries: [[UInt8]] = []
        var committed = 0
        var pending: [Completion] = []
        var term: Term?
        var lastTerm: UInt64 = 0
        var commitsAtOnce = true
        var refusal: ProposalRefusal?
        var checkpoints: [String: CheckpointPosition] = [:]
        var released = LogIndex.zero
        /// Nothing above this is said to be on this node's own disk.
        var durableLimit: Int?
        var markFailure: ReplicationFailure?
        /// Whether a command of an earlier term is taken: a defect.
        var ignoresTerm = false
    }

    private let state = Mutex(State())
    private let queue = DispatchQueue(label: "commits")
    private let proposed = DispatchSemaphore(value: 0)

    var now: State { self.state.withLock { $0 } }
    func change<Result: Sendable>(_ body: (inout sending State) -> sending Result) -> Result {
        self.state.withLock { body(&$0) }
    }

    /// Everything that is committed, to a new engine, which then leads.
    func start(_ engine: Engine, leads: Bool = true) throws {
        let entries = self.state.withLock { state in
            state.pending = []
            state.entries.removeLast(state.entries.count - state.committed)
            return state.entries
        }
        for (position, entry) in entries.enumerated() { try self.apply(entry, position, to: engine) }
        try engine.recovered()
        if leads { self.lead(engine) }
    }

    func apply(_ entry: [UInt8], _ position: Int, to engine: Engine) throws {
        let index = LogIndex(UInt64(position + 1))
        if entry.isEmpty { engine.passed(index) } else { try engine.apply(entry, at: index) }
    }

    /// A new term begins, with an entry of its own.
    func lead(_ engine: Engine) {
        let (term, index) = self.state.withLock { state in
            state.lastTerm += 1
            let term = Term(state.lastTerm)
            state.term = term
            state.entries.append([])
            state.committed = state.entries.count
            return (term, LogIndex(UInt64(state.committed)))
        }
        engine.passed(index)
        engine.lead(in: term)
    }

    func propose(_ command: [UInt8], term: Term, completion: @escaping Completion) throws(ProposalRefusal) {
        let refusal = self.state.withLock { state -> ProposalRefusal? in
            if let refusal = state.refusal { return refusal }
            guard state.term == term || (state.ignoresTerm && state.term != nil) else { return .notLeader }
            state.entries.append(command)
            state.pending.append(completion)
            return nil
        }
        // Before anybody can see it committed.
        self.proposed.signal()
        if let refusal { throw refusal }
        self.queue.async { if self.now.commitsAtOnce { self.deliver(.max) } }
    }

    /// Commits the next entries, in order, and returns when the engine has been told.
    func commit(_ count: Int = .max) { self.queue.sync { self.deliver(count) } }

    private func deliver(_ count: Int) {
        for _ in 0..<count {
            let next = self.state.withLock { state -> (Completion, LogIndex)? in
                guard !state.pending.isEmpty else { return nil }
                state.committed += 1
                return (state.pending.removeFirst(), LogIndex(UInt64(state.committed)))
            }
            guard let (completion, index) = next else { return }
            completion(.success(index))
        }
    }

    /// Another node leads: it commits the first `keeping` of what was on its way, and drops the rest.
    ///
    /// - Returns: The entries that it commits, for the engine to apply.
    func loseLeadership(_ engine: Engine, keeping: Int = 0) throws {
        try self.queue.sync {
            let (pending, first, kept) = self.state.withLock { state in
                let pending = state.pending
                state.pending = []
                state.term = nil
                let kept = min(keeping, pending.count)
                state.entries.removeLast(pending.count - kept)
                let first = state.committed
                state.committed = state.entries.count
                return (pending, first, Array(state.entries[first...]))
            }
            engine.stepDown()
            for completion in pending { completion(.failure(.leadershipLost)) }
            for (offset, entry) in kept.enumerated() { try self.apply(entry, first + offset, to: engine) }
        }
    }

    /// Leadership is lost and regained in a later term, in which what was on its way is dropped; the engine does not know yet.
    ///
    /// - Returns: What was on its way.
    func flicker() -> [Completion] {
        self.forgetProposals()
        return self.queue.sync {
            self.state.withLock { state in
                let lost = state.pending
                state.entries.removeLast(state.pending.count)
                state.pending = []
                state.lastTerm += 2
                state.term = Term(state.lastTerm)
                state.entries.append([])
                state.committed = state.entries.count
                return lost
            }
        }
    }

    /// What was proposed up to now is not waited for.
    func forgetProposals() { while self.proposed.wait(timeout: .now()) == .success {} }

    /// Returns when something is proposed that nobody has waited for.
    func awaitProposal() { if !self.isProposed(within: .seconds(60)) { Issue.record("nothing is proposed") } }

    /// Whether something that nobody has waited for is proposed soon.
    func isProposed(within time: DispatchTimeInterval) -> Bool {
        self.proposed.wait(timeout: .now() + time) == .success
    }

    /// Now the engine hears of it, and leads again.
    func reportLoss(of lost: [Completion], to engine: Engine) {
        self.queue.sync {
            for completion in lost { completion(.failure(.leadershipLost)) }
            engine.stepDown()
            let (term, index) = self.state.withLock { (Term($0.lastTerm), LogIndex(UInt64($0.committed))) }
            engine.passed(index)
            engine.lead(in: term)
        }
    }

    var durableIndex: LogIndex {
        self.state.withLock { LogIndex(UInt64(min($0.entries.count, $0.durableLimit ?? .max))) }
    }

    var holdsLease: Bool { true }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) { completion(true) }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        try self.mark(database) { $0.intent = max($0.intent, index) }
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try self.mark(database) { $0.done = index }
    }

    private func mark(_ database: String, _ change: (inout CheckpointPosition) -> Void) throws(ReplicationFailure) {
        let failure = self.state.withLock { state -> ReplicationFailure? in
            if let failure = state.markFailure { return failure }
            change(&state.checkpoints[database, default: CheckpointPosition(intent: .zero, done: .zero)])
            return nil
        }
        if let failure { throw failure }
    }

    func release(through index: LogIndex) { self.state.withLock { $0.released = max($0.released, index) } }
}
