/// Defects that tests plant, to see that they are found. A real node has none.
struct RaftDefects: OptionSet, Sendable {
    let rawValue: Int

    /// Votes are answered before they are durable (rule 26).
    static let votesBeforeDurable = RaftDefects(rawValue: 1)
    /// Entries are acknowledged before they are durable (rule 26).
    static let acknowledgesBeforeDurable = RaftDefects(rawValue: 2)
    /// Entries of earlier terms are committed by counting (rule 26; paper, figure 8).
    static let countsEarlierTerms = RaftDefects(rawValue: 4)
    /// A configuration is proposed before an entry of the leader's own term is committed (rule 27).
    static let changesBeforeOwnCommit = RaftDefects(rawValue: 8)
    /// The configuration in use is the last one committed, not the last one appended (rule 27).
    static let usesCommittedConfiguration = RaftDefects(rawValue: 16)
    /// A lease begins when the answer arrives, not when the heartbeat was sent (rule 28).
    static let leaseFromAnswer = RaftDefects(rawValue: 32)
    /// A lease is judged on the last tick, not on the instant that the reader passes in (rule 28).
    static let leaseJudgedAtTick = RaftDefects(rawValue: 64)
    /// A lease goes on after TimeoutNow was sent (rule 28).
    static let leaseAfterTimeoutNow = RaftDefects(rawValue: 128)
}
