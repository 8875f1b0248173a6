import Synchronization

/// Where a task waits for one thing to happen elsewhere. Who is cancelled while it waits goes on at once.
final class Completion<Value: Sendable>: Sendable {
    typealias Outcome = Result<Value, DqliteError>

    private enum State {
        case open
        case waiting(CheckedContinuation<Outcome, Never>)
        case completed(Outcome)
        /// The one who waited is gone, with its outcome or cancelled.
        case over
    }

    private struct Storage {
        var state: State = .open
        var isSent = false
    }

    private let storage = Mutex(Storage())
    private let mayWrite: Bool
    private let onLate: (@Sendable (Value) -> Void)?

    /// - Parameters:
    ///   - mayWrite: Whether a cancellation leaves the outcome unknown once the request has been sent.
    ///   - onLate: Called with what comes when nobody waits any more.
    init(mayWrite: Bool = false, onLate: (@Sendable (Value) -> Void)? = nil) {
        self.mayWrite = mayWrite
        self.onLate = onLate
    }

    /// Whether nobody waits for it any more.
    var isOver: Bool {
        self.storage.withLock { storage in
            if case .over = storage.state { true } else { false }
        }
    }

    /// The request is about to be sent. False: it must not be, whoever waited is gone and was told that it was not.
    func markSent() -> Bool {
        self.storage.withLock { storage in
            if case .over = storage.state { return false }
            storage.isSent = true
            return true
        }
    }

    /// It has happened. The first one counts.
    func complete(_ outcome: Outcome) {
        let (continuation, isLate) = self.storage.withLock {
            storage -> (CheckedContinuation<Outcome, Never>?, Bool) in
            switch storage.state {
            case .open: storage.state = .completed(outcome)
            case .waiting(let continuation):
                storage.state = .over
                return (continuation, false)
            case .completed: break
            case .over: return (nil, true)
            }
            return (nil, false)
        }
        continuation?.resume(returning: outcome)
        if isLate, case .success(let value) = outcome { self.onLate?(value) }
    }

    /// Waits for it. Called once.
    ///
    /// - Parameters:
    ///   - ignoringCancellation: Whether to wait even if the task is cancelled.
    ///   - onCancel: Called when the task is cancelled before it has happened.
    func wait(ignoringCancellation: Bool = false, onCancel: @escaping @Sendable () -> Void) async -> Outcome {
        if ignoringCancellation { return await self.suspend() }
        return await withTaskCancellationHandler {
            await self.suspend()
        } onCancel: {
            if self.cancel() { onCancel() }
        }
    }

    private func suspend() async -> Outcome {
        await withCheckedContinuation { continuation in
            let outcome = self.storage.withLock { storage -> Outcome? in
                switch storage.state {
                case .open:
                    storage.state = .waiting(continuation)
                    return nil
                case .completed(let outcome):
                    storage.state = .over
                    return outcome
                case .over: return .failure(self.cancellation(storage))
                case .waiting: preconditionFailure("only one task waits for a request")
                }
            }
            if let outcome { continuation.resume(returning: outcome) }
        }
    }

    /// Whether there was something to cancel.
    private func cancel() -> Bool {
        let (wasOpen, continuation, error) = self.storage.withLock {
            storage -> (Bool, CheckedContinuation<Outcome, Never>?, DqliteError) in
            let error = self.cancellation(storage)
            switch storage.state {
            case .open:
                storage.state = .over
                return (true, nil, error)
            case .waiting(let continuation):
                storage.state = .over
                return (true, continuation, error)
            case .completed, .over: return (false, nil, error)
            }
        }
        continuation?.resume(returning: .failure(error))
        return wasOpen
    }

    private func cancellation(_ storage: borrowing Storage) -> DqliteError {
        DqliteError(.cancelled, outcome: storage.isSent && self.mayWrite ? .unknown : .notCommitted)
    }
}
