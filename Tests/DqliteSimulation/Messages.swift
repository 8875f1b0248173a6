import DqliteRaft

/// What a client asks a node for.
struct Request: Sendable {
    /// Where a transaction that only reads is to read.
    enum Reading: Sendable {
        /// At the leader, by its lease if it has one.
        case lease
        /// At the leader, by a read index.
        case readIndex
        /// Anywhere, with a read index of the leader.
        case anywhere
    }

    var client: Int
    var transaction: Transaction
    var reading: Reading
    /// The newest version that anybody had been answered when a node took this request.
    var floor: UInt64 = 0
}

/// What a client is told.
enum Answer: Sendable {
    case committed([StepResult], version: UInt64)
    /// And never will be. Names the leader, if it is known.
    case notCommitted(leader: NodeID?)
    case unknown
}

/// What nodes say to each other.
enum PeerMessage {
    case raft(Message)
    /// Raft's message and what it is about: a file as it was read while checkpoints went on, and the newest intent after that.
    case copy(InstallSnapshot, content: [UInt8], intent: LogIndex)
    /// A follower asks for a read index.
    case readIndex(context: UInt64)
    case readIndexAnswer(context: UInt64, index: LogIndex?)
}
