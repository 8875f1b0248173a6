/// What a leader does on its own (figure 2, Leaders).
extension Raft {
    /// The election is won. An entry of the new term is appended at once, as what is in the log of older terms can only be
    /// committed with it (paper 5.4.2).
    mutating func becomeLeader() {
        self.role = .leader
        self.leader = self.id
        self.votes = []
        self.leadership = Leadership(firstOwnIndex: self.log.lastIndex.next, settings: self.settings)
        self.updatePeers()
        self.appendOwn(kind: .barrier, data: [UInt8](repeating: 0, count: 8))
        self.beginRound()
    }

    /// Appends an entry of this leader's term.
    @discardableResult
    mutating func appendOwn(kind: Entry.Kind, data: [UInt8]) -> LogIndex {
        let entry = Entry(index: self.log.lastIndex.next, term: self.term, kind: kind, data: data)
        self.appendToLog(entry)
        self.leadership?.proposed(entry)
        return entry.index
    }

    /// Keeps the list of peers equal to the members that get entries: voters, stand-bys, and who is being promoted.
    mutating func updatePeers() {
        guard let leadership = self.leadership else { return }
        var peers: [Progress] = []
        for server in self.configuration.servers where server.id != self.id {
            guard server.role != .spare || server.id == leadership.promotion?.server else { continue }
            let known = leadership.place(of: server.id).map { leadership.peers[$0] }
            peers.append(known ?? Progress(id: server.id, next: self.log.lastIndex.next))
        }
        self.leadership?.peers = peers.sorted { $0.id < $1.id }
    }

    mutating func tickLeader() {
        self.leadership?.announcesCommit = true
        self.leadership?.ticksToHeartbeat -= 1
        if let ticks = self.leadership?.ticksToHeartbeat, ticks <= 0 { self.beginRound() }
        self.leadership?.ticksToQuorumCheck -= 1
        if let ticks = self.leadership?.ticksToQuorumCheck, ticks <= 0, !self.checkQuorum() { return }
        self.tickTransfer()
        self.tickPromotion()
    }

    /// A new round of heartbeats: every message from here on says that this node leads now.
    mutating func beginRound() {
        let (now, settings) = (self.now, self.settings)
        self.leadership?.ticksToHeartbeat = settings.heartbeatTicks
        self.leadership?.beginRound(now: now, settings: settings)
        self.boardReads()
    }

    /// A leader that has not heard a majority for an election timeout steps down (thesis 6.2).
    private mutating func checkQuorum() -> Bool {
        guard let active = self.quorum(own: 1, { $0?.recentlyActive == true ? 1 : 0 }) else { return true }
        if active == 0 {
            self.becomeFollower(term: self.term, leader: nil)
            return false
        }
        let ticks = self.settings.electionTicks
        self.leadership?.ticksToQuorumCheck = ticks
        for place in self.leadership?.peers.indices ?? 0..<0 {
            self.leadership?.peers[place].recentlyActive = false
        }
        return true
    }

    /// A member has answered entries, a heartbeat or a snapshot.
    mutating func received(_ result: AppendEntriesResult, from sender: NodeID) {
        guard self.configuration[sender] != nil else { return }
        if result.term > self.term { return self.becomeFollower(term: result.term, leader: nil) }
        guard result.term == self.term, let place = self.leadership?.place(of: sender) else { return }
        let firstIndex = self.log.firstIndex
        let lastIndex = self.log.lastIndex
        self.leadership?.peers[place].recentlyActive = true
        self.answered(round: result.round, by: place)
        if result.rejected != .zero {
            self.leadership?.peers[place].rejected(at: result.rejected, hint: result.lastLogIndex)
        } else if result.lastLogIndex <= lastIndex {
            self.leadership?.peers[place].matched(through: result.lastLogIndex, firstIndex: firstIndex)
            self.advanceCommit()
        }
        self.answeredReads()
        self.continueTransfer()
        self.continuePromotion()
    }

    private mutating func answered(round: UInt64, by place: Int) {
        guard let leadership = self.leadership, round <= leadership.round,
            round > leadership.peers[place].roundAnswered
        else { return }
        self.leadership?.peers[place].roundAnswered = round
        let since = self.defects.contains(.leaseFromAnswer) ? self.now : leadership.start(of: round)
        if let since { self.leadership?.peers[place].answeredSince = since }
    }

    /// Commits what a majority of voters has durably, this node counting like any other; only if it is of this term, with all
    /// that is before it (figure 2, last rule; paper 5.4.2).
    mutating func advanceCommit() {
        guard self.role == .leader, let index = self.quorum(own: self.log.durableIndex, { $0?.match ?? .zero }),
            index > self.commitIndex,
            self.log.term(at: index) == self.term || self.defects.contains(.countsEarlierTerms)
        else { return }
        let hadOwn = self.hasCommittedInTerm
        self.commit(through: index)
        self.leadership?.committed(through: index)
        if self.defects.contains(.usesCommittedConfiguration) { self.updatePeers() }
        if !hadOwn, self.hasCommittedInTerm, self.leadership?.reads.wantsRound == true { self.beginRound() }
        if self.configurationIndex <= self.commitIndex, !self.configuration.isVoter(self.id) {
            // The change that took its vote is committed (thesis 4.2.2); the others learn that by their last messages.
            self.leadership?.announcesCommit = true
            self.sendAppends()
            self.becomeFollower(term: self.term, leader: nil)
        }
    }

    /// Whether an entry of this leader's term is committed.
    var hasCommittedInTerm: Bool {
        guard let leadership = self.leadership else { return false }
        return self.commitIndex >= leadership.firstOwnIndex
    }
}

extension Raft {
    /// Gives up leadership without handing it to anybody.
    public mutating func resign() {
        if self.role == .leader { self.becomeFollower(term: self.term, leader: nil) }
    }
}
