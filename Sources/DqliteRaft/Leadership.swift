/// What a node has only while it leads.
struct Leadership: Sendable {
    /// When a round was begun.
    private struct RoundStart: Sendable {
        var round: UInt64
        var instant: MonotonicInstant
    }

    /// All members that get entries, apart from this node, by id.
    var peers: [Progress] = []
    /// The first entry of this term: nothing may be read or changed before it is committed.
    var firstOwnIndex: LogIndex
    var ticksToHeartbeat: Int
    var ticksToQuorumCheck: Int
    /// The newest round of heartbeats, and when the newest ones began.
    private(set) var round: UInt64 = 0
    private var roundStarts: [RoundStart] = []
    var reads = WaitingReads()
    /// Whether peers are told of what was committed since, though there is nothing else to send.
    var announcesCommit = false
    var transfer: Transfer?
    /// TimeoutNow was sent: another node may win an election at any moment.
    var leaseForfeited = false
    var promotion: Promotion?
    var failedPromotion: RaftError?
    /// Proposals that are not committed, and their bytes.
    private var uncommitted: [(index: LogIndex, size: Int)] = []
    private(set) var uncommittedSize = 0

    init(firstOwnIndex: LogIndex, settings: RaftSettings) {
        self.firstOwnIndex = firstOwnIndex
        self.ticksToHeartbeat = settings.heartbeatTicks
        self.ticksToQuorumCheck = settings.electionTicks
    }

    func place(of id: NodeID) -> Int? { self.peers.firstIndex { $0.id == id } }

    mutating func beginRound(now: MonotonicInstant, settings: RaftSettings) {
        self.round += 1
        // What began before a lease could have ended is of no use for one.
        let useless = self.roundStarts.prefix { now - $0.instant > settings.leaseDuration }.count
        self.roundStarts.removeFirst(max(useless, self.roundStarts.count - 1024))
        self.roundStarts.append(RoundStart(round: self.round, instant: now))
    }

    func start(of round: UInt64) -> MonotonicInstant? {
        guard let first = self.roundStarts.first, round >= first.round, round <= self.round else { return nil }
        return self.roundStarts[Int(round - first.round)].instant
    }

    mutating func proposed(_ entry: Entry) {
        self.uncommitted.append((entry.index, entry.size))
        self.uncommittedSize += entry.size
    }

    mutating func committed(through index: LogIndex) {
        let count = self.uncommitted.prefix { $0.index <= index }.count
        self.uncommittedSize -= self.uncommitted[..<count].reduce(0) { $0 + $1.size }
        self.uncommitted.removeFirst(count)
    }
}

/// A handover of leadership that is going on (thesis 3.10).
struct Transfer: Sendable {
    var target: NodeID
    var ticksLeft: Int
    var timeoutNowSent = false
}

/// A member that catches up before it becomes a voter (thesis 4.2.1).
struct Promotion: Sendable {
    var server: NodeID
    /// This round ends when everything through this place is there.
    var roundEnd: LogIndex
    var round = 1
    var roundTicks = 0
    var ticks = 0
}

/// Reads that wait until a round has shown that this node still leads (thesis 6.4).
struct WaitingReads: Sendable {
    struct Element: Sendable {
        var context: UInt64
        /// What was committed when its round began.
        var index: LogIndex
    }

    /// Those whose round is on its way.
    private(set) var underway: [Element] = []
    private(set) var round: UInt64 = 0
    /// Those that go with the next one.
    private(set) var waiting: [UInt64] = []

    var count: Int { self.underway.count + self.waiting.count }

    mutating func add(_ context: UInt64) { self.waiting.append(context) }

    /// Whether a round should begin for those that wait. While one is on its way they wait for the next: if it is lost, the
    /// answers to a later heartbeat do as well.
    var wantsRound: Bool { self.underway.isEmpty && !self.waiting.isEmpty }

    /// All that wait go with a round that begins now.
    mutating func board(round: UInt64, index: LogIndex) {
        self.underway = self.waiting.map { Element(context: $0, index: index) }
        self.waiting.removeAll(keepingCapacity: true)
        self.round = round
    }

    /// A majority has answered everything through a round.
    mutating func answered(through round: UInt64) -> [ReadState] {
        guard !self.underway.isEmpty, self.round <= round else { return [] }
        defer { self.underway.removeAll(keepingCapacity: true) }
        return self.underway.map { ReadState(context: $0.context, index: $0.index) }
    }

    /// Leadership is lost.
    func failed() -> [ReadState] {
        (self.underway.map(\.context) + self.waiting).map { ReadState(context: $0, index: nil) }
    }
}
