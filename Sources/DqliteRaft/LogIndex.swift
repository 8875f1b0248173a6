/// The place of an entry in the log. The first entry has index 1; zero is the place before it.
public struct LogIndex: RawRepresentable, Hashable, Comparable, Strideable, Sendable, CustomStringConvertible {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt64) { self.rawValue = value }

    /// The place before the first entry.
    @inlinable public static var zero: Self { Self(0) }

    /// The place after this one.
    @inlinable public var next: Self { Self(self.rawValue + 1) }
    /// The place before this one, which must not be zero.
    @inlinable public var previous: Self { Self(self.rawValue - 1) }

    @inlinable public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }
    @inlinable public func distance(to other: Self) -> Int { Int(Int64(bitPattern: other.rawValue &- self.rawValue)) }
    @inlinable public func advanced(by count: Int) -> Self { Self(self.rawValue &+ UInt64(bitPattern: Int64(count))) }

    public var description: String { "\(self.rawValue)" }
}
