internal import CSQLite
public import DqliteProtocol
internal import Synchronization

/// One client's session: its connection, prepared statements and transaction.
///
/// At most one operation runs at a time; the caller sees to it.
public final class EngineSession: Sendable {
    private struct State: Sendable {
        var machine: SessionStateMachine<Operation>
        /// The connection's handle, for `sqlite3_interrupt`; nil before it is opened and once it is about to be closed.
        var handle: Handle?
        var alarm: Instant?
        var completions: [@Sendable () -> Void] = []
    }

    /// @unchecked: `sqlite3_interrupt` may be called from any thread, and nothing else is done with it here.
    private struct Handle: @unchecked Sendable {
        let pointer: OpaquePointer
    }

    /// What ``run(_:revision:request:timeout:sink:)`` was asked for.
    struct Operation: Sendable {
        var code: RequestCode
        var revision: UInt8
        var request: any RequestBytes
        var requiresTransaction = false
        var sink: any ResponseSink
    }

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
        let limits = SessionStateMachine<Operation>.Limits(
            transactionDuration: configuration.maximumTransactionDuration,
            transactionIdle: configuration.transactionIdleLimit, pause: configuration.maximumResultPause)
        self.engine = engine
        self.number = number
        self.database = database
        self.stopFlag = StopFlag()
        self.state = Mutex(State(machine: SessionStateMachine(limits: limits)))
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
    ///   - timeout: After this the request fails with SQLITE_INTERRUPT (9), whatever it waits for or does.
    ///   - requiresTransaction: Whether each statement, and Prepare, may run only while a transaction of the session is
    ///     open. If none is, the request fails with SQLITE_ABORT_ROLLBACK (516).
    ///   - sink: Told what comes of it.
    public func run(
        _ code: RequestCode, revision: UInt8, request: any RequestBytes, timeout: Duration?,
        requiresTransaction: Bool = false, sink: any ResponseSink
    ) {
        let operation = Operation(
            code: code, revision: revision, request: request, requiresTransaction: requiresTransaction, sink: sink)
        self.act {
            $0.run(operation, timeout: timeout, now: .now)
        } refused: { reason in
            self.engine.clock.perform { sink.failure(EngineError(reason)) }
        }
    }

    /// Goes on with a result that its sink has paused. Callable from any thread; without effect when none is paused.
    public func resume() { self.act { $0.resume() } }

    /// Makes the running operation end soon with SQLITE_INTERRUPT (9), also when it waits or is paused. Callable from
    /// any thread; without effect when none runs, on the next one too.
    public func interrupt() { self.act { $0.interrupt() } }

    /// Interrupts, rolls back and closes. `completion` is called when that is done, on a thread of the engine; after it
    /// the sink is not called any more. May be called again.
    public func close(completion: @escaping @Sendable () -> Void) {
        // Registered under the same lock under which the machine says that all is closed.
        self.act {
            $0.close()
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
}

// MARK: Acting for the machine

extension EngineSession: AlarmTarget {
    func alarm(now: Instant) {
        self.state.withLock { if let alarm = $0.alarm, alarm <= now { $0.alarm = nil } }
        self.act { $0.alarm(now: now) }
    }

    private func act(
        _ event: (inout SessionStateMachine<Operation>) -> SessionStateMachine<Operation>.Action,
        refused: (StopReason) -> Void = { _ in },
        whenClosed: () -> Void = {},
        register: (inout [@Sendable () -> Void]) -> Void = { _ in }
    ) {
        let (action, alarm) = self.state.withLock { state in
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
            return (action, Self.updateAlarm(&state))
        }
        if let alarm { self.engine.clock.schedule(self, at: alarm) }
        switch action {
        case .none, .stopRunning: break
        case .schedule: self.schedule()
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
        if self.engine.pool.submit(self, isOptional: true) { return }
        let action = self.state.withLock { $0.machine.cannotSchedule() }
        if case .fail(let operation, let reason) = action {
            self.engine.clock.perform { self.fail(operation, reason) }
        } else {
            // What has begun must be able to end. This fails only once the pool has stopped.
            _ = self.engine.pool.submit(self, isOptional: false)
        }
    }

    /// Ends an operation that has not begun.
    private func fail(_ operation: Operation, _ reason: StopReason) {
        operation.sink.failure(EngineError(reason))
        // A transaction may be open; nothing about it has changed.
        if let slice = self.delivered(isInTransaction: nil) { self.putBack(slice) }
    }

    /// Leaves a slice to a thread of the pool.
    private func putBack(_ slice: SessionStateMachine<Operation>.Slice) {
        self.state.withLock { $0.machine.putBack(slice) }
        _ = self.engine.pool.submit(self, isOptional: false)
    }

    private func delivered(isInTransaction: Bool?) -> SessionStateMachine<Operation>.Slice? {
        let (slice, alarm) = self.state.withLock { state in
            let slice = state.machine.delivered(now: .now, isInTransaction: isInTransaction)
            self.stopFlag.set(state.machine.stop != nil)
            return (slice, Self.updateAlarm(&state))
        }
        if let alarm { self.engine.clock.schedule(self, at: alarm) }
        return slice
    }
}

// MARK: The slice

extension EngineSession: Job {
    func runJob() {
        var next = self.state.withLock { state in
            let slice = state.machine.beginSlice()
            self.stopFlag.set(state.machine.stop != nil)
            return slice
        }
        while let slice = next { next = self.run(slice) }
    }

    private func run(_ slice: SessionStateMachine<Operation>.Slice) -> SessionStateMachine<Operation>.Slice? {
        switch slice {
        case .begin(let operation):
            self.core.begin(operation)
            return self.advance()
        case .proceed:
            return self.advance()
        case .rollBack(let reason):
            self.core.rollBack(because: reason, session: self)
            return self.delivered(isInTransaction: false)
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

    private func advance() -> SessionStateMachine<Operation>.Slice? {
        switch self.core.advance(session: self) {
        case .paused:
            let holdsTurn = self.core.holdsTurn
            let (isPaused, alarm) = self.state.withLock { state in
                let isPaused = state.machine.pause(now: .now, holdsTurn: holdsTurn)
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
        case .finished(let answer):
            let reason = self.state.withLock { state -> StopReason? in
                defer {
                    state.machine.finish()
                    self.stopFlag.set(false)
                }
                return state.machine.stop
            }
            self.core.conclude(answer, reason: reason, session: self)
            let next = self.delivered(isInTransaction: self.core.isInTransaction)
            // The client's next request is here already. It goes on in this thread, unless others came first.
            guard case .begin? = next, let next, self.engine.pool.isBusy else { return next }
            self.putBack(next)
            return nil
        }
    }

    /// What the core needs while it runs.
    var stopReason: StopReason? { self.state.withLock { $0.machine.stop } }
    func willAsk() { self.state.withLock { $0.machine.willAsk() } }
    func wasTold() { self.state.withLock { $0.machine.wasTold() } }
    func setHandle(_ handle: OpaquePointer?) {
        let handle = handle.map(Handle.init)
        self.state.withLock { $0.handle = handle }
    }
}
