/// Reads without an entry in the log (thesis 6.4).
extension Raft {
    /// Asks for an index at which a read is linearizable: `Ready` names it once a majority has shown that this node still leads.
    /// All reads that wait share a round.
    ///
    /// - Parameter context: What the reader calls it.
    public mutating func readIndex(_ context: UInt64) throws(RaftError) {
        if self.storageHasFailed { throw .storageFailed }
        guard let leadership = self.leadership else { throw .notLeader(leader: self.leader) }
        guard leadership.reads.count < self.settings.maximumWaitingReads else {
            throw .queueFull(limit: self.settings.maximumWaitingReads)
        }
        self.leadership?.reads.add(context)
    }

    /// Begins a round for the reads that wait. Nothing is read before an entry of this term is committed: until then the
    /// leader does not know what is (thesis 6.4, step 1).
    mutating func beginReadRound() {
        if self.leadership?.reads.wantsRound == true, self.hasCommittedInTerm { self.beginRound() }
    }

    mutating func boardReads() {
        guard let leadership = self.leadership else { return }
        if leadership.reads.wantsRound, self.hasCommittedInTerm {
            self.leadership?.reads.board(round: leadership.round, index: self.commitIndex)
        }
        // Those that are on their way may wait for nobody any more: the others' votes were taken.
        self.answeredReads()
    }

    mutating func answeredReads() {
        guard let round = self.quorum(own: UInt64.max, { $0?.roundAnswered ?? 0 }) else { return }
        self.readStates += self.leadership?.reads.answered(through: round) ?? []
    }

    /// When this leader's lease ends; nil when it has none.
    ///
    /// A lease begins when a heartbeat was sent that a majority of voters has answered, and lasts the least election timeout
    /// less ten per cent: so long none of them votes for another (thesis 6.4.1). There is none before an entry of this term is
    /// committed, none any more once TimeoutNow was sent, and none for a leader that is giving up its vote: whoever is then the
    /// only voter asks nobody.
    public var leaseEnd: MonotonicInstant? {
        guard self.settings.leases, self.hasCommittedInTerm, let leadership = self.leadership,
            self.configuration.isVoter(self.id),
            !leadership.leaseForfeited || self.defects.contains(.leaseAfterTimeoutNow)
        else { return nil }
        let never = MonotonicInstant(.seconds(-1 << 40))
        guard let since = self.quorum(own: self.now, { $0?.answeredSince ?? never }), since != never else { return nil }
        return since + self.settings.leaseDuration
    }

    /// Whether a read may be answered from a snapshot of this node's state.
    ///
    /// That this node leads says that it knows of everything that is committed, and nothing of what it has applied: others
    /// may have shown what is not applied here yet.
    ///
    /// - Parameters:
    ///   - now: Read from the clock after the snapshot was opened: a node that was stopped in between must not answer from a
    ///     lease that has ended (rule 28).
    ///   - applied: The last entry in the snapshot.
    public func holdsLease(at now: MonotonicInstant, applied: LogIndex) -> Bool {
        guard let end = self.leaseEnd, applied >= self.commitIndex || self.defects.contains(.leaseBeforeApplied) else {
            return false
        }
        return (self.defects.contains(.leaseJudgedAtTick) ? self.now : now) < end
    }
}
