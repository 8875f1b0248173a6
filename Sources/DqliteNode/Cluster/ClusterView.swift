import DqliteEngine
import DqliteProtocol
import DqliteRaft

/// What a node knows of its cluster at a moment.
struct ClusterView: Hashable, Sendable {
    var term = Term.zero
    var role = RaftRole.follower
    var leader: NodeID?
    var configuration = Configuration()
    var configurationIndex = LogIndex.zero

    /// The leader and its address, if both are known.
    var leaderServer: Configuration.Server? { self.leader.flatMap { self.configuration[$0] } }
}

/// A request to change the cluster.
enum ClusterChange: Hashable, Sendable {
    case member(ConfigurationChange)
    /// nil: to whoever of the voters is best.
    case transfer(NodeID?)
}

/// The cluster, as connections of clients see it.
protocol Cluster: Sendable {
    /// Whether this node leads and has applied all that was committed before.
    var isServing: Bool { get }
    var view: ClusterView { get }
    /// Carries out a change. `completion` is called on any thread.
    func change(_ change: ClusterChange, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void)
    /// Finds a time at which what this node shows was what the cluster had committed: `completion` gets success when that
    /// lies no longer back than `bound` and the node has applied what was committed then.
    func confirmFreshness(within bound: Duration, completion: @escaping @Sendable (Result<Void, EngineError>) -> Void)
}

extension Configuration.Role {
    /// As clients count them.
    init(_ role: ServerRole) {
        switch role {
        case .standby: self = .standBy
        case .spare: self = .spare
        default: self = .voter
        }
    }

    var serverRole: ServerRole {
        switch self {
        case .voter: .voter
        case .standBy: .standby
        case .spare: .spare
        }
    }
}

extension EngineError {
    /// What clients are told of a request to Raft that was refused; the texts are those of dqlite where it has one.
    init(_ error: RaftError) {
        switch error {
        case .notLeader, .staleTerm: self = .notLeader
        case .transferring:
            self.init(code: FailureCode.notLeader, message: "not leader: leadership is being handed over")
        case .queueFull(let limit):
            self.init(code: FailureCode.busy, message: "the queue of consensus is full: \(limit)")
        case .entryTooLarge(let limit):
            self.init(code: FailureCode.tooBig, message: "an entry may have \(limit) bytes")
        case .noCommitInTerm:
            self.init(
                code: FailureCode.busy,
                message: "this node leads since a moment only, and knows soon what is committed: try again")
        case .changeInProgress:
            self.init(code: FailureCode.busy, message: "a configuration change is already in progress")
        case .alreadyMember:
            self.init(code: FailureCode.error, message: "server ID already in use")
        case .unknownServer: self.init(code: FailureCode.error, message: "server ID is not valid")
        case .sameRole: self.init(code: FailureCode.error, message: "server role is not valid")
        case .noVoterLeft: self.init(code: FailureCode.error, message: "the cluster would be left without a voter")
        case .invalidTransferTarget: self.init(code: FailureCode.error, message: "server ID is not valid")
        case .catchUpFailed:
            self.init(code: FailureCode.error, message: "no connection to remote server available")
        case .storageFailed:
            self.init(code: FailureCode.inputOutput, message: "the log of this node has failed")
        }
    }
}
