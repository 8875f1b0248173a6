import NIOCore
import Synchronization

/// What lies between the event loop, on which the parts of a result arrive, and the task that reads them.
///
/// It holds no more than the connection's state machine lets in.
final class RowStream: Sendable {
    typealias Outcome = Result<[ResultPart], DqliteError>

    private struct State {
        var parts: [ResultPart] = []
        /// How it ended; delivered after the parts.
        var end: Result<Void, DqliteError>?
        var waiter: CheckedContinuation<Outcome, Never>?
        var isSent = false
        /// Whether nobody will read it any more.
        var isAbandoned = false
    }

    let id: UInt64
    /// The task that reads it.
    let reader: ReaderTask
    private let link: ConnectionLink
    private let mayWrite: Bool
    private let state = Mutex(State())

    init(id: UInt64, link: ConnectionLink, mayWrite: Bool, reader: ReaderTask) {
        self.id = id
        self.reader = reader
        self.link = link
        self.mayWrite = mayWrite
    }

    // MARK: On the event loop

    /// The request is about to be sent. False: it must not be, whoever waited is gone and was told that it was not.
    func markSent() -> Bool {
        self.state.withLock { state in
            if state.isAbandoned { return false }
            state.isSent = true
            return true
        }
    }

    /// Whether nobody will read it any more.
    var isAbandoned: Bool { self.state.withLock { $0.isAbandoned } }

    /// A part has arrived.
    func append(_ part: ResultPart, isLast: Bool) {
        let waiter = self.state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard !state.isAbandoned else { return nil }
            if isLast { state.end = .success(()) }
            guard let waiter = state.waiter else {
                state.parts.append(part)
                return nil
            }
            state.waiter = nil
            return waiter
        }
        waiter?.resume(returning: .success([part]))
    }

    /// Nothing more arrives.
    func fail(_ error: DqliteError) {
        let waiter = self.state.withLock { state -> CheckedContinuation<Outcome, Never>? in
            guard !state.isAbandoned, state.end == nil else { return nil }
            state.end = .failure(error)
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume(returning: .failure(error))
    }

    // MARK: In the task that reads

    /// The parts that have arrived since; waits for one if there are none. Empty at the end.
    func next() async throws(DqliteError) -> [ResultPart] {
        if let ready = self.take(waitingWith: nil) { return try ready.get() }
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                if let ready = self.take(waitingWith: continuation) { continuation.resume(returning: ready) }
            }
        } onCancel: {
            self.cancel()
        }
        return try outcome.get()
    }

    private func take(waitingWith continuation: CheckedContinuation<Outcome, Never>?) -> Outcome? {
        self.state.withLock { state in
            if state.isAbandoned { return .failure(self.cancellation(state)) }
            if !state.parts.isEmpty {
                defer { state.parts = [] }
                return .success(state.parts)
            }
            if let end = state.end { return end.map { [] } }
            if let continuation {
                precondition(state.waiter == nil, "one task at a time reads a result")
                state.waiter = continuation
            }
            return nil
        }
    }

    /// That many bytes of parts have been read.
    func consumed(_ bytes: Int) { self.link.consumed(self.id, bytes: bytes) }

    /// Nobody wants the rest: takes the request back if there is a rest, and returns whether there is one.
    @discardableResult
    func cancel() -> Bool {
        let (waiter, error, wasRunning) = self.state.withLock {
            state -> (CheckedContinuation<Outcome, Never>?, DqliteError, Bool) in
            defer {
                state.isAbandoned = true
                state.parts = []
                state.waiter = nil
            }
            return (state.waiter, self.cancellation(state), !state.isAbandoned && state.end == nil)
        }
        waiter?.resume(returning: .failure(error))
        if wasRunning { self.link.takeBack(self.id) }
        return wasRunning
    }

    /// What was read is not what the protocol allows: the connection is of no further use.
    func violation(_ error: DqliteError) {
        self.cancel()
        self.link.close(error)
    }

    private func cancellation(_ state: borrowing State) -> DqliteError {
        DqliteError(.cancelled, outcome: state.isSent && self.mayWrite ? .unknown : .notCommitted)
    }
}
