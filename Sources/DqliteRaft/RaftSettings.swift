/// Times and limits of Raft. All nodes of a cluster should have the same times, or leases mean nothing.
public struct RaftSettings: Hashable, Sendable {
    /// Time between two ticks.
    public var tickInterval: Duration = .milliseconds(500)
    /// Ticks without a leader after which a node may start an election; each waits between one and two of these.
    public var electionTicks = 6
    /// Ticks between two heartbeats.
    public var heartbeatTicks = 1
    /// Whether a leader may answer reads by its lease. Off in a cluster with nodes that do not repeat rounds (C nodes), and
    /// where clocks cannot be trusted to run alike within ten per cent.
    public var leases = true

    /// Rounds of catching up after which a promotion is given up.
    public var catchUpRounds = 100
    /// Ticks of catching up after which a promotion is given up.
    public var catchUpTicks = 100

    /// Bytes of entries in one message; a larger entry goes alone.
    public var maximumMessageSize = 1 << 20
    /// As ``maximumMessageSize``, of entries that have to be read from the disk.
    public var maximumCatchUpSize = 256 << 10
    /// Whether a peer that needs entries from the disk gets them one message at a time, each after ``Raft/continueCatchUp(factor:)``.
    public var pacesCatchUp = false
    /// Messages with entries that one peer has not answered.
    public var maximumInflightMessages = 64
    /// Bytes of entries that one peer has not answered; one message is always allowed.
    public var maximumInflightSize = 16 << 20
    /// Bytes of one proposal.
    public var maximumEntrySize = 128 << 20
    /// Bytes of proposals that are not yet committed; one is always allowed.
    public var maximumUncommittedSize = 256 << 20
    /// Bytes of entries that wait for the disk; a follower with more takes no others until it has written them.
    public var maximumUnstableSize = 256 << 20
    /// Bytes of committed entries that have been handed over and are not yet applied; one entry is always allowed.
    public var maximumApplyingSize = 16 << 20
    /// Bytes of durable entries that are kept in memory for slower peers.
    public var maximumCacheSize = 16 << 20
    /// Reads that wait for a round.
    public var maximumWaitingReads = 1 << 16

    public init() {}

    /// The least time without a leader after which any node votes for another.
    var electionTimeout: Duration { self.tickInterval * self.electionTicks }
    /// Clocks may run apart by ten per cent while a lease lasts.
    var leaseDuration: Duration { self.electionTimeout * 9 / 10 }
}
