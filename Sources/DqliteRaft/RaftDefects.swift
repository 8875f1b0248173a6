/// Defects that tests plant, to see that they are found. A real node has none.
package struct RaftDefects: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Votes are answered before they are durable (rule 26).
    package static let votesBeforeDurable = RaftDefects(rawValue: 1)
    /// Entries are acknowledged before they are durable (rule 26).
    package static let acknowledgesBeforeDurable = RaftDefects(rawValue: 2)
    /// Entries of earlier terms are committed by counting (rule 26; paper, figure 8).
    package static let countsEarlierTerms = RaftDefects(rawValue: 4)
    /// A configuration is proposed before an entry of the leader's own term is committed (rule 27).
    package static let changesBeforeOwnCommit = RaftDefects(rawValue: 8)
    /// The configuration in use is the last one committed, not the last one appended (rule 27).
    package static let usesCommittedConfiguration = RaftDefects(rawValue: 16)
    /// A lease begins when the answer arrives, not when the heartbeat was sent (rule 28).
    package static let leaseFromAnswer = RaftDefects(rawValue: 32)
    /// A lease is judged on the last tick, not on the instant that the reader passes in (rule 28).
    package static let leaseJudgedAtTick = RaftDefects(rawValue: 64)
    /// A lease goes on after TimeoutNow was sent (rule 28).
    package static let leaseAfterTimeoutNow = RaftDefects(rawValue: 128)
    /// A node votes within one election timeout of its start (rule 28).
    package static let votesAfterStart = RaftDefects(rawValue: 256)
    /// A read by lease sees what is applied, though more is committed (rule 28).
    package static let leaseBeforeApplied = RaftDefects(rawValue: 512)
}
