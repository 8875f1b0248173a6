internal import CReplicaPager
internal import DqliteProtocol
internal import DqliteRaft
internal import Synchronization

/// What all databases of an engine share.
struct EngineParts: Sendable {
    let configuration: EngineConfiguration
    let pool: WorkerPool
    /// The threads that lanes run on.
    let lanePool: WorkerPool
    /// The threads that copy pages into files.
    let checkpointPool: WorkerPool
    let clock: AlarmClock
    let replicator: any Replicator
    let marks = MarkGate()
    let events: @Sendable (EngineEvent) -> Void
}

/// A replicated database: its pages, who may write to it, and which answers wait for their commit.
final class Database: AlarmTarget {
    struct State: ~Copyable {
        var queue = WriterQueue()
        /// Those that wait for the turn, by their number.
        var waiting: [UInt64: EngineSession] = [:]
        /// Who has the turn.
        var writer: EngineSession?
        /// When the clock calls next, for whatever the database waits for.
        var alarm: Instant?
        /// Sessions with a connection on the overlay, and when each was last used.
        var overlaySessions: [UInt64: EngineSession] = [:]

        /// The same, the oldest first.
        var writers: [EngineSession] { self.overlaySessions.values.sorted { $0.number < $1.number } }

        /// The term that this node leads in; nil: it does not.
        var term: Term?
        var hasOverlay = false
        /// Whether no transaction is admitted for now: leadership is being handed over.
        var isPaused = false
        /// Grows when an overlay begins, and when it is thrown away.
        var generation: UInt64 = 0
        var inFlight = 0
        /// A batch that was cut and could not be offered yet.
        var held: Batch?
        /// Of the newest transaction that was offered to be replicated, and of the newest that was applied.
        var proposedSequence: UInt64 = 0
        var appliedSequence: UInt64 = 0
        var gates = Gates()
        /// The newest entry that is applied, or that the file had when it was opened.
        var appliedIndex = LogIndex.zero
        /// The newest entry that was applied since then: all before it in the log were applied, whatever database they are of.
        var newestEntry = LogIndex.zero
        var checkpoint = CheckpointState()

        /// An entry is applied. In one step: who looks at it knows that the file lacks it.
        ///
        /// - Returns: When the clock is to be set to, if it is not set yet.
        mutating func applied(_ index: LogIndex, now: Instant, idleLimit: Duration) -> Instant? {
            let before = self.checkpoint.idleDeadline
            self.appliedIndex = index
            self.newestEntry = index
            self.checkpoint.applied(index, now: now, idleLimit: idleLimit)
            return before == nil ? self.checkpoint.idleDeadline : nil
        }
    }

    let name: String
    let path: String
    let pager: Pager
    let parts: EngineParts
    let state = Mutex(State())
    /// Held while an overlay begins, and while it is thrown away.
    let overlayLock = Mutex(())
    /// The same as in the state, for who only compares.
    private let overlayGeneration = Atomic<UInt64>(0)
    private let loss = Mutex(OverlayLoss.leadershipLost)
    private let isThere: Atomic<Bool>
    /// Refuses to make one more database than there may be.
    let checkLimit: @Sendable () throws(EngineError) -> Void
    /// Told when a checkpoint has come further.
    let checkpointed: @Sendable () -> Void
    /// The sessions on it.
    let sessions: @Sendable () -> [EngineSession]
    let lane: Lane
    let idleReaders = Mutex(IdleReaders())
    /// For a defect that tests plant.
    let sharedWriter = Mutex(SharedWriter())
    /// Told when a batch is decided and when a checkpoint has ended.
    let quiet = Condition()

    /// - Parameter marks: How far the file is; nil for a database that the log knows no checkpoint of.
    init(
        name: String, directory: String, exists: Bool, marks: CheckpointPosition?, parts: EngineParts,
        checkLimit: @escaping @Sendable () throws(EngineError) -> Void, checkpointed: @escaping @Sendable () -> Void,
        sessions: @escaping @Sendable () -> [EngineSession]
    ) throws(EngineError) {
        self.name = name
        self.path = "\(directory)/\(name)"
        self.parts = parts
        self.pager = try Pager(
            path: self.path, maximumTransactionPages: parts.configuration.maximumTransactionSize / 4096,
            fileCalls: parts.configuration.fileCalls?.calls)
        self.isThere = Atomic(exists)
        self.checkLimit = checkLimit
        self.checkpointed = checkpointed
        self.sessions = sessions
        let target = WeakDatabase()
        self.lane = Lane(pool: parts.lanePool) { target.value?.lookAfterOverlay() ?? true }
        target.value = self
        if let marks {
            self.state.withLock { state in
                state.appliedIndex = marks.done
                state.checkpoint.done = marks.done
                state.checkpoint.intent = marks.intent
            }
        }
    }

    /// Whether there is a database: from its first committed entry on.
    var exists: Bool { self.isThere.load(ordering: .acquiring) }

    func noteExistence() { self.isThere.store(true, ordering: .releasing) }

    /// Refuses to be created when there are too many databases already.
    func checkCreation() throws(EngineError) {
        if !self.exists { try self.checkLimit() }
    }

    // MARK: The turn to write

    /// Asks for the turn to write on behalf of a session, which is told by ``EngineSession/turnGranted(_:)`` if it has
    /// to wait.
    func requestTurn(for session: EngineSession) -> WriterQueue.Answer {
        let now = self.parts.clock.now
        let timeout = self.parts.configuration.writeTimeout
        let answer = self.state.withLock { state in
            let answer = state.queue.request(session.number, now: now, timeout: timeout)
            if case .waits = answer { state.waiting[session.number] = session } else { state.writer = session }
            return answer
        }
        if case .waits = answer { self.callAgain(at: now + timeout) }
        return answer
    }

    /// Gives back the turn, or stops waiting for it.
    func leaveTurn(_ session: EngineSession) {
        let next = self.state.withLock { state -> (EngineSession, WriterQueue.Ticket)? in
            state.waiting[session.number] = nil
            let held = state.queue.holder?.owner == session.number
            let waiter = state.queue.leave(session.number, now: self.parts.clock.now)
            if held { state.writer = nil }
            guard let waiter else { return nil }
            state.writer = state.waiting.removeValue(forKey: waiter.owner)
            return state.writer.map { ($0, waiter.ticket) }
        }
        if let (session, ticket) = next { session.turnGranted(ticket) }
    }

    /// Whether a session waits for its turn.
    func isWaiting(_ session: EngineSession) -> Bool { self.state.withLock { $0.waiting[session.number] != nil } }

    func alarm(now: Instant) {
        var expired: [(EngineSession, WriterQueue.Expiry)] = []
        let deadline = self.state.withLock { state -> Instant? in
            if let alarm = state.alarm, alarm <= now { state.alarm = nil }
            for expiry in state.queue.expire(now: now) {
                if let session = state.waiting.removeValue(forKey: expiry.waiter.owner) {
                    expired.append((session, expiry))
                }
            }
            return state.queue.nextDeadline
        }
        if let deadline { self.callAgain(at: deadline) }
        for (session, expiry) in expired { session.turnExpired(expiry) }
        self.checkpointAlarm(now: now)
        self.closeUnusedReaders(now: now)
        // Batches that could not be offered are offered again.
        if self.state.withLock({ $0.held != nil }) { self.lane.wake() }
    }

    /// Has the clock call at `instant`, unless it does so before: then that call asks for the next.
    func callAgain(at instant: Instant) {
        let isNext = self.state.withLock { state in
            if let alarm = state.alarm, alarm <= instant { return false }
            state.alarm = instant
            return true
        }
        if isNext { self.parts.clock.schedule(self, at: instant) }
    }

    // MARK: The overlay

    /// Differs from what it was as soon as the overlay is another.
    var generation: UInt64 { self.overlayGeneration.load(ordering: .acquiring) }

    /// Why the last overlay was thrown away.
    var lastLoss: OverlayLoss { self.loss.withLock { $0 } }

    /// This node leads in `term`, and has applied the term's own first entry.
    func lead(in term: Term) {
        self.state.withLock { state in
            state.term = term
            state.isPaused = false
        }
    }

    /// Admits no transaction any more, and ends those that are open.
    func pause() {
        let sessions = self.state.withLock { state in
            state.isPaused = true
            return state.writers
        }
        for session in sessions { session.giveUp(because: .overlayLost(.leadershipLost), isAnyway: false) }
        self.lane.wake()
    }

    /// Whether all that was admitted is committed and applied.
    var isAtRest: Bool { !self.isUnsettled && self.lane.isAtRest }

    func resumeWrites() {
        self.state.withLock { $0.isPaused = false }
        self.lane.wake()
    }

    /// Sees to it that there is an overlay.
    ///
    /// - Returns: Its generation.
    func beginOverlay() throws(EngineError) -> UInt64 {
        let result = self.overlayLock.withLock { _ -> Result<UInt64, EngineError> in
            let (term, hasOverlay, isFree) = self.state.withLock { ($0.term, $0.hasOverlay, $0.inFlight == 0) }
            guard let term else {
                return .failure(EngineError(code: FailureCode.notLeader, message: "not leader"))
            }
            if hasOverlay { return .success(self.generation) }
            // An overlay of before may still have batches on their way, whose pages this one would lack.
            guard isFree else {
                return .failure(EngineError(code: FailureCode.busy, message: "the database recovers; try again"))
            }
            let result = self.pager.beginOverlay(term: term.rawValue)
            guard result.value == 0 else {
                return .failure(
                    EngineError(
                        code: UInt64(result.value), message: "the database cannot be written to: \(result.text)"))
            }
            // What was captured and never applied is dropped for ever; nobody waits for it.
            let captured = self.pager.statistics.captured_sequence
            return .success(
                self.state.withLock { state in
                    state.hasOverlay = true
                    state.proposedSequence = captured
                    state.appliedSequence = captured
                    state.generation += 1
                    self.overlayGeneration.store(state.generation, ordering: .releasing)
                    return state.generation
                })
        }
        return try result.get()
    }

    /// Throws the overlay away: what was not proposed is dropped, who is in a transaction loses it.
    ///
    /// - Parameters:
    ///   - generation: Only if it is still this one.
    ///   - term: The one in which this node leads no more; a later one is not touched.
    /// - Returns: Whether there was one to throw away.
    @discardableResult
    func doomOverlay(_ loss: OverlayLoss, generation: UInt64? = nil, endingTerm term: Term? = nil) -> Bool {
        let lost = self.overlayLock.withLock { _ -> (dropped: [Gates.Waiter], sessions: [EngineSession])? in
            let isThere = self.state.withLock { state in
                if let term, state.term == term { state.term = nil }
                if state.term == nil { state.isPaused = false }
                return state.hasOverlay && state.generation == generation ?? state.generation
            }
            guard isThere else { return nil }
            self.loss.withLock { $0 = loss }
            self.pager.doomOverlay()
            return self.state.withLock { state in
                state.generation += 1
                self.overlayGeneration.store(state.generation, ordering: .releasing)
                state.hasOverlay = false
                state.held = nil
                return (state.gates.take(above: state.proposedSequence), state.writers)
            }
        }
        if let lost {
            for waiter in lost.dropped { waiter.session.commitReached(waiter.ticket, .dropped(loss)) }
            let writer = self.state.withLock { $0.writer }
            for session in lost.sessions {
                session.giveUp(because: .overlayLost(loss), isAnyway: session === writer)
            }
        }
        self.lane.wake()
        return lost != nil
    }

    func overlayOpened(by session: EngineSession) {
        let surplus = self.state.withLock { state -> EngineSession? in
            state.overlaySessions[session.number] = session
            guard state.overlaySessions.count > self.parts.configuration.maximumIdleWriters else { return nil }
            return state.overlaySessions.values.compactMap { other in other.idleSince.map { (other, $0) } }
                .min { $0.1 < $1.1 }?.0
        }
        surplus?.releaseOverlay()
    }

    func overlayClosed(by session: EngineSession) {
        self.state.withLock { $0.overlaySessions[session.number] = nil }
    }

    /// Waits until what was written is decided, and copies into the file what it lacks. No session is left.
    func finish(by end: Instant) {
        self.lane.wake()
        self.quiet.withLock {
            while self.isUnsettled, Instant.now < end { _ = self.quiet.wait(atMost: end - .now) }
        }
        let begins = self.state.withLock { state in
            guard state.checkpoint.oldestUnsaved != nil, !state.checkpoint.isScheduled, !state.checkpoint.isBroken
            else { return false }
            state.checkpoint.isScheduled = true
            return true
        }
        if begins { self.checkpoint() }
        self.stepDown()
    }

    /// This node leads no more.
    func stepDown() {
        self.doomOverlay(.leadershipLost, endingTerm: self.state.withLock { $0.term })
    }

    /// Whether something that was written is not decided yet, or a checkpoint is under way.
    var isUnsettled: Bool {
        let (hasOverlay, isBusy) = self.state.withLock {
            ($0.hasOverlay, $0.inFlight > 0 || $0.held != nil || $0.checkpoint.isScheduled)
        }
        return isBusy || (hasOverlay && self.pager.uncutPages > 0)
    }

    /// Closes the file, if nothing has it open. If something has, the database goes on as it was.
    func close() -> Bool {
        self.doomOverlay(.leadershipLost)
        self.closeIdleReaders()
        return self.pager.close()
    }
}

/// @unchecked: exists in tests only, which use it from one lane.
struct SharedWriter: @unchecked Sendable {
    var connection: Connection?
}

/// For a closure that is made before what it calls.
private final class WeakDatabase: @unchecked Sendable {
    weak var value: Database?
}
