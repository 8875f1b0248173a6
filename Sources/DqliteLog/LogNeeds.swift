public import DqliteRaft

/// Who still needs which part of the log.
public struct LogNeeds: Hashable, Sendable {
    /// Somebody outside who is to be sent entries.
    public enum Holder: Hashable, Comparable, Sendable {
        /// A member of the cluster; its index is the last one known to be in its log.
        case follower(NodeID)
        /// A copy of a database that is being sent; its index is the one it began with.
        case stream(UInt64)
    }

    /// The lowest index that the files of all databases contain: the least done mark of those that have entries above it.
    /// Later entries are kept whatever the size of the log.
    public var checkpoints: LogIndex
    /// The index up to which each of the others has what it needs.
    public var holders: [Holder: LogIndex]

    public init(checkpoints: LogIndex, holders: [Holder: LogIndex] = [:]) {
        self.checkpoints = checkpoints
        self.holders = holders
    }
}

/// What became of the head of the log.
public struct LogTruncation: Hashable, Sendable {
    /// The first entry that is left, or the next one to come.
    public var firstIndex: LogIndex
    /// Size of all segments that are left, in bytes.
    public var size: Int
    /// Those that were no longer waited for, slowest first, because the log was longer than ``LogConfiguration/maximumLogSize``.
    public var dropped: [LogNeeds.Holder]
}
