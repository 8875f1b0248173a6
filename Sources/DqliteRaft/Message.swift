/// What nodes say to each other. The fields are those of dqlite's Raft; what only our nodes understand says so.
public enum Message: Hashable, Sendable {
    case requestVote(RequestVote)
    case requestVoteResult(RequestVoteResult)
    case appendEntries(AppendEntries)
    case appendEntriesResult(AppendEntriesResult)
    case installSnapshot(InstallSnapshot)
    case timeoutNow(TimeoutNow)

    /// The term that every message carries.
    public var term: Term {
        switch self {
        case .requestVote(let message): message.term
        case .requestVoteResult(let message): message.term
        case .appendEntries(let message): message.term
        case .appendEntriesResult(let message): message.term
        case .installSnapshot(let message): message.term
        case .timeoutNow(let message): message.term
        }
    }
}

/// A message and whom it is for.
public struct Envelope: Hashable, Sendable {
    public var to: NodeID
    public var message: Message

    public init(to: NodeID, message: Message) {
        self.to = to
        self.message = message
    }
}

/// A candidate asks for a vote (Raft paper, figure 2; pre-vote: thesis 9.6).
public struct RequestVote: Hashable, Sendable {
    /// The candidate's term; of a pre-vote the term that an election would have.
    public var term: Term
    public var candidate: NodeID
    public var lastLogIndex: LogIndex
    public var lastLogTerm: Term
    /// The leader itself wants this election, so it is granted although there is a leader (thesis 3.10).
    public var disruptLeader: Bool
    /// Only asks whether an election could be won.
    public var preVote: Bool

    public init(
        term: Term, candidate: NodeID, lastLogIndex: LogIndex, lastLogTerm: Term, disruptLeader: Bool = false,
        preVote: Bool = false
    ) {
        self.term = term
        self.candidate = candidate
        self.lastLogIndex = lastLogIndex
        self.lastLogTerm = lastLogTerm
        self.disruptLeader = disruptLeader
        self.preVote = preVote
    }
}

/// Answers `RequestVote`.
public struct RequestVoteResult: Hashable, Sendable {
    /// The voter's term; of an answer to a pre-vote the term that was asked for, unless the voter's own is newer.
    public var term: Term
    public var granted: Bool
    public var preVote: Bool

    public init(term: Term, granted: Bool, preVote: Bool = false) {
        self.term = term
        self.granted = granted
        self.preVote = preVote
    }
}

/// The leader replicates entries, and says that it is there (Raft paper, figure 2).
public struct AppendEntries: Hashable, Sendable {
    public var term: Term
    /// The place of the entry before the first of these.
    public var previousIndex: LogIndex
    public var previousTerm: Term
    public var leaderCommit: LogIndex
    public var entries: [Entry]
    /// Which round of heartbeats this belongs to; the answer repeats it, which is how the leader knows what it sent before
    /// that answer. Zero to and from C nodes, which know no rounds.
    public var round: UInt64

    public init(
        term: Term, previousIndex: LogIndex, previousTerm: Term, leaderCommit: LogIndex, entries: [Entry] = [],
        round: UInt64 = 0
    ) {
        self.term = term
        self.previousIndex = previousIndex
        self.previousTerm = previousTerm
        self.leaderCommit = leaderCommit
        self.entries = entries
        self.round = round
    }
}

/// Answers `AppendEntries` and `InstallSnapshot`.
public struct AppendEntriesResult: Hashable, Sendable {
    public var term: Term
    /// Zero says success; else it is the previous index that did not match.
    public var rejected: LogIndex
    /// Of a success the last place that is durable and known to match the leader's log; of a rejection the last place
    /// that may match.
    public var lastLogIndex: LogIndex
    /// The newest round that the follower has seen; zero from C nodes.
    public var round: UInt64

    public init(term: Term, rejected: LogIndex = .zero, lastLogIndex: LogIndex, round: UInt64 = 0) {
        self.term = term
        self.rejected = rejected
        self.lastLogIndex = lastLogIndex
        self.round = round
    }
}

/// The leader brings a node to a state whose entries it no longer has (Raft paper, figure 13). The state itself is not
/// part of this value: whoever moves bytes moves it.
public struct InstallSnapshot: Hashable, Sendable {
    public var term: Term
    public var snapshot: SnapshotMetadata

    public init(term: Term, snapshot: SnapshotMetadata) {
        self.term = term
        self.snapshot = snapshot
    }
}

/// What a snapshot stands for.
public struct SnapshotMetadata: Hashable, Sendable {
    /// The last entry that it includes.
    public var index: LogIndex
    public var term: Term
    /// The configuration in use at that entry, and where it was.
    public var configuration: Configuration
    public var configurationIndex: LogIndex

    public init(index: LogIndex, term: Term, configuration: Configuration, configurationIndex: LogIndex) {
        self.index = index
        self.term = term
        self.configuration = configuration
        self.configurationIndex = configurationIndex
    }
}

/// The leader asks a node to start an election at once (thesis 3.10).
public struct TimeoutNow: Hashable, Sendable {
    public var term: Term
    /// The end of the leader's log.
    public var lastLogIndex: LogIndex
    public var lastLogTerm: Term

    public init(term: Term, lastLogIndex: LogIndex, lastLogTerm: Term) {
        self.term = term
        self.lastLogIndex = lastLogIndex
        self.lastLogTerm = lastLogTerm
    }
}
