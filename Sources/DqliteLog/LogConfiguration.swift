/// Sizes and limits of a log, in bytes.
public struct LogConfiguration: Hashable, Sendable {
    /// Size of a segment. One that a larger batch needs is larger.
    public var segmentSize = 64 << 20
    /// Longest batch that is accepted: below 4 GiB.
    public var maximumBatchSize = 256 << 20
    /// How much may wait to be written, unless it is a single batch.
    public var maximumQueuedSize = 64 << 20
    /// Entries that are kept in memory after they are written, for those who read what was just appended.
    public var recentEntriesSize = 16 << 20
    /// Size of all segments, above which the head is truncated although somebody still waits for it.
    public var maximumLogSize = 1 << 30

    public init() {}

    /// End of a segment that entries leave free, so that a checkpoint, which makes room, can be recorded on a full disk.
    var reserve: Int { min(self.segmentSize / 8, 64 << 10) }
}
