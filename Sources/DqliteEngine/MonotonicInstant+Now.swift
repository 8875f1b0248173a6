package import DqliteRaft

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

extension MonotonicInstant {
    /// A reading of the clock that nobody sets, and that goes on while the machine sleeps: a lease ends then too.
    ///
    /// It is the clock behind `ContinuousClock`, whose instants are of no size that the compiler knows: to copy one takes calls.
    package static var now: Self {
        #if canImport(Darwin)
            let clock = CLOCK_MONOTONIC
        #else
            let clock = CLOCK_BOOTTIME
        #endif
        var time = timespec()
        clock_gettime(clock, &time)
        return Self(
            Duration(
                secondsComponent: Int64(time.tv_sec), attosecondsComponent: Int64(time.tv_nsec) * 1_000_000_000))
    }

    /// Whole nanoseconds since the clock's beginning.
    package var nanoseconds: Int64 {
        let (seconds, attoseconds) = self.sinceStart.components
        return seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    }
}
