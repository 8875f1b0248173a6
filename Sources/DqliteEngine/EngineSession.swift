internal import CSQLite
public import DqliteProtocol
internal import Synchronization

/// One client's session: its connections, prepared statements and transaction.
///
/// At most one operation runs at a time; the caller sees to it.
public final class EngineSession: Sendable {
    private struct State: Sendable {
        var machine: SessionStateMachine<Operation>
        /// The handle of the connection that is used, for `sqlite3_interrupt`; nil when none is.
        var handle: Handle?
        var alarm: Instant?
        var completions: [@Sendable () -> Void] = []
        /// What became of what the held answer shows.
        var commit: CommitOutcome?
    }

    /// @unchecked: `sqlite3_interrupt` may be called from any thread, and nothing else is done with it here.
    private struct Handle: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    /// What ``run(_:revision:request:timeout:requiresTransaction:sink:)`` was asked for.
    /// (A class, so that none of it is copied on its way.)
    final class Operation: Sendable {
        let code: RequestCode
        let revision: UInt8
        let request: any RequestBytes
        let requiresTransaction: Bool
        let isCurrent: Bool
        let sink: any ResponseSink

        init(
            code: RequestCode, revision: UInt8, request: any RequestBytes, requiresTransaction: Bool, isCurrent: Bool,
            sink: any ResponseSink
        ) {
            self.code = code
            self.revision = revision
            self.request = request
            self.requiresTransaction = requiresTransaction
            self.isCurrent = isCurrent
            self.sink = sink
        }
    }

    typealias Machine = SessionStateMachine<Operation>

    /// Number of the session in the engine, never given twice.
    let number: UInt64
    let database: Database
    private let engine: Engine
    private let stopFlag: StopFlag
    private let state: Mutex<State>
    private let core: SessionCore

    init(
        engine: Engine, number: UInt64, database: Database, mode: DatabaseName.Mode, encoding: WireEncoding,
        isStateless: Bool
    ) {
        let configuration = engine.configuration
        let limits = Machine.Limits(
            transactionDuration: configuration.maximumTransactionDuration,
            transactionIdle: configuration.transactionIdleLimit, pause: configuration.maximumResultPause)
        self.engine = engine
        self.number = number
        self.database = database
        self.stopFlag = StopFlag()
        self.state = Mutex(State(machine: Machine(limits: limits)))
        self.core = SessionCore(
            database: database, mode: mode, encoding: encoding, isStateless: isStateless, configuration: configuration,
            stopFlag: self.stopFlag)
    }

    /// Runs Prepare, Exec, Query, Finalize, ExecSQL or QuerySQL and reports to `sink`.
    ///
    /// - Parameters:
    ///   - code: Which of them.
    ///   - revision: The layout of the request in the dqlite encoding; it also decides what Prepare answers.
    ///   - request: The body, in the session's encoding.
    ///   - timeout: After this the request fails with SQLITE_INTERRUPT (9), whatever it waits for or does; if it waits for
    ///     its write to be committed, with the outcome unknown.
    ///   - requiresTransaction: Whether each statement, and Prepare, may run only while a transaction of the session is
    ///     open. If none is, the request fails with SQLITE_ABORT_ROLLBACK (516).
    ///   - isCurrent: Whether what this node has is new enough for the request, so that nobody has to be asked whether the
    ///     node still leads.
    ///   - sink: Told what comes of it.
    public func run(
        _ code: RequestCode, revision: UInt8, request: any RequestBytes, timeout: Duration?,
        requiresTransaction: Bool = false, isCurrent: Bool = false, sink: any ResponseSink
    ) {
        let operation = Operation(
            code: code, revision: revision, request: request, requiresTransaction: requiresTransaction,
            isCurrent: isCurrent, sink: sink)
        self.act {
            $0.run(operation, timeout: timeout, now: self.engine.clock.now)
        } refused: { reason in
            self.engine.clock.perform { sink.failure(EngineError(reason)) }
        } schedule: {
            if self.engine.configuration.runsShortReadsOnCaller { self.runSlices(at: .here) } else { self.schedule() }
        }
    }

    /// Whether it was closed, by whomever, and takes no requests any more.
    public var isOver: Bool { self.state.withLock { $0.machine.isClosing } }

    /// Goes on with a result that its sink has paused. Callable from any thread; without effect when none is paused.
    public func resume() { self.act { $0.resume() } }

    /// Makes the running operation end soon with SQLITE_INTERRUPT (9), also when it waits or is paused; unless all that
    /// it waits for is its commit. Callable from any thread; without effect when none runs, on the next one too.
    public func interrupt() { self.act { $0.interrupt() } }

    /// Interrupts, rolls back and closes. `completion` is called when that is done, on a thread of the engine; after it
    /// the sink is not called any more. May be called again.
    public func close(completion: @escaping @Sendable () -> Void) { self.close(because: .closing, completion) }

    func close(because reason: StopReason, _ completion: @escaping @Sendable () -> Void) {
        // Registered under the same lock under which the machine says that all is closed.
        self.act {
            $0.close(because: reason)
        } whenClosed: {
            self.engine.clock.perform(completion)
        } register: {
            $0.append(completion)
        }
    }

    func turnGranted(_ ticket: WriterQueue.Ticket) { self.act { $0.turnGranted(ticket) } }

    func turnExpired(_ expiry: WriterQueue.Expiry) {
        self.act {
            $0.turnExpired(expiry.waiter.ticket, reason: .writeTimeout(waited: expiry.waited, held: expiry.held))
        }
    }

    /// What the held answer shows is committed, or lost. The answer leaves on this thread.
    func commitReached(_ ticket: UInt64, _ outcome: CommitOutcome) {
        let isAwaited = self.state.withLock { state in
            guard case .schedule = state.machine.commitReached(ticket) else { return false }
            state.commit = outcome
            return true
        }
        if isAwaited { self.runSlices(at: .completion) }
    }

    /// See ``SessionStateMachine/giveUp(because:isAnyway:)``.
    func giveUp(because reason: StopReason, isAnyway: Bool) {
        self.act { $0.giveUp(because: reason, isAnyway: isAnyway) }
    }

    /// Gives up the overlay connection if nothing depends on it.
    func releaseOverlay() { self.act { $0.release() } }

    /// Since when the session may have had a snapshot open.
    var snapshotStart: Instant? { self.state.withLock { $0.machine.snapshotStart } }

    /// See ``SessionStateMachine/cannotWait``.
    var cannotWait: Bool { self.state.withLock { $0.machine.cannotWait } }

    /// When the session was used last, if nothing is asked of it now and no transaction is open.
    var idleSince: Instant? { self.state.withLock { $0.machine.idleSince } }
}

// MARK: Acting for the machine

extension EngineSession: AlarmTarget {
    func alarm(now: Instant) {
        self.state.withLock { if let alarm = $0.alarm, alarm <= now { $0.alarm = nil } }
        self.act { $0.alarm(now: now) }
    }

    private func act(
        _ event: (inout Machine) -> Machine.Action,
        refused: (StopReason) -> Void = { _ in },
        whenClosed: () -> Void = {},
        register: (inout [@Sendable () -> Void]) -> Void = { _ in },
        schedule: (() -> Void)? = nil
    ) {
        let (action, alarm, wakesLane) = self.state.withLock { state in
            let action = event(&state.machine)
            switch action {
            case .isClosed: break
            case .stopRunning:
                self.stopFlag.set(true)
                // Under the lock, so that the operation cannot end, nor the connection close, meanwhile.
                if let handle = state.handle { sqlite3_interrupt(handle.pointer) }
                register(&state.completions)
            default: register(&state.completions)
            }
            let isInLane = if case .none = action, state.machine.place == .lane { true } else { false }
            return (action, Self.updateAlarm(&state), isInLane && state.machine.cannotWait)
        }
        if let alarm { self.engine.clock.schedule(self, at: alarm) }
        // It may be in a lane that takes nothing new.
        if wakesLane { self.database.lane.wake() }
        switch action {
        case .none, .stopRunning: break
        case .schedule: if let schedule { schedule() } else { self.schedule() }
        case .fail(let operation, let reason): self.fail(operation, reason)
        case .refuse(let reason): refused(reason)
        case .isClosed: whenClosed()
        }
    }

    private static func updateAlarm(_ state: inout State) -> Instant? {
        guard let next = state.machine.nextAlarm else { return nil }
        // An alarm that comes too early does no harm: it asks for the next one.
        if let alarm = state.alarm, alarm <= next { return nil }
        state.alarm = next
        return next
    }

    private func schedule() {
        switch self.state.withLock({ $0.machine.place }) {
        case .lane:
            self.database.lane.enqueue(self)
        case .pool:
            if self.engine.pool.submit(self, isOptional: true) { return }
            let action = self.state.withLock { $0.machine.cannotSchedule() }
            if case .fail(let operation, let reason) = action {
                self.engine.clock.perform { self.fail(operation, reason) }
            } else {
                // What has begun must be able to end. This fails only once the pool has stopped.
                _ = self.engine.pool.submit(self, isOptional: false)
            }
        }
    }

    /// Ends an operation that has not begun.
    private func fail(_ operation: Operation, _ reason: StopReason) {
        operation.sink.failure(EngineError(reason))
        // A transaction may be open; nothing about it has changed.
        if let slice = self.delivered(isInTransaction: nil) { self.putBack(slice) }
    }

    /// Leaves a slice to a thread of the pool.
    private func putBack(_ slice: Machine.Slice) {
        self.state.withLock { $0.machine.putBack(slice) }
        _ = self.engine.pool.submit(self, isOptional: false)
    }

    private func delivered(isInTransaction: Bool?, hasSnapshot: Bool = false) -> Machine.Slice? {
        let (slice, alarm) = self.state.withLock { state in
            let slice = state.machine.delivered(
                now: self.engine.clock.now, isInTransaction: isInTransaction, hasSnapshot: hasSnapshot)
            self.stopFlag.set(state.machine.stop != nil)
            return (slice, Self.updateAlarm(&state))
        }
        if let alarm { self.engine.clock.schedule(self, at: alarm) }
        return slice
    }
}

// MARK: The slice

/// The thread that a slice runs on, and so what it may do.
enum SliceThread {
    /// The caller's, which must not be held up: only what is compiled, short, and in memory.
    case here
    case pool
    case lane
    /// The one that tells of commits: only answers.
    case completion
}

extension EngineSession: Job {
    func runJob() { self.runSlices(at: .pool) }
    func runOnLane() { self.runSlices(at: .lane) }

    private func runSlices(at thread: SliceThread) {
        var next = self.state.withLock { state in
            let slice = state.machine.beginSlice()
            self.stopFlag.set(state.machine.stop != nil)
            return slice
        }
        while let slice = next { next = self.run(slice, at: thread) }
    }

    private func run(_ slice: Machine.Slice, at thread: SliceThread) -> Machine.Slice? {
        switch slice {
        case .begin(let operation):
            self.core.begin(operation)
            return self.advance(at: thread)
        case .proceed:
            return self.advance(at: thread)
        case .rollBack(let reason):
            self.core.rollBack(because: reason, session: self)
            return self.goOn(self.delivered(isInTransaction: false), at: thread)
        case .release:
            self.core.releaseOverlay(session: self)
            return self.goOn(self.delivered(isInTransaction: nil), at: thread)
        case .close:
            self.setHandle(nil)
            self.core.close(session: self)
            self.engine.sessionClosed(self)
            let completions = self.state.withLock { state in
                state.machine.closed()
                defer { state.completions = [] }
                return state.completions
            }
            for completion in completions { completion() }
            return nil
        }
    }

    /// The client's next request, or the end, is here already. It goes on in this thread of the pool, unless others came
    /// first.
    private func goOn(_ next: Machine.Slice?, at thread: SliceThread) -> Machine.Slice? {
        guard let next else { return nil }
        if case .pool = thread {
            guard case .begin = next, self.engine.pool.isBusy else { return next }
        }
        self.putBack(next)
        return nil
    }

    private func advance(at thread: SliceThread) -> Machine.Slice? {
        switch self.core.advance(session: self, at: thread) {
        case .paused:
            let holdsTurn = self.core.holdsTurn
            let (isPaused, alarm) = self.state.withLock { state in
                let isPaused = state.machine.pause(now: self.engine.clock.now, holdsTurn: holdsTurn)
                self.stopFlag.set(state.machine.stop != nil)
                return (isPaused, Self.updateAlarm(&state))
            }
            if let alarm { self.engine.clock.schedule(self, at: alarm) }
            return isPaused ? nil : .proceed
        case .waitsForTurn(let ticket):
            let isWaiting = self.state.withLock { state in
                let isWaiting = state.machine.waitForTurn(ticket)
                self.stopFlag.set(state.machine.stop != nil)
                return isWaiting
            }
            return isWaiting ? nil : .proceed
        case .moves(let place):
            self.state.withLock { $0.machine.move(to: place) }
            self.schedule()
            return nil
        case .awaitsCommit(let sequence):
            let (generation, isDone) = (self.core.generation, self.core.isCommitting)
            let (ticket, alarm) = self.state.withLock { state in
                state.commit = nil
                let ticket = state.machine.awaitCommit(isDone: isDone)
                self.stopFlag.set(state.machine.stop != nil)
                return (ticket, Self.updateAlarm(&state))
            }
            guard let ticket else {
                // The operation was to end anyway; what is known already it is told all the same.
                if isDone, self.database.outcome(of: sequence, in: generation) == .committed {
                    self.state.withLock { $0.commit = .committed }
                }
                return .proceed
            }
            if let alarm { self.engine.clock.schedule(self, at: alarm) }
            // From here on another thread may have gone on with the session.
            if let outcome = self.database.awaitCommit(through: sequence, of: generation, for: self, ticket) {
                self.commitReached(ticket, outcome)
            }
            return nil
        case .awaitsLeadership:
            let isDone = self.core.isCommitting
            let (ticket, alarm) = self.state.withLock { state in
                state.commit = nil
                let ticket = state.machine.awaitCommit(isDone: isDone)
                self.stopFlag.set(state.machine.stop != nil)
                return (ticket, Self.updateAlarm(&state))
            }
            guard let ticket else { return .proceed }
            if let alarm { self.engine.clock.schedule(self, at: alarm) }
            self.database.parts.replicator.confirmLeadership { isConfirmed in
                self.commitReached(ticket, isConfirmed ? .committed : .unknown(.leadershipLost))
            }
            return nil
        case .finished(let answer):
            self.state.withLock { state in
                state.machine.finish()
                self.stopFlag.set(false)
            }
            self.core.tell(answer)
            let (isInTransaction, generation) = (self.core.isInTransaction, self.core.generation)
            let hasSnapshot = isInTransaction && self.core.overlay?.hasSnapshot ?? false
            let next = self.delivered(isInTransaction: isInTransaction, hasSnapshot: hasSnapshot)
            // An overlay that was thrown away while the answer was told said so to nobody.
            if next == nil, isInTransaction, generation != self.database.generation {
                self.giveUp(because: .overlayLost(self.database.lastLoss), isAnyway: false)
            }
            return self.goOn(next, at: thread)
        }
    }

    /// What the core needs while it runs.
    var stopReason: StopReason? { self.state.withLock { $0.machine.stop } }
    func willAsk() { self.state.withLock { $0.machine.willAsk() } }
    func wasTold() { self.state.withLock { $0.machine.wasTold() } }
    func takeCommitOutcome() -> CommitOutcome? { self.state.withLock { $0.commit.take() } }

    /// The operation's statements have come to their end: from now on nothing interrupts the connection.
    ///
    /// - Returns: Why the operation was to end before.
    func settle() -> StopReason? {
        self.state.withLock { state in
            self.stopFlag.set(false)
            state.handle = nil
            return state.machine.stop
        }
    }

    func setHandle(_ handle: OpaquePointer?) {
        let handle = handle.map(Handle.init)
        self.state.withLock { $0.handle = handle }
    }
}
