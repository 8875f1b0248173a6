/// Why Raft refused what its own node asked for. Messages from other nodes are never an error: wrong ones are ignored.
public enum RaftError: Error, Hashable, Sendable {
    /// Another node leads, if any.
    case notLeader(leader: NodeID?)
    /// It was meant for another term than the current one.
    case staleTerm(current: Term)
    /// Leadership is being handed over.
    case transferring(to: NodeID)
    /// Too many bytes are proposed and not committed, or too many reads wait.
    case queueFull(limit: Int)
    /// An entry is larger than allowed.
    case entryTooLarge(limit: Int)
    /// No entry of this leader's term is committed yet, so it may not change the configuration.
    case noCommitInTerm
    /// An earlier change of the configuration is not committed, or a promotion is running.
    case changeInProgress
    /// The id or the address belongs to a member already.
    case alreadyMember(NodeID)
    /// There is no member with this id.
    case unknownServer(NodeID)
    /// The member has this role already.
    case sameRole(NodeID)
    /// The change would leave the cluster without a voter.
    case noVoterLeft
    /// Leadership cannot go to this node.
    case invalidTransferTarget(NodeID?)
    /// The member did not catch up with the log in time.
    case catchUpFailed(NodeID)
    /// Storage failed before; this node does nothing any more.
    case storageFailed
}
