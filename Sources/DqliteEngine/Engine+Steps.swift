package import DqliteRaft
internal import Synchronization

/// Threads of an engine, by what they do.
package enum EngineThreads: Int, CaseIterable, Sendable { case readers, lanes, checkpoints }

/// An engine without threads: whoever plays it says when its jobs run, and what time it is. For simulations, see
/// ``EngineConfiguration/time``.
extension Engine {
    /// The next job for some of the threads, to be run by the caller.
    package func takeJob(_ threads: EngineThreads) -> (() -> Void)? {
        let pool =
            switch threads {
            case .readers: self.pool
            case .lanes: self.lanePool
            case .checkpoints: self.checkpointPool
            }
        return pool.takeJob().map { job in { job.runJob() } }
    }

    /// When ``ring()`` is to be called; nil: nothing waits for a time.
    package var nextAlarm: MonotonicInstant? { self.clock.next }

    /// Tells those whose time has come.
    package func ring() { self.clock.ring() }

    /// Gives back all that the system has given, and does nothing to files: to whoever looks at those the process has just
    /// ended. No job is under way, and none of what was proposed is kept by anybody.
    package func abandon() {
        self.stepDown()
        for session in self.openSessions { session.close {} }
        var isBusy = true
        while isBusy {
            isBusy = false
            for threads in [EngineThreads.readers, .lanes] {
                while let job = self.takeJob(threads) {
                    job()
                    isBusy = true
                }
            }
        }
        self.ring()
        let isClosed = self.closeDatabases()
        precondition(isClosed, "nothing holds a database whose engine was abandoned")
        // What is left to do nobody does, and it would keep all this.
        for threads in EngineThreads.allCases { while self.takeJob(threads) != nil {} }
    }
}
