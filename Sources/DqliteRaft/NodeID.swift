/// The Raft id of a node. Zero is nobody's.
public struct NodeID: RawRepresentable, Hashable, Comparable, Sendable, CustomStringConvertible {
    public var rawValue: UInt64

    @inlinable public init(rawValue: UInt64) { self.rawValue = rawValue }
    @inlinable public init(_ value: UInt64) { self.rawValue = value }

    @inlinable public static func < (one: Self, other: Self) -> Bool { one.rawValue < other.rawValue }

    public var description: String { "\(self.rawValue)" }
}
