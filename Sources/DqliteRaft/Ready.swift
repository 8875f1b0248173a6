/// What is to be done after Raft was given messages, ticks and proposals.
///
/// Everything here may be started at once, in any order and in parallel, except for this:
///
/// 1. Writes are done in the order of their numbers, each one as: term and vote, then the truncation, then the entries;
///    and `Raft.persisted(through:)` is told when everything through a number is durable. Messages that must not leave
///    before that are not part of this value: they come with a later one.
/// 2. Committed entries are applied in the order in which they come, and `Raft.applied(through:)` is told. They may be
///    committed before they are durable here.
/// 3. Messages may be lost, delayed, doubled and reordered. They may be sent while a write goes on.
/// 4. A snapshot is installed after all writes that came before it.
public struct Ready: Hashable, Sendable {
    /// Role and leader, when either changed.
    public var softState: SoftState?
    /// What storage has to make durable.
    public var write: StorageWrite?
    /// What is to be sent now.
    public var messages: [Envelope] = []
    /// What is to be applied.
    public var committedEntries: [Entry] = []
    /// Reads that may be served now, or never.
    public var readStates: [ReadState] = []
    /// Members that need a snapshot. `Raft.reportSnapshot` is to be told how it went.
    public var snapshotsNeeded: [NodeID] = []
    /// A snapshot that the leader offers. `Raft.snapshotInstalled` or `Raft.snapshotFailed` is to be told.
    public var snapshot: SnapshotMetadata?
    /// A promotion that was given up.
    public var failedPromotion: RaftError?

    public init() {}

    public var isEmpty: Bool { self == Ready() }
}

/// What a node is at the moment; forgotten by a crash.
public struct SoftState: Hashable, Sendable {
    public var role: RaftRole
    public var term: Term
    public var leader: NodeID?

    public init(role: RaftRole, term: Term, leader: NodeID?) {
        self.role = role
        self.term = term
        self.leader = leader
    }
}

/// The states of figure 4 of the Raft paper, and that of thesis 9.6.
public enum RaftRole: Hashable, Sendable {
    case follower
    /// Asks whether it could win an election.
    case preCandidate
    case candidate
    case leader
}

/// One piece of work for storage.
public struct StorageWrite: Hashable, Sendable {
    /// One more than that of the write before.
    public var number: UInt64
    /// Term and vote, when they changed.
    public var hardState: HardState?
    /// Everything from this place on is cut before the entries are appended.
    public var truncateFrom: LogIndex?
    /// What is appended.
    public var entries: [Entry]

    public init(number: UInt64, hardState: HardState? = nil, truncateFrom: LogIndex? = nil, entries: [Entry] = []) {
        self.number = number
        self.hardState = hardState
        self.truncateFrom = truncateFrom
        self.entries = entries
    }
}

/// What became of a read that asked for an index.
public struct ReadState: Hashable, Sendable {
    /// What the reader called it.
    public var context: UInt64
    /// The read may be served once this is applied; nil: leadership was lost, ask the new leader.
    public var index: LogIndex?

    public init(context: UInt64, index: LogIndex?) {
        self.context = context
        self.index = index
    }
}
