import DqliteEngine

/// What waits in the middle of its work, on a thread of its own: it runs while the simulation stands still, and stands still
/// until the simulation lets it go on.
///
/// @unchecked: one of the two threads runs at a time, and hands over under the lock.
final class Fiber: @unchecked Sendable {
    private let condition = Condition()
    private var body: (() -> Void)?
    /// Whether it is the fiber's turn.
    private(set) var isRunning = false
    private var hasEnded = false
    private var isCancelled = false
    /// What the simulation is to begin, and to tell the end of.
    private var request: (() -> Void)?
    private var ended: (() -> Void)?

    init(_ body: @escaping () -> Void) { self.body = body }

    /// Begins. Called by the simulation, as are ``cancel()`` and what ``wait(for:)`` hands out.
    ///
    /// - Parameter ended: Called by the simulation when the work is done.
    func start(_ ended: @escaping () -> Void) {
        self.ended = ended
        self.isRunning = true
        let hasThread = startThread {
            let body = self.body.take()
            body?()
            self.hasEnded = true
            self.giveTurn()
        }
        precondition(hasThread, "the system has a thread to give")
        self.awaitTurn()
    }

    /// Has the simulation do something; returns when it is done. Called by the fiber.
    ///
    /// - Parameter begin: Called by the simulation, with whom to tell the result.
    /// - Returns: nil if the process has ended meanwhile.
    func wait<Result>(for begin: @escaping (@escaping (Result) -> Void) -> Void) -> Result? {
        if self.isCancelled { return nil }
        var result: Result?
        self.request = {
            begin {
                result = $0
                self.proceed()
            }
        }
        self.giveTurn()
        self.condition.withLock { while !self.isRunning { self.condition.wait() } }
        return result
    }

    /// Nothing that it waits for comes any more, and it does without until it has ended.
    func cancel() {
        self.isCancelled = true
        self.request = nil
        self.ended = nil
        if self.body == nil { self.proceed() }
    }

    private func proceed() {
        guard !self.hasEnded else { return }
        self.condition.withLock {
            self.isRunning = true
            self.condition.broadcast()
        }
        self.awaitTurn()
    }

    private func giveTurn() {
        self.condition.withLock {
            self.isRunning = false
            self.condition.broadcast()
        }
    }

    private func awaitTurn() {
        self.condition.withLock { while self.isRunning { self.condition.wait() } }
        if self.hasEnded { self.ended.take()?() } else { self.request.take()?() }
    }
}
