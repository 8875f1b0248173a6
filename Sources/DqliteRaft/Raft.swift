/// A node's part in Raft, as a pure value: it is given messages, ticks, proposals and what storage has done, and `ready()`
/// says what is to be done in turn. It reads no clock, no file and no socket; its randomness is injected.
///
/// Sources: "In Search of an Understandable Consensus Algorithm" (the paper), Ongaro's thesis, and for what is visible to
/// other nodes the behaviour of C dqlite's Raft.
public struct Raft: Sendable {
    /// What is known when a node starts.
    public struct Start: Sendable {
        public var hardState: HardState
        /// Everything through this place is in the state machine already, and committed.
        public var applied: LogIndex
        /// The last configuration at or before `applied`, if any, and all later ones of the log, by place.
        public var configurations: [(index: LogIndex, configuration: Configuration)]

        public init(
            hardState: HardState = HardState(), applied: LogIndex = .zero,
            configurations: [(index: LogIndex, configuration: Configuration)] = []
        ) {
            self.hardState = hardState
            self.applied = applied
            self.configurations = configurations
        }
    }

    /// Terms and places beyond this are nobody's: a message with one is ignored, so that no arithmetic overflows.
    static let maximum = UInt64(Int64.max)
    /// Messages that wait for term and vote to be durable; more are lost, as on a network.
    static let maximumHeld = 256

    public let id: NodeID
    let settings: RaftSettings
    package var defects: RaftDefects = [] {
        didSet {
            guard self.defects.contains(.votesAfterStart) else { return }
            self.contactSince = MonotonicInstant(self.now.sinceStart - self.settings.electionTimeout)
        }
    }
    private var randomness: any RandomNumberGenerator & Sendable

    // What must survive a crash.
    var hardState: HardState
    var log: RaftLog
    var membership: Membership

    // What every node has.
    public internal(set) var role = RaftRole.follower
    public internal(set) var leader: NodeID?
    /// Everything through this place is committed.
    public internal(set) var commitIndex: LogIndex
    var applying: Applying
    /// The newest instant that was passed in.
    var now: MonotonicInstant
    /// When a leader was heard last, or this node started; nil: since the last tick.
    var contactSince: MonotonicInstant?
    var electionElapsed = 0
    var electionTimeout = 0
    /// Who granted this candidate its vote, or refused.
    var votes: [(voter: NodeID, granted: Bool)] = []
    /// This election was asked for by the leader.
    var disruptsLeader = false
    /// What a follower has to tell its leader.
    var acknowledgment = Acknowledgment()
    /// A snapshot that is being installed.
    var installing: SnapshotMetadata?
    var leadership: Leadership?
    var storageHasFailed = false

    // What goes out.
    var outbox: [Envelope] = []
    /// Messages that wait until term and vote are durable.
    var held: [Envelope] = []
    var writes: Writes
    var readStates: [ReadState] = []
    var snapshotsNeeded: [NodeID] = []
    /// Bytes of entries that were read from the disk for peers since ``continueCatchUp(factor:)``.
    public internal(set) var catchUpSent = 0
    var catchUpFactor = 1
    var offeredSnapshot: SnapshotMetadata?
    var failedPromotion: RaftError?
    var shownSoftState: SoftState

    /// Makes a node that is about to start.
    ///
    /// - Parameters:
    ///   - id: This node's id; it need not be a member (yet).
    ///   - start: What its storage holds.
    ///   - reader: Its log, which is durable up to its last entry.
    ///   - randomness: Where election timeouts come from; different for every node.
    ///   - now: For one election timeout from here it votes for nobody (rule 28), unless it is the only voter.
    public init(
        id: NodeID, settings: RaftSettings = RaftSettings(), start: Start, reader: any RaftLogReader,
        randomness: any RandomNumberGenerator & Sendable, now: MonotonicInstant
    ) {
        self.id = id
        self.settings = settings
        self.randomness = randomness
        self.hardState = start.hardState
        self.log = RaftLog(reader: reader)
        self.membership = Membership(
            start.configurations.map { Membership.Element(index: $0.index, configuration: $0.configuration) })
        self.commitIndex = min(start.applied, self.log.lastIndex)
        self.applying = Applying(handed: self.commitIndex)
        self.now = now
        self.contactSince = now
        self.writes = Writes(hardState: start.hardState)
        self.shownSoftState = SoftState(role: .follower, term: start.hardState.term, leader: nil)
        self.resetElectionTimer()
    }

    // MARK: What is known

    public var term: Term { self.hardState.term }
    public var lastIndex: LogIndex { self.log.lastIndex }
    /// Everything through this place is durable in this node's own log.
    public var durableIndex: LogIndex { self.log.durableIndex }
    /// The configuration in use: the last one appended.
    public var configuration: Configuration {
        guard self.defects.contains(.usesCommittedConfiguration) else { return self.membership.latest }
        return self.membership.newest(through: self.commitIndex)?.configuration ?? self.membership.latest
    }
    public var configurationIndex: LogIndex { self.membership.latestIndex }
    /// The term of an entry, as long as it is known.
    package func term(at index: LogIndex) -> Term? { self.log.term(at: index) }

    var isOnlyVoter: Bool { self.configuration.voters == [self.id] }

    /// The largest value that a majority of voters has reached, this node's own being given (figure 2).
    func quorum<Value: Comparable>(own: Value, _ value: (Progress?) -> Value) -> Value? {
        guard let leadership = self.leadership else { return nil }
        return Quorum.reached(
            self.configuration.voters.map { voter in
                voter == self.id ? own : value(leadership.place(of: voter).map { leadership.peers[$0] })
            })
    }

    // MARK: Time

    /// Time passes. Ticks come at least `tickInterval` apart; late ones are not made up for.
    public mutating func tick(now: MonotonicInstant) {
        self.now = max(self.now, now)
        if self.contactSince == nil { self.contactSince = self.now }
        if self.role == .leader {
            self.tickLeader()
        } else {
            self.electionElapsed += 1
            let needsNobody = self.role == .follower && self.leader == nil && self.isOnlyVoter
            if needsNobody || self.electionElapsed >= self.electionTimeout { self.electionTimedOut() }
        }
    }

    /// Bytes came from a node. From the leader they say that it lives, even if no message is complete yet (rule 31).
    public mutating func contact(from node: NodeID) {
        if node == self.leader, self.role == .follower { self.heardLeader() }
    }

    mutating func heardLeader() {
        self.electionElapsed = 0
        self.contactSince = nil
    }

    /// Each wait is random, between one and two timeouts, so that votes are seldom split (paper 5.2).
    mutating func resetElectionTimer() {
        self.electionElapsed = 0
        let ticks = max(1, self.settings.electionTicks)
        self.electionTimeout = ticks + Int(UInt64.random(in: 1...UInt64(ticks), using: &self.randomness))
    }

    // MARK: Messages

    /// Takes a message from another node. One that is malformed, or out of place, is ignored.
    public mutating func step(_ message: Message, from sender: NodeID) {
        guard sender != self.id, sender.rawValue != 0, message.term.rawValue <= Self.maximum else { return }
        switch message {
        case .requestVote(let request): self.received(request, from: sender)
        case .requestVoteResult(let result): self.received(result, from: sender)
        case .appendEntries(let request): self.received(request, from: sender)
        case .appendEntriesResult(let result): self.received(result, from: sender)
        case .installSnapshot(let request): self.received(request, from: sender)
        case .timeoutNow(let request): self.received(request, from: sender)
        }
    }

    mutating func send(_ message: Message, to node: NodeID) {
        self.outbox.append(Envelope(to: node, message: message))
    }

    /// Sends a message that says what term this node is in, or whom it votes for, once that is durable (rule 26).
    mutating func sendWhenDurable(_ message: Message, to node: NodeID) {
        if self.hardStateIsDurable {
            self.send(message, to: node)
        } else if self.held.count < Self.maximumHeld, !self.storageHasFailed {
            self.held.append(Envelope(to: node, message: message))
        }
    }

    // MARK: Roles

    /// Follows a leader, or nobody yet.
    mutating func becomeFollower(term: Term, leader: NodeID?) {
        if term > self.hardState.term {
            self.hardState = HardState(term: term)
            self.held.removeAll()
        }
        if let leadership = self.leadership {
            self.readStates += leadership.reads.failed()
            self.leadership = nil
        }
        self.role = .follower
        self.leader = leader
        self.votes = []
        self.disruptsLeader = false
        self.acknowledgment = Acknowledgment()
        self.resetElectionTimer()
    }

    var softState: SoftState { SoftState(role: self.role, term: self.term, leader: self.leader) }
}
