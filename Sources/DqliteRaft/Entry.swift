/// One entry of the log: what all nodes do, at the same place, in the same order.
public struct Entry: Hashable, Sendable {
    /// What the data of an entry is. The numbers are those of dqlite's Raft.
    public struct Kind: RawRepresentable, Hashable, Sendable {
        public var rawValue: UInt8

        @inlinable public init(rawValue: UInt8) { self.rawValue = rawValue }

        /// A command for the databases.
        @inlinable public static var command: Self { Self(rawValue: 1) }
        /// Nothing: what a new leader appends.
        @inlinable public static var barrier: Self { Self(rawValue: 2) }
        /// A configuration of the cluster.
        @inlinable public static var configuration: Self { Self(rawValue: 3) }
    }

    /// Where it is.
    public var index: LogIndex
    /// Term of the leader that created it.
    public var term: Term
    /// What the data is.
    public var kind: Kind
    /// Shared with everyone who holds the entry, and never copied on its way to disk.
    public var data: [UInt8]

    @inlinable
    public init(index: LogIndex, term: Term, kind: Kind = .command, data: [UInt8]) {
        self.index = index
        self.term = term
        self.kind = kind
        self.data = data
    }
}
