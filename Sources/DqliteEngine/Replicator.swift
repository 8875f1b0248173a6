public import DqliteRaft

/// What puts the commands of all databases into one order, makes them durable, and says when they are committed: Raft,
/// as the engine sees it.
///
/// All methods may be called from any thread.
public protocol Replicator: AnyObject, Sendable {
    /// Offers a command for the log. Commands get their places in the order in which they were accepted.
    ///
    /// - Parameters:
    ///   - command: What the entry is to hold.
    ///   - term: The term of the leader that the command was made under: in any other it is refused.
    ///   - completion: Called exactly once if this does not throw, unless the process ends: with the entry's index when
    ///     the entry is committed and everything before it in the log was applied, in the order of the log and one at a
    ///     time for all commands and for ``Engine/apply(_:)``; or with why that will not be known here. It applies the
    ///     command before it returns, does not block, and does not propose.
    /// - Throws: The command was not accepted, and never will be committed.
    func propose(
        _ command: [UInt8], term: Term,
        completion: @escaping @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    ) throws(ProposalRefusal)

    /// The newest entry that is durable in the log of this node.
    var durableIndex: LogIndex { get }

    /// Whether this node certainly leads now, and shows all that was told to anybody. To be asked after the snapshot was opened
    /// that is about to be shown: whoever was stopped in between must not show what is old.
    var holdsLease: Bool { get }

    /// Finds out from the other nodes whether this one led at a moment after the call, and shows all that was told to anybody
    /// before. `completion` is called exactly once, on any thread.
    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void)

    /// Makes durable that the file of a database may from now on hold pages of entries up to `index`. May wait.
    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure)

    /// Makes durable that the file of a database holds everything up to `index`, and was synced. May wait.
    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure)

    /// No database needs entries up to `index` from the log any more.
    func release(through index: LogIndex)
}

/// Why a command was not accepted.
public enum ProposalRefusal: Error, Hashable, Sendable {
    /// Too much is under way: to be offered again after the next completion.
    case queueFull
    /// There is no room for it on the disk. Says where.
    case noSpace(String)
    /// This node does not lead in that term (any more).
    case notLeader
    /// The log takes nothing any more. Says why.
    case failed(String)
}

/// Why it is not known here what becomes of a command, or why a mark could not be made durable.
public enum ReplicationFailure: Error, Hashable, Sendable {
    /// Another node leads now: it may commit the command, or not.
    case leadershipLost
    /// There is no room on the disk: for marks only. Says where.
    case noSpace(String)
    /// The log has failed. Says why.
    case failed(String)
}
