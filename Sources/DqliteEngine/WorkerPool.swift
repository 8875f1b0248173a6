internal import DqliteRaft

/// What a thread of the pool does.
protocol Job: AnyObject, Sendable {
    func runJob()
}

/// Threads that run jobs in the order in which they came: started when no other is idle, up to a limit, and ended when
/// idle for a while. A job that takes long delays others only when no thread is left.
///
/// @unchecked: everything that changes is touched under `condition` only.
final class WorkerPool: @unchecked Sendable {
    private let maximumThreads: Int
    private let maximumWaiting: Int
    private let idleLimit: Duration
    /// Whether it has no threads, and somebody takes the jobs: see ``takeJob()``.
    private let isStepped: Bool
    private let condition = Condition()
    private var queue = Queue<any Job>()
    private var threadCount = 0
    private var idleCount = 0
    private var isStopping = false

    init(maximumThreads: Int, maximumWaiting: Int, idleLimit: Duration, isStepped: Bool = false) {
        self.isStepped = isStepped
        self.maximumThreads = max(1, maximumThreads)
        self.maximumWaiting = max(1, maximumWaiting)
        self.idleLimit = idleLimit
    }

    /// Starts the first thread, which stays: whoever has a job to do finds at least one.
    ///
    /// - Returns: Whether the system had one to give.
    func start() -> Bool {
        if self.isStepped { return true }
        return self.condition.withLock {
            if startThread({ self.work() }) { self.threadCount = 1 }
            return self.threadCount == 1
        }
    }

    /// Runs a job on a thread.
    ///
    /// - Parameter isOptional: Whether the job may be refused when too many wait. What a session needs in order to end
    ///   must not
    ///   be; there is at most one such job per session.
    /// - Returns: false when the job was refused, or when the pool has stopped.
    func submit(_ job: any Job, isOptional: Bool) -> Bool {
        self.condition.lock()
        if !self.isStopping, self.queue.count < self.idleCount {
            self.queue.append(job)
            self.condition.unlock()
            // Who is woken finds the lock free.
            self.condition.signal()
            return true
        }
        defer { self.condition.unlock() }
        if self.isStopping { return false }
        if self.isStepped {
            self.queue.append(job)
            return true
        }
        if self.threadCount < self.maximumThreads {
            self.threadCount += 1
            if startThread({ self.work() }) {
                self.queue.append(job)
                return true
            }
            self.threadCount -= 1
        }
        if isOptional, self.queue.count >= self.maximumWaiting { return false }
        self.queue.append(job)
        return true
    }

    /// Lets the threads end once nothing waits any more; takes no further jobs.
    func stop() {
        self.condition.withLock {
            self.isStopping = true
            self.condition.broadcast()
        }
    }

    /// Waits for the threads to end.
    ///
    /// - Returns: Whether they all did in time.
    func waitUntilStopped(atMost duration: Duration) -> Bool {
        let end = Instant.now + duration
        return self.condition.withLock {
            while self.threadCount > 0 {
                if !self.condition.wait(atMost: end - .now), Instant.now >= end {
                    return self.threadCount == 0
                }
            }
            return true
        }
    }

    /// Takes the next job of a pool without threads.
    func takeJob() -> (any Job)? { self.condition.withLock { self.queue.popFirst() } }

    /// Whether jobs wait for a thread.
    var isBusy: Bool { self.condition.withLock { self.queue.count > self.idleCount } }

    /// Threads that there are.
    var threads: Int { self.condition.withLock { self.threadCount } }

    private func work() {
        self.condition.lock()
        while true {
            if let job = self.queue.popFirst() {
                self.condition.unlock()
                job.runJob()
                self.condition.lock()
                continue
            }
            if self.isStopping { break }
            self.idleCount += 1
            let isWoken = self.condition.wait(atMost: self.idleLimit)
            self.idleCount -= 1
            if !isWoken, self.queue.isEmpty, self.threadCount > 1 { break }
        }
        self.threadCount -= 1
        if self.threadCount == 0 { self.condition.broadcast() }
        self.condition.unlock()
    }
}
