/// How a leader brings its log to its peers (figure 2, Leaders; pipelining: thesis 10.2.1).
extension Raft {
    /// Makes the messages that every peer is to get now.
    mutating func sendAppends() {
        guard var leadership = self.leadership else { return }
        // Taken out while it changes, so that nothing is copied.
        self.leadership = nil
        for place in leadership.peers.indices {
            self.sendAppends(
                to: &leadership.peers[place], round: leadership.round, announcesCommit: leadership.announcesCommit)
        }
        leadership.announcesCommit = false
        self.leadership = leadership
    }

    private mutating func sendAppends(to peer: inout Progress, round: UInt64, announcesCommit: Bool) {
        if peer.state == .replicate {
            while peer.next <= self.log.lastIndex, !peer.inflights.isFull(self.settings) {
                if self.needsDisk(peer) {
                    guard self.mayHaveDisk(peer) else { break }
                    peer.isPaced = self.settings.pacesCatchUp
                }
                guard self.sendEntries(to: &peer, round: round) else { break }
            }
        } else if peer.state == .probe, !peer.probeSent, self.sendEntries(to: &peer, round: round) {
            peer.probeSent = true
        }
        // The next entries say it, too: for a message of its own it waits until the next tick.
        let commitIsNews = announcesCommit && peer.state == .replicate && peer.commitSent < self.commitIndex
        if peer.roundSent < round || commitIsNews { self.sendHeartbeat(to: &peer, round: round) }
    }

    /// Whether the next entries that a peer needs are not in memory any more.
    func needsDisk(_ peer: Progress) -> Bool { peer.next < self.log.firstInMemory }

    /// Whether a peer that needs entries from the disk is sent some now.
    func mayHaveDisk(_ peer: Progress) -> Bool {
        switch peer.state {
        case .replicate: !self.settings.pacesCatchUp || (!peer.isPaced && peer.inflights.count == 0)
        case .probe: !peer.probeSent
        case .snapshot: false
        }
    }

    private func waitsToCatchUp(_ peer: Progress) -> Bool {
        peer.state == .replicate && peer.isPaced && peer.inflights.count == 0 && self.needsDisk(peer)
    }

    /// Whether a peer has written what it got from the disk, and needs more: see ``RaftSettings/pacesCatchUp``.
    public var waitsToCatchUp: Bool { self.leadership?.peers.contains { self.waitsToCatchUp($0) } ?? false }

    /// Lets those go on who wait to catch up.
    ///
    /// - Parameter factor: How many times ``RaftSettings/maximumCatchUpSize`` their messages may have now.
    public mutating func continueCatchUp(factor: Int = 1) {
        self.catchUpSent = 0
        self.catchUpFactor = factor
        for place in self.leadership?.peers.indices ?? 0..<0 { self.leadership?.peers[place].isPaced = false }
    }

    private var catchUpMessageSize: Int { self.settings.maximumCatchUpSize * self.catchUpFactor }

    /// Sends the next entries, or an empty probe; false if nothing could be sent.
    private mutating func sendEntries(to peer: inout Progress, round: UInt64) -> Bool {
        guard peer.next >= self.log.firstIndex, let term = self.log.term(at: peer.next.previous) else {
            self.needSnapshot(&peer)
            return false
        }
        let entries = self.log.entries(
            from: peer.next, through: self.log.lastIndex,
            maximumSize: self.needsDisk(peer) ? self.catchUpMessageSize : self.settings.maximumMessageSize)
        if self.needsDisk(peer) { self.catchUpSent += entries.reduce(0) { $0 + $1.size } }
        if entries.isEmpty, peer.state == .replicate { return false }
        self.sendAppend(entries, to: &peer, previousIndex: peer.next.previous, previousTerm: term, round: round)
        if peer.state == .replicate, let last = entries.last {
            peer.inflights.add(through: last.index, size: entries.reduce(0) { $0 + $1.size })
            peer.next = last.index.next
        }
        return true
    }

    /// An empty message. Where the log before the next entry is gone it names the end of the log, which a peer that lags does
    /// not have: its refusal says that it is there.
    private mutating func sendHeartbeat(to peer: inout Progress, round: UInt64) {
        if peer.state != .snapshot, let term = self.log.term(at: peer.next.previous) {
            self.sendAppend([], to: &peer, previousIndex: peer.next.previous, previousTerm: term, round: round)
        } else {
            // A probe that is still unanswered was of entries that are gone since.
            peer.probeSent = false
            self.sendAppend(
                [], to: &peer, previousIndex: self.log.lastIndex, previousTerm: self.log.lastTerm, round: round)
        }
    }

    private mutating func sendAppend(
        _ entries: [Entry], to peer: inout Progress, previousIndex: LogIndex, previousTerm: Term, round: UInt64
    ) {
        let request = AppendEntries(
            term: self.term, previousIndex: previousIndex, previousTerm: previousTerm, leaderCommit: self.commitIndex,
            entries: entries, round: round)
        self.send(.appendEntries(request), to: peer.id)
        peer.roundSent = round
        peer.commitSent = self.commitIndex
    }

    /// What the peer needs is gone. It gets a snapshot if it has been heard lately; until then only heartbeats.
    private mutating func needSnapshot(_ peer: inout Progress) {
        guard peer.recentlyActive, peer.state != .snapshot else { return }
        peer.becomeSnapshot()
        self.snapshotsNeeded.append(peer.id)
    }

    /// How it went with a snapshot that `Ready` asked for. A success is known before the peer answers; after a failure the
    /// peer is probed, and asked for again.
    public mutating func reportSnapshot(to peer: NodeID, succeeded: Bool) {
        guard let place = self.leadership?.place(of: peer), self.leadership?.peers[place].state == .snapshot,
            !succeeded
        else { return }
        self.leadership?.peers[place].becomeProbe()
    }

    /// What a leader knows of its members, by id; empty on any other node.
    public var peers: [PeerStatus] {
        self.leadership?.peers.map {
            PeerStatus(
                id: $0.id, match: $0.match, isRecentlyActive: $0.recentlyActive, needsSnapshot: $0.state == .snapshot)
        } ?? []
    }
}

/// What a leader knows of one member.
public struct PeerStatus: Hashable, Sendable {
    public var id: NodeID
    /// Everything through this place is durable there.
    public var match: LogIndex
    /// It has answered since the last check of the quorum.
    public var isRecentlyActive: Bool
    /// It lags behind the start of the log.
    public var needsSnapshot: Bool
}
