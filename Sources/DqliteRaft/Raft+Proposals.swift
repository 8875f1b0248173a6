/// What a leader is asked to put into the log.
extension Raft {
    /// Proposes a command.
    ///
    /// - Parameters:
    ///   - data: What the entry is to hold.
    ///   - term: The term that the command was made under (rule 4).
    /// - Returns: Where it will be, if it is committed.
    /// - Throws: Nothing was proposed.
    public mutating func propose(_ data: [UInt8], term: Term) throws(RaftError) -> LogIndex {
        try self.requireLeadership(term: term)
        guard data.count <= self.settings.maximumEntrySize else {
            throw .entryTooLarge(limit: self.settings.maximumEntrySize)
        }
        let limit = self.settings.maximumUncommittedSize
        let size = self.leadership?.uncommittedSize ?? 0
        guard size == 0 || data.count <= limit - size else {
            throw .queueFull(limit: limit)
        }
        return self.appendOwn(kind: .command, data: data)
    }

    /// The leadership, if this node leads in a term and takes proposals.
    @discardableResult
    func requireLeadership(term: Term? = nil) throws(RaftError) -> Leadership {
        if self.storageHasFailed { throw .storageFailed }
        guard let leadership = self.leadership else { throw .notLeader(leader: self.leader) }
        guard term ?? self.term == self.term else { throw .staleTerm(current: self.term) }
        guard self.log.lastIndex.rawValue < Self.maximum else { throw .queueFull(limit: Int.max) }
        if let transfer = leadership.transfer { throw .transferring(to: transfer.target) }
        return leadership
    }

    // MARK: Transfer of leadership (thesis 3.10)

    /// Hands leadership to another voter: nothing more is accepted here; once the target has all of the log it is told to start
    /// an election. If that has not happened within an election timeout, this node goes on.
    ///
    /// - Parameter target: Who shall lead; nil: whoever of the voters heard lately has most of the log.
    public mutating func transferLeadership(to target: NodeID?) throws(RaftError) {
        let leadership = try self.requireLeadership()
        let voters = leadership.peers.filter { self.configuration.isVoter($0.id) }
        let best = voters.max { ($0.recentlyActive ? 1 : 0, $0.match) < ($1.recentlyActive ? 1 : 0, $1.match) }
        guard let chosen = target ?? best?.id, voters.contains(where: { $0.id == chosen }) else {
            throw .invalidTransferTarget(target)
        }
        let transfer = Transfer(target: chosen, ticksLeft: self.settings.electionTicks)
        self.leadership?.transfer = transfer
        self.continueTransfer()
    }

    /// Whom leadership is being handed to.
    public var transferTarget: NodeID? { self.leadership?.transfer?.target }

    mutating func continueTransfer() {
        guard let leadership = self.leadership, let transfer = leadership.transfer, !transfer.timeoutNowSent,
            let place = leadership.place(of: transfer.target), leadership.peers[place].match == self.log.lastIndex
        else { return }
        self.leadership?.transfer?.timeoutNowSent = true
        self.leadership?.leaseForfeited = true
        let request = TimeoutNow(
            term: self.term, lastLogIndex: self.log.lastIndex, lastLogTerm: self.log.lastTerm)
        self.send(.timeoutNow(request), to: transfer.target)
    }

    mutating func tickTransfer() {
        guard let transfer = self.leadership?.transfer else { return }
        if transfer.ticksLeft <= 1 {
            self.leadership?.transfer = nil
        } else {
            self.leadership?.transfer?.ticksLeft -= 1
        }
    }
}
