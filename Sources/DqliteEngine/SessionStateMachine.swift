internal import DqliteRaft

/// What a session does next, and who may touch its connection: the thread that runs its *slice*, of which there is one
/// at a time. A slice ends when the operation ends, waits for the turn to write, or is paused by its reader.
///
/// `Operation` is what the session was asked to do.
struct SessionStateMachine<Operation: Sendable>: Sendable {
    /// What a slice is for.
    enum Slice: Sendable {
        /// To begin an operation.
        case begin(Operation)
        /// To go on with the operation.
        case proceed
        /// To roll back a transaction that exceeded a limit.
        case rollBack(StopReason)
        /// To give up the overlay connection, unless it holds something.
        case release
        /// To close the connection.
        case close
    }

    /// What whoever acts for the machine has to do.
    enum Action: Sendable {
        case none
        /// Have a thread ask for the next slice.
        case schedule
        /// Tell what runs to end.
        case stopRunning
        /// End the operation with a failure: it has not begun. Then say ``delivered(now:isInTransaction:)``.
        case fail(Operation, StopReason)
        /// The operation cannot be taken.
        case refuse(StopReason)
        /// Everything is closed already.
        case isClosed
    }

    /// Where a slice runs.
    enum Place: Sendable {
        /// On any thread of the pool.
        case pool
        /// In the lane of the database: only who has the turn to write.
        case lane
    }

    private enum Phase: Sendable {
        case idle
        /// A thread will ask for this slice.
        case scheduled(Slice)
        case running
        case waitsForTurn(WriterQueue.Ticket)
        /// What the answer shows is not committed yet.
        case awaitsCommit(ticket: UInt64)
        case paused(since: Instant)
        /// The operation has ended; its sink is being told.
        case delivering
        case closed
    }

    /// Limits on what a session may hold.
    struct Limits: Sendable {
        var transactionDuration: Duration
        var transactionIdle: Duration
        var pause: Duration
    }

    private let limits: Limits
    private var phase = Phase.idle
    /// Where the slice that is scheduled is to run.
    private(set) var place = Place.pool
    private var lastCommitTicket: UInt64 = 0
    /// Asked for while the one before was still being delivered.
    private var next: (operation: Operation, timeout: Duration?, arrival: Instant, stop: StopReason?)?
    /// Why the operation must end.
    private(set) var stop: StopReason?
    private(set) var isClosing = false
    /// Why, as what is stopped for it is told.
    private var closingReason = StopReason.closing
    private var timeout: Duration?
    private var deadline: Instant?
    private var operationStart: Instant?
    /// The slice asks its sink, which may already answer by resuming.
    private var isAsking = false
    private var isResumed = false
    /// The turn that was granted before the slice had come to wait for it.
    private var granted: WriterQueue.Ticket?
    /// The wait that was over before the slice had come to it.
    private var expired: (ticket: WriterQueue.Ticket, reason: StopReason)?
    private var holdsTurn = false
    private var transactionStart: Instant?
    private var transactionHasSnapshot = false
    private var lastUse: Instant?

    init(limits: Limits) { self.limits = limits }

    /// Whether a slice runs, and may still be stopped.
    var isRunning: Bool { if case .running = self.phase { true } else { false } }

    // MARK: What the caller asks for

    mutating func run(_ operation: Operation, timeout: Duration?, now: Instant) -> Action {
        if self.isClosing { return .refuse(self.closingReason) }
        switch self.phase {
        case .idle:
            self.start(operation, timeout: timeout, now: now)
            return .schedule
        case .delivering where self.next == nil:
            self.next = (operation, timeout, now, nil)
            return .none
        case .scheduled(.rollBack) where self.next == nil, .scheduled(.release) where self.next == nil:
            self.next = (operation, timeout, now, nil)
            return .none
        default:
            return .refuse(.overlapping)
        }
    }

    private mutating func start(_ operation: Operation, timeout: Duration?, now: Instant) {
        self.phase = .scheduled(.begin(operation))
        self.place = .pool
        self.stop = nil
        self.timeout = timeout
        self.deadline = timeout.map { now + $0 }
        self.operationStart = now
        self.isResumed = false
        self.granted = nil
        self.expired = nil
    }

    mutating func resume() -> Action {
        switch self.phase {
        case .paused:
            self.phase = .scheduled(.proceed)
            return .schedule
        case .running where self.isAsking:
            self.isResumed = true
            return .none
        default: return .none
        }
    }

    mutating func interrupt() -> Action { self.stop(because: .interrupted) }

    private mutating func stop(because reason: StopReason) -> Action {
        switch self.phase {
        case .running:
            if self.stop == nil { self.stop = reason }
            return .stopRunning
        case .scheduled(.begin), .scheduled(.proceed):
            if self.stop == nil { self.stop = reason }
            return .none
        case .waitsForTurn, .paused:
            self.stop = reason
            if case .waitsForTurn = self.phase { self.place = .pool }
            self.phase = .scheduled(.proceed)
            return .schedule
        case .awaitsCommit:
            // What is done is not interrupted; and what became of the overlay is told by the commit itself.
            guard reason.endsWaitForCommit else { return .none }
            self.stop = reason
            self.phase = .scheduled(.proceed)
            self.place = .pool
            return .schedule
        case .scheduled(.rollBack), .scheduled(.release), .delivering:
            if self.next != nil, self.next?.stop == nil { self.next?.stop = reason }
            return .none
        case .idle, .scheduled(.close), .closed:
            return .none
        }
    }

    /// Ends everything. What waits for the end is kept by whoever acts for the machine.
    mutating func close(because reason: StopReason = .closing) -> Action {
        if case .closed = self.phase { return .isClosed }
        if self.isClosing { return .none }
        self.isClosing = true
        self.closingReason = reason
        switch self.phase {
        case .idle:
            self.phase = .scheduled(.close)
            return .schedule
        default: return self.stop(because: reason)
        }
    }

    // MARK: What happens

    mutating func turnGranted(_ ticket: WriterQueue.Ticket) -> Action {
        switch self.phase {
        case .waitsForTurn(ticket):
            self.phase = .scheduled(.proceed)
            self.place = .lane
            return .schedule
        case .running:
            // The word of an earlier ticket may come late, and says nothing about this operation's.
            self.granted = max(self.granted ?? ticket, ticket)
            return .none
        default: return .none
        }
    }

    /// The turn did not come in time.
    mutating func turnExpired(_ ticket: WriterQueue.Ticket, reason: StopReason) -> Action {
        switch self.phase {
        case .waitsForTurn(ticket): return self.stop(because: reason)
        case .running:
            // Not yet waiting: it will see that it waits in vain, if the ticket is its own.
            if ticket >= self.expired?.ticket ?? 0 { self.expired = (ticket, reason) }
            return .none
        default: return .none
        }
    }

    /// What the answer shows is committed, or lost.
    mutating func commitReached(_ ticket: UInt64) -> Action {
        guard case .awaitsCommit(ticket) = self.phase else { return .none }
        self.phase = .scheduled(.proceed)
        self.place = .pool
        return .schedule
    }

    /// The overlay was thrown away, or a snapshot has to go: what holds one ends.
    ///
    /// - Parameter isAnyway: Also when no transaction is open.
    mutating func giveUp(because reason: StopReason, isAnyway: Bool) -> Action {
        if self.isClosing || (!isAnyway && self.transactionStart == nil) { return .none }
        if case .idle = self.phase {
            guard self.transactionStart != nil else { return .none }
            self.transactionStart = nil
            self.phase = .scheduled(.rollBack(reason))
            self.place = .pool
            return .schedule
        }
        return self.stop(because: reason)
    }

    /// The overlay connection is wanted for others.
    mutating func release() -> Action {
        guard case .idle = self.phase, !self.isClosing, self.transactionStart == nil else { return .none }
        self.phase = .scheduled(.release)
        self.place = .pool
        return .schedule
    }

    /// Whether the slice that is scheduled must not wait for others: it is to end, or a transaction is open.
    var cannotWait: Bool { self.stop != nil || self.isClosing || self.transactionStart != nil }

    /// When it was used last, if nothing is asked of it now and no transaction is open.
    var idleSince: Instant? {
        guard case .idle = self.phase, self.transactionStart == nil else { return nil }
        return self.lastUse
    }

    /// Since when the session may have had a snapshot open; nil: it has none, or the newest one, as who writes in the lane.
    var snapshotStart: Instant? {
        if let transactionStart, self.transactionHasSnapshot { return transactionStart }
        switch self.phase {
        case .running, .paused, .scheduled(.proceed): return self.place == .pool ? self.operationStart : nil
        default: return nil
        }
    }

    /// No thread can be had for the slice that was asked for.
    mutating func cannotSchedule() -> Action {
        guard case .scheduled(.begin(let operation)) = self.phase else { return .none }
        self.phase = .delivering
        return .fail(operation, .overloaded)
    }

    /// A moment has come that may be one of those that ``nextAlarm`` names.
    mutating func alarm(now: Instant) -> Action {
        if self.isClosing { return .none }
        if self.stop == nil, let deadline = self.deadline, deadline <= now, let timeout = self.timeout {
            if case .scheduled(.begin(let operation)) = self.phase {
                self.phase = .delivering
                return .fail(operation, .timedOut(timeout))
            }
            return self.stop(because: .timedOut(timeout))
        }
        guard self.stop == nil, let reason = self.exceededLimit(now: now) else { return .none }
        if case .idle = self.phase {
            self.transactionStart = nil
            self.phase = .scheduled(.rollBack(reason))
            self.place = .pool
            return .schedule
        }
        return self.stop(because: reason)
    }

    private func exceededLimit(now: Instant) -> StopReason? {
        // A transaction that waits for its commit is not open any more.
        if case .awaitsCommit = self.phase { return nil }
        if let start = self.transactionStart, start + self.limits.transactionDuration <= now {
            return .transactionTooLong(self.limits.transactionDuration)
        }
        switch self.phase {
        case .idle:
            if self.transactionStart != nil, let lastUse, lastUse + self.limits.transactionIdle <= now {
                return .transactionIdle(self.limits.transactionIdle)
            }
        case .paused(let since):
            if self.holdsTurn, let start = self.operationStart, start + self.limits.transactionDuration <= now {
                return .transactionTooLong(self.limits.transactionDuration)
            }
            let limit = self.holdsTurn ? self.limits.transactionIdle : self.limits.pause
            if since + limit <= now { return .resultNotRead(limit) }
        default: break
        }
        return nil
    }

    /// The next moment at which ``alarm(now:)`` may have something to do.
    var nextAlarm: Instant? {
        if self.isClosing { return nil }
        var next: Instant?
        func consider(_ instant: Instant) { next = min(next ?? instant, instant) }
        switch self.phase {
        case .idle:
            if self.transactionStart != nil, let lastUse { consider(lastUse + self.limits.transactionIdle) }
        case .awaitsCommit:
            if self.stop == nil { return self.deadline }
        case .scheduled, .running, .waitsForTurn:
            if self.stop == nil, let deadline { consider(deadline) }
        case .paused(let since):
            if let deadline { consider(deadline) }
            consider(since + (self.holdsTurn ? self.limits.transactionIdle : self.limits.pause))
            if self.holdsTurn, let operationStart { consider(operationStart + self.limits.transactionDuration) }
        case .delivering, .closed: return nil
        }
        if self.stop == nil, let transactionStart { consider(transactionStart + self.limits.transactionDuration) }
        return next
    }

    // MARK: What the slice tells

    /// A thread is there. nil: somebody else was faster, or what was to be done has gone.
    mutating func beginSlice() -> Slice? {
        guard case .scheduled(let slice) = self.phase else { return nil }
        // While a transaction is rolled back the next operation may come, and nothing is to be stopped.
        switch slice {
        case .rollBack, .release: self.phase = .delivering
        default: self.phase = .running
        }
        return slice
    }

    /// The slice is about to ask its sink whether to go on.
    mutating func willAsk() {
        self.isAsking = true
        self.isResumed = false
    }

    mutating func wasTold() { self.isAsking = false }

    /// The sink wants a pause.
    ///
    /// - Returns: Whether the slice ends here; otherwise it goes on at once.
    mutating func pause(now: Instant, holdsTurn: Bool) -> Bool {
        self.isAsking = false
        self.holdsTurn = holdsTurn
        self.place = holdsTurn ? .lane : .pool
        if self.isResumed || self.stop != nil { return false }
        self.phase = .paused(since: now)
        return true
    }

    /// The slice goes on elsewhere.
    mutating func move(to place: Place) {
        self.isAsking = false
        self.phase = .scheduled(.proceed)
        self.place = place
    }

    /// The answer is held.
    ///
    /// - Parameter isDone: Whether all that is left is to tell it.
    /// - Returns: What names the wait; nil if there is none, since the operation was to end anyway: the slice goes on at once.
    mutating func awaitCommit(isDone: Bool) -> UInt64? {
        self.isAsking = false
        if let stop {
            if !isDone || stop.endsWaitForCommit { return nil }
            self.stop = nil
        }
        self.lastCommitTicket += 1
        self.phase = .awaitsCommit(ticket: self.lastCommitTicket)
        return self.lastCommitTicket
    }

    /// The operation waits for the turn.
    ///
    /// - Returns: Whether the slice ends here; otherwise it goes on at once.
    mutating func waitForTurn(_ ticket: WriterQueue.Ticket) -> Bool {
        if let expired, expired.ticket == ticket, self.stop == nil { self.stop = expired.reason }
        if self.granted == ticket || self.stop != nil { return false }
        self.phase = .waitsForTurn(ticket)
        return true
    }

    /// The operation has come to its end: from now on nothing stops it.
    mutating func finish() {
        self.phase = .delivering
        self.isAsking = false
    }

    /// The sink has been told, or there was none to tell.
    ///
    /// - Parameters:
    ///   - isInTransaction: Whether a transaction is open on the connection; nil: as it was before.
    ///   - hasSnapshot: Whether it has read or written already.
    /// - Returns: What the slice goes on with.
    mutating func delivered(now: Instant, isInTransaction: Bool?, hasSnapshot: Bool = false) -> Slice? {
        if let isInTransaction { self.transactionHasSnapshot = isInTransaction && hasSnapshot }
        self.holdsTurn = false
        self.deadline = nil
        self.stop = nil
        self.lastUse = now
        if isInTransaction ?? (self.transactionStart != nil) {
            self.transactionStart = self.transactionStart ?? self.operationStart ?? now
        } else {
            self.transactionStart = nil
        }
        self.operationStart = nil
        if let next = self.next {
            self.next = nil
            self.start(next.operation, timeout: next.timeout, now: next.arrival)
            self.stop = self.isClosing ? self.closingReason : next.stop
            return self.beginSlice()
        }
        self.place = .pool
        if self.isClosing {
            self.phase = .running
            return .close
        }
        self.phase = .idle
        return nil
    }

    /// A slice cannot be run here: some other thread has to.
    mutating func putBack(_ slice: Slice) {
        self.phase = .scheduled(slice)
        self.place = .pool
    }

    mutating func closed() { self.phase = .closed }
}

/// Why an operation ends before it is done.
enum StopReason: Equatable, Sendable {
    case interrupted
    case timedOut(Duration)
    case closing
    /// The engine is closed, for this reason.
    case engineClosing(String)
    /// The caller ran an operation while another was running.
    case overlapping
    /// Too many operations wait for a thread.
    case overloaded
    /// The turn to write did not come.
    case writeTimeout(waited: Duration, held: Duration)
    case transactionTooLong(Duration)
    case transactionIdle(Duration)
    case resultNotRead(Duration)
    /// The overlay that the transaction ran on was thrown away.
    case overlayLost(OverlayLoss)
    /// Memory for pages that only this snapshot needs has reached its bound, in bytes.
    case snapshotTooOld(Int)
}
