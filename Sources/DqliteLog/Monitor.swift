#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// State that one can wait for. (`Mutex` of `Synchronization` has no condition.)
///
/// @unchecked: the pointers never change, and the state is used under the lock only.
final class Monitor<State: Sendable>: @unchecked Sendable {
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private var state: State

    init(_ state: State) {
        self.state = state
        self.mutex.initialize(to: pthread_mutex_t())
        self.condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(self.mutex, nil)
        pthread_cond_init(self.condition, nil)
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    /// Does not wake anybody.
    func withLock<Result, Failure>(_ body: (inout State) throws(Failure) -> Result) throws(Failure) -> Result {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        return try body(&self.state)
    }

    /// Tries until there is a result: at once, and after each ``wake()``.
    func wait<Result, Failure>(_ body: (inout State) throws(Failure) -> Result?) throws(Failure) -> Result {
        pthread_mutex_lock(self.mutex)
        defer { pthread_mutex_unlock(self.mutex) }
        while true {
            if let result = try body(&self.state) { return result }
            pthread_cond_wait(self.condition, self.mutex)
        }
    }

    /// Tries until there is a result, as ``wait(_:)`` does, and lets the others who wait try again after each attempt. Those who
    /// are woken find the lock free.
    func update<Result, Failure>(_ body: (inout State) throws(Failure) -> Result?) throws(Failure) -> Result {
        pthread_mutex_lock(self.mutex)
        defer {
            pthread_mutex_unlock(self.mutex)
            self.wake()
        }
        while true {
            if let result = try body(&self.state) { return result }
            self.wake()
            pthread_cond_wait(self.condition, self.mutex)
        }
    }

    /// Lets all who wait try again.
    func wake() { pthread_cond_broadcast(self.condition) }
}
