/// Elections (paper 5.2 and 5.4.1; pre-vote: thesis 9.6; transfers: thesis 3.10).
extension Raft {
    /// Why an election is held.
    enum Campaign {
        /// To find out whether one could be won; changes nothing.
        case preVote
        case election
        /// The leader asked for it.
        case transfer
    }

    /// Whether a vote may break a lease: this node leads, or heard a leader within the least election timeout, or has not
    /// run for that long and may have heard one before it stopped (rule 28). Errs towards yes, as the instant of a contact is
    /// only known to lie before the next tick.
    var protectsLeader: Bool {
        if self.role == .leader { return true }
        guard let contact = self.contactSince else { return true }
        return self.now - contact < self.settings.electionTimeout
    }

    /// No leader was heard for long enough.
    mutating func electionTimedOut() {
        self.resetElectionTimer()
        guard self.isOnlyVoter || !self.protectsLeader else { return }
        self.campaign(.preVote)
    }

    /// A node that has no vote, waits for its disk, or installs a snapshot is no candidate. One whose vote was taken by a
    /// change that may not be committed still is: it may be needed to commit that (thesis 4.2.2), though it has no vote then.
    var mayCampaign: Bool {
        self.membership.elements.contains { $0.configuration.isVoter(self.id) }
            && self.log.durableIndex == self.log.lastIndex && self.installing == nil
            && !self.storageHasFailed && self.term.rawValue < Self.maximum
    }

    mutating func campaign(_ campaign: Campaign) {
        guard self.role != .leader, self.mayCampaign else { return }
        self.becomeFollower(term: self.term, leader: nil)
        if campaign == .preVote, !self.isOnlyVoter {
            self.role = .preCandidate
        } else {
            self.role = .candidate
            self.disruptsLeader = campaign == .transfer
            self.hardState = HardState(term: Term(self.term.rawValue + 1), vote: self.id)
            self.held.removeAll()
            // Its own vote counts like any other: when it is durable.
            if self.defects.contains(.votesBeforeDurable) { self.countVote(of: self.id, granted: true) }
        }
        for voter in self.configuration.voters where voter != self.id { self.requestVote(of: voter) }
        if self.role == .preCandidate { self.countVote(of: self.id, granted: true) }
    }

    private mutating func requestVote(of voter: NodeID) {
        let preVote = self.role == .preCandidate
        let request = RequestVote(
            term: preVote ? Term(self.term.rawValue + 1) : self.term, candidate: self.id,
            lastLogIndex: self.log.lastIndex, lastLogTerm: self.log.lastTerm, disruptLeader: self.disruptsLeader,
            preVote: preVote)
        if preVote || self.defects.contains(.votesBeforeDurable) {
            self.send(.requestVote(request), to: voter)
        } else {
            self.sendWhenDurable(.requestVote(request), to: voter)
        }
    }

    /// Answers a candidate (figure 2, RequestVote RPC). A candidate that is no member as far as this node knows is answered
    /// like any other, and so is one that asks a node without a vote: the candidate's configuration may be newer (thesis 4.1).
    mutating func received(_ request: RequestVote, from sender: NodeID) {
        guard request.candidate == sender, request.lastLogIndex.rawValue <= Self.maximum, !self.storageHasFailed,
            request.lastLogTerm < request.term
        else { return }
        func answer(_ granted: Bool, term: Term) -> Message {
            .requestVoteResult(RequestVoteResult(term: term, granted: granted, preVote: request.preVote))
        }
        if request.term < self.term {
            return self.sendWhenDurable(answer(false, term: self.term), to: sender)
        }
        if self.protectsLeader, !request.disruptLeader {
            let term = request.preVote ? request.term : self.term
            return self.sendWhenDurable(answer(false, term: term), to: sender)
        }
        let isUpToDate = self.log.isUpToDate(index: request.lastLogIndex, term: request.lastLogTerm)
        if request.preVote {
            // Whom this node voted for does not matter: a candidate that fails learns at least the newer term.
            return self.sendWhenDurable(answer(isUpToDate, term: request.term), to: sender)
        }
        if request.term > self.term { self.becomeFollower(term: request.term, leader: nil) }
        let isFree = self.hardState.vote == nil || self.hardState.vote == sender
        let granted = isUpToDate && isFree && self.leader == nil && self.role == .follower
        if granted {
            self.hardState.vote = sender
            self.electionElapsed = 0
        }
        if self.defects.contains(.votesBeforeDurable) { return self.send(answer(granted, term: self.term), to: sender) }
        self.sendWhenDurable(answer(granted, term: self.term), to: sender)
    }

    /// A voter has answered. Answers to the other phase, of other terms, and of nodes without a vote do not count.
    mutating func received(_ result: RequestVoteResult, from sender: NodeID) {
        guard self.configuration[sender] != nil else { return }
        let asked = result.preVote ? Term(self.term.rawValue + 1) : self.term
        if result.term > asked {
            if !result.granted { self.becomeFollower(term: result.term, leader: nil) }
            return
        }
        guard result.term == asked, self.role == (result.preVote ? .preCandidate : .candidate) else { return }
        self.countVote(of: sender, granted: result.granted)
    }

    /// Counts a vote. A majority elects (figure 2, Candidates); a majority against it ends the campaign.
    mutating func countVote(of voter: NodeID, granted: Bool) {
        let voters = self.configuration.voters
        guard voters.contains(voter), !self.votes.contains(where: { $0.voter == voter }) else { return }
        self.votes.append((voter, granted))
        let count = self.votes.count { $0.granted }
        if Quorum.isMajority(count, of: voters.count) {
            if self.role == .preCandidate { self.campaign(.election) } else { self.becomeLeader() }
        } else if Quorum.isMajority(self.votes.count - count, of: voters.count) {
            self.becomeFollower(term: self.term, leader: nil)
        }
    }

    /// The leader wants this node to lead (thesis 3.10). Only heeded by a voter that has all of that leader's log.
    mutating func received(_ request: TimeoutNow, from sender: NodeID) {
        guard request.term == self.term, sender == self.leader, self.role == .follower,
            request.lastLogIndex == self.log.lastIndex, request.lastLogTerm == self.log.lastTerm
        else { return }
        self.campaign(.transfer)
    }
}
