/// What a node does for the leader of its term (figure 2, AppendEntries RPC).
extension Raft {
    mutating func received(_ request: AppendEntries, from sender: NodeID) {
        guard self.isWellFormed(request) else { return }
        if request.term < self.term {
            // Whoever sent it does not know the newer term.
            return self.reject(request.previousIndex, hint: self.log.lastIndex, round: request.round, to: sender)
        }
        guard self.follow(sender, term: request.term), !self.storageHasFailed else { return }
        self.acknowledgment.round = max(self.acknowledgment.round, request.round)
        // While a snapshot is installed there is no log to append to; a follower whose disk is slow takes no more than
        // it can hold. The leader finds out when its next heartbeat does not match.
        if !request.entries.isEmpty,
            self.installing != nil || self.log.unstableSize > self.settings.maximumUnstableSize
        {
            return
        }
        self.append(request, from: sender)
    }

    /// Follows the leader of a term that is not older than this node's; false if this cannot be one.
    private mutating func follow(_ sender: NodeID, term: Term) -> Bool {
        if term > self.term || self.role == .preCandidate || self.role == .candidate || self.leader == nil {
            guard term > self.term || self.role != .leader else { return false }
            self.becomeFollower(term: term, leader: sender)
        }
        guard self.leader == sender else { return false }
        self.heardLeader()
        return true
    }

    /// Whether entries follow each other without a gap, in terms that a leader's log can have.
    private func isWellFormed(_ request: AppendEntries) -> Bool {
        guard request.previousIndex.rawValue <= Self.maximum - UInt64(request.entries.count),
            request.leaderCommit.rawValue <= Self.maximum, request.previousTerm <= request.term,
            request.term > .zero
        else { return false }
        var index = request.previousIndex
        var term = request.previousTerm
        for entry in request.entries {
            index = index.next
            guard entry.index == index, entry.term >= term, entry.term <= request.term else { return false }
            term = entry.term
            if entry.kind == .configuration, (try? Configuration(decoding: entry.data)) == nil { return false }
        }
        return true
    }

    private mutating func append(_ request: AppendEntries, from sender: NodeID) {
        let last = request.previousIndex.advanced(by: request.entries.count)
        // What is committed matches (state machine safety), and need not be in the log any more.
        let known = max(self.commitIndex, request.previousIndex)
        let matches =
            request.previousIndex <= self.commitIndex
            || self.log.term(at: request.previousIndex) == request.previousTerm
        guard matches else {
            self.acknowledgment.repeatedRound = self.acknowledgment.round
            return self.reject(
                request.previousIndex, hint: self.lastPossibleMatch(request), round: request.round, to: sender)
        }
        for entry in request.entries.dropFirst(request.previousIndex.distance(to: min(known, last))) {
            if let term = self.log.term(at: entry.index) {
                if term == entry.term { continue }
                // Conflicts: this one and all that follow go (rule 3 of figure 2).
                self.log.truncate(from: entry.index)
                self.membership.truncate(from: entry.index)
                self.acknowledgment.verified = min(self.acknowledgment.verified, self.log.lastIndex)
            }
            self.appendToLog(entry)
        }
        let verified = max(known, last)
        self.acknowledgment.verified = max(self.acknowledgment.verified, min(verified, self.log.lastIndex))
        if request.entries.isEmpty || verified > last { self.acknowledgment.isDue = true }
        if self.defects.contains(.acknowledgesBeforeDurable) {
            let result = AppendEntriesResult(
                term: self.term, lastLogIndex: self.acknowledgment.verified, round: request.round)
            self.send(.appendEntriesResult(result), to: sender)
        }
        self.commit(through: min(request.leaderCommit, last))
    }

    /// Puts an entry at the end of the log; a configuration is in use from then on (thesis 4.1).
    mutating func appendToLog(_ entry: Entry) {
        self.log.append(entry)
        if entry.kind == .configuration, let configuration = try? Configuration(decoding: entry.data) {
            self.membership.append(configuration, at: entry.index)
        }
    }

    private mutating func reject(_ index: LogIndex, hint: LogIndex, round: UInt64, to sender: NodeID) {
        let result = AppendEntriesResult(term: self.term, rejected: index, lastLogIndex: hint, round: round)
        self.sendWhenDurable(.appendEntriesResult(result), to: sender)
    }

    /// The last place before the one refused whose term is not newer than the leader's there: nothing after it can match, so
    /// the leader goes back a term at a time instead of an entry at a time (paper, end of 5.3).
    private func lastPossibleMatch(_ request: AppendEntries) -> LogIndex {
        var index = min(request.previousIndex.previous, self.log.lastIndex)
        while index > self.commitIndex, let term = self.log.term(at: index), term > request.previousTerm {
            index = index.previous
        }
        return index
    }

    mutating func commit(through index: LogIndex) {
        let index = min(index, self.log.lastIndex)
        guard index > self.commitIndex else { return }
        self.commitIndex = index
        self.membership.commit(through: index)
    }

    // MARK: Snapshots

    /// The leader offers a snapshot (paper, figure 13). One that brings nothing new is answered as what it is.
    mutating func received(_ request: InstallSnapshot, from sender: NodeID) {
        let snapshot = request.snapshot
        guard snapshot.index > .zero, snapshot.index.rawValue < Self.maximum, snapshot.term <= request.term,
            snapshot.configurationIndex <= snapshot.index
        else { return }
        if request.term < self.term {
            return self.reject(snapshot.index, hint: self.log.lastIndex, round: 0, to: sender)
        }
        guard self.follow(sender, term: request.term), !self.storageHasFailed, self.installing == nil else { return }
        if snapshot.index <= self.commitIndex || self.log.term(at: snapshot.index) == snapshot.term {
            self.commit(through: snapshot.index)
            self.acknowledgment.verified = max(self.acknowledgment.verified, snapshot.index)
            self.acknowledgment.isDue = true
        } else {
            self.installing = snapshot
            self.offeredSnapshot = snapshot
        }
    }

    /// The snapshot that `Ready` named is durable, and is the state of this node: its log is empty and starts after it.
    public mutating func snapshotInstalled(_ snapshot: SnapshotMetadata) {
        guard snapshot == self.installing else { return }
        self.installing = nil
        self.offeredSnapshot = nil
        self.log.reset(to: snapshot.index, term: snapshot.term)
        self.membership.reset(to: snapshot.configuration, at: snapshot.configurationIndex)
        self.commitIndex = snapshot.index
        self.applying.reset(to: snapshot.index)
        if self.role == .follower, self.leader != nil {
            self.acknowledgment.verified = snapshot.index
            self.acknowledgment.isDue = true
        }
    }

    /// The snapshot that `Ready` named did not come, and nothing has changed.
    public mutating func snapshotFailed() {
        self.installing = nil
        self.offeredSnapshot = nil
    }
}
