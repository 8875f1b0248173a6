#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A lock that one can wait under. (`Mutex` of `Synchronization` has no condition.)
///
/// @unchecked: the pointers never change, and what they point to is made for use by several threads.
package final class Condition: @unchecked Sendable {
    private let mutex: UnsafeMutablePointer<pthread_mutex_t>
    private let condition: UnsafeMutablePointer<pthread_cond_t>

    package init() {
        self.mutex = .allocate(capacity: 1)
        self.mutex.initialize(to: pthread_mutex_t())
        self.condition = .allocate(capacity: 1)
        self.condition.initialize(to: pthread_cond_t())
        pthread_mutex_init(self.mutex, nil)
        #if canImport(Darwin)
            pthread_cond_init(self.condition, nil)
        #else
            // The default clock jumps when somebody sets the time.
            var attributes = pthread_condattr_t()
            pthread_condattr_init(&attributes)
            pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
            pthread_cond_init(self.condition, &attributes)
            pthread_condattr_destroy(&attributes)
        #endif
    }

    deinit {
        pthread_cond_destroy(self.condition)
        pthread_mutex_destroy(self.mutex)
        self.condition.deallocate()
        self.mutex.deallocate()
    }

    package func lock() { pthread_mutex_lock(self.mutex) }

    package func unlock() { pthread_mutex_unlock(self.mutex) }

    package func withLock<Result>(_ body: () -> Result) -> Result {
        self.lock()
        defer { self.unlock() }
        return body()
    }

    /// Wakes one that waits.
    package func signal() { pthread_cond_signal(self.condition) }

    /// Wakes all that wait.
    package func broadcast() { pthread_cond_broadcast(self.condition) }

    /// Waits to be woken; may return without reason. Called, and returns, under the lock.
    package func wait() { pthread_cond_wait(self.condition, self.mutex) }

    /// Waits to be woken for at most `duration`; may return without reason. Called, and returns, under the lock.
    ///
    /// - Returns: Whether it was woken in time.
    package func wait(atMost duration: Duration) -> Bool {
        guard duration > .zero else { return false }
        let (seconds, attoseconds) = duration.components
        let nanoseconds = Int(attoseconds / 1_000_000_000)
        // More than ten years is for ever; the sum below must not overflow.
        let wholeSeconds = Int(min(seconds, 315_360_000))
        var time = timespec()
        #if canImport(Darwin)
            time.tv_sec = wholeSeconds
            time.tv_nsec = nanoseconds
            return pthread_cond_timedwait_relative_np(self.condition, self.mutex, &time) == 0
        #else
            clock_gettime(CLOCK_MONOTONIC, &time)
            let sum = Int(time.tv_nsec) + nanoseconds
            time.tv_sec += wholeSeconds + sum / 1_000_000_000
            time.tv_nsec = sum % 1_000_000_000
            return pthread_cond_timedwait(self.condition, self.mutex, &time) == 0
        #endif
    }
}

/// Starts a thread that nobody joins.
///
/// - Returns: Whether the system had one to give.
package func startThread(_ body: @escaping @Sendable () -> Void) -> Bool {
    final class Body {
        let call: @Sendable () -> Void
        init(_ call: @escaping @Sendable () -> Void) { self.call = call }
    }
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    // SQLite's parser and its triggers recurse deeply, and some systems give threads far less than the 8 MiB of main.
    pthread_attr_setstacksize(&attributes, 8 << 20)
    let context = Unmanaged.passRetained(Body(body))
    #if canImport(Darwin)
        var thread: pthread_t?
        let result = pthread_create(
            &thread, &attributes,
            { context in
                Unmanaged<Body>.fromOpaque(context).takeRetainedValue().call()
                return nil
            }, context.toOpaque())
    #else
        var thread = pthread_t()
        let result = pthread_create(
            &thread, &attributes,
            { context in
                if let context { Unmanaged<Body>.fromOpaque(context).takeRetainedValue().call() }
                return nil
            }, context.toOpaque())
    #endif
    if result != 0 { context.release() }
    return result == 0
}
