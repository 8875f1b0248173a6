/// A reading of a clock that never goes back, given by whoever owns one: this module reads none.
public struct MonotonicInstant: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Time since the clock's own beginning.
    public var sinceStart: Duration

    @inlinable public init(_ sinceStart: Duration) { self.sinceStart = sinceStart }

    @inlinable public static func < (one: Self, other: Self) -> Bool { one.sinceStart < other.sinceStart }
    @inlinable public static func + (instant: Self, duration: Duration) -> Self { Self(instant.sinceStart + duration) }
    @inlinable public static func - (one: Self, other: Self) -> Duration { one.sinceStart - other.sinceStart }

    public var description: String { "\(self.sinceStart)" }
}
