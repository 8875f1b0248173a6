internal import Synchronization

/// The one place where transactions of a database run on its overlay, one after the other: a queue that a thread of the
/// pool works off.
///
/// Who has the turn to write is in it, or nobody; who waits for the turn waits in ``WriterQueue``, with a deadline. Between
/// two transactions the lane looks after the overlay: it cuts batches and builds it anew.
final class Lane: Job {
    private struct State {
        var queue = Queue<EngineSession>()
        /// Whether a thread works it off, or has been asked to.
        var isScheduled = false
        /// Whether the overlay is to be looked after although nobody came.
        var isWoken = false
    }

    private let state = Mutex(State())
    private let pool: WorkerPool
    /// Looks after the overlay.
    ///
    /// - Returns: Whether the overlay takes more transactions; if not, the lane is woken when it does. Those that have begun go
    ///   on.
    private let betweenTransactions: @Sendable () -> Bool

    init(pool: WorkerPool, betweenTransactions: @escaping @Sendable () -> Bool) {
        self.pool = pool
        self.betweenTransactions = betweenTransactions
    }

    /// Has a session's slice run after those that came before.
    func enqueue(_ session: EngineSession) {
        let mustSchedule = self.state.withLock { state in
            state.queue.append(session)
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if mustSchedule { _ = self.pool.submit(self, isOptional: false) }
    }

    /// Whether somebody waits in it until the overlay takes more.
    var isHalted: Bool { self.state.withLock { !$0.isScheduled && !$0.queue.isEmpty } }

    /// Whether nothing runs in it.
    var isAtRest: Bool { self.state.withLock { !$0.isScheduled } }

    /// Has the overlay looked after.
    func wake() {
        let mustSchedule = self.state.withLock { state in
            state.isWoken = true
            defer { state.isScheduled = true }
            return !state.isScheduled
        }
        if mustSchedule { _ = self.pool.submit(self, isOptional: false) }
    }

    func runJob() {
        var takesMore = self.betweenTransactions()
        while true {
            let (session, isDone) = self.state.withLock { state -> (EngineSession?, Bool) in
                if takesMore || (state.queue.first?.cannotWait ?? false), let session = state.queue.popFirst() {
                    return (session, false)
                }
                if state.isWoken {
                    state.isWoken = false
                    return (nil, false)
                }
                state.isScheduled = false
                return (nil, true)
            }
            if isDone { return }
            session?.runOnLane()
            takesMore = self.betweenTransactions()
        }
    }
}
