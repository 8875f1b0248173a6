/// What goes out, and what comes back of it.
extension Raft {
    /// What is to be done now; each thing is named once. `Ready` says in which order.
    public mutating func ready() -> Ready {
        var ready = Ready()
        self.beginReadRound()
        self.sendAppends()
        self.acknowledge()
        ready.write = self.takeWrite()
        ready.committedEntries = self.takeCommitted()
        ready.messages = self.outbox
        ready.readStates = self.readStates
        ready.snapshotsNeeded = self.snapshotsNeeded
        ready.snapshot = self.offeredSnapshot
        ready.failedPromotion = self.failedPromotion
        self.outbox.removeAll(keepingCapacity: true)
        self.readStates = []
        self.snapshotsNeeded = []
        self.offeredSnapshot = nil
        self.failedPromotion = nil
        if self.softState != self.shownSoftState {
            self.shownSoftState = self.softState
            ready.softState = self.softState
        }
        return ready
    }

    /// Whether ``ready()`` finds in memory all entries that it may have to send or to hand out.
    public var isUpToDateInMemory: Bool {
        guard self.applying.handed.next >= self.log.firstInMemory else { return false }
        return self.leadership?.peers.allSatisfy { !self.needsDisk($0) || !self.mayHaveDisk($0) } ?? true
    }

    /// Whether a message asks for nothing that would have to be read from the disk, or be cut off in the log, as far as one can
    /// tell before it is taken: entries of the leader that follow the last one, and their acceptance by who keeps up.
    public func isPlain(_ message: Message, from sender: NodeID) -> Bool {
        guard message.term == self.term, self.leader != nil, self.isUpToDateInMemory else { return false }
        switch message {
        case .appendEntries(let append): return append.entries.isEmpty || append.previousIndex == self.lastIndex
        case .appendEntriesResult(let result):
            return result.rejected == .zero
                && self.leadership?.peers.first { $0.id == sender }?.state == .replicate
        default: return false
        }
    }

    private mutating func acknowledge() {
        guard self.role == .follower, let leader = self.leader, self.hardStateIsDurable,
            let index = self.acknowledgment.take(durable: self.log.durableIndex)
        else { return }
        let result = AppendEntriesResult(term: self.term, lastLogIndex: index, round: self.acknowledgment.round)
        self.send(.appendEntriesResult(result), to: leader)
    }

    private mutating func takeWrite() -> StorageWrite? {
        let hardStateChanged = self.hardState != self.writes.hardState
        guard hardStateChanged || self.log.hasUnwritten, !self.storageHasFailed else { return nil }
        self.writes.last += 1
        var write = StorageWrite(number: self.writes.last)
        if hardStateChanged {
            write.hardState = self.hardState
            self.writes.hardState = self.hardState
            self.writes.hardStateNumber = write.number
        }
        if self.log.hasUnwritten {
            (write.truncateFrom, write.entries) = self.log.takeUnwritten(number: write.number)
        }
        return write
    }

    private mutating func takeCommitted() -> [Entry] {
        let room = self.settings.maximumApplyingSize - self.applying.size
        guard self.applying.handed < self.commitIndex, room > 0 else { return [] }
        let entries = self.log.entries(
            from: self.applying.handed.next, through: self.commitIndex, maximumSize: room)
        self.applying.hand(entries)
        return entries
    }

    /// Whether storage has acknowledged the term and vote that this node has now.
    var hardStateIsDurable: Bool {
        self.hardState == self.writes.hardState && self.writes.hardStateNumber <= self.writes.durable
    }

    /// Storage has done everything through a write.
    public mutating func persisted(through number: UInt64) {
        self.writes.durable = max(self.writes.durable, min(number, self.writes.last))
        self.log.persisted(through: self.writes.durable)
        self.log.shrinkCache(to: self.settings.maximumCacheSize)
        if self.hardStateIsDurable {
            self.outbox += self.held
            self.held.removeAll(keepingCapacity: true)
            if self.role == .candidate, self.hardState.vote == self.id { self.countVote(of: self.id, granted: true) }
        }
        self.advanceCommit()
    }

    /// The state machine has everything through a place.
    public mutating func applied(through index: LogIndex) { self.applying.applied(through: index) }

    /// Everything through this place is known to be applied.
    public var appliedIndex: LogIndex { self.applying.applied }

    /// Storage failed. A leader steps down, and the node neither votes nor leads any more (rules 20 and 32).
    public mutating func storageFailed() {
        self.storageHasFailed = true
        self.held.removeAll()
        self.becomeFollower(term: self.term, leader: self.role == .leader ? nil : self.leader)
    }
}
