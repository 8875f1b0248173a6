/// A term of Raft: there is at most one leader in each. Zero comes before the first election.
public struct Term: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt64) { self.rawValue = value }

    /// The term before the first election.
    @inlinable public static var zero: Self { Self(0) }

    @inlinable public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }

    public var description: String { "\(self.rawValue)" }
}
