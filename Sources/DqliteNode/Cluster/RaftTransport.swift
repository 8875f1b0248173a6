import DqliteRaft

/// What Raft's messages travel by. Neither call blocks.
protocol RaftTransport: Sendable {
    /// Sends messages, or loses them.
    func send(_ envelopes: [Envelope])
    /// Who is in the cluster from now on.
    func update(_ configuration: Configuration)
    /// Asks the leader, or answers a follower, about a read.
    func send(_ message: ReadIndexMessage, to node: NodeID)
}

/// A follower's question for an index at which it may read, and the answer.
enum ReadIndexMessage: Hashable, Sendable {
    case request(context: UInt64)
    /// nil: the node that was asked does not lead.
    case result(context: UInt64, index: LogIndex?)
}
