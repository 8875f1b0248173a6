/// What a leader knows of another member's log (thesis 3.5, 10.2.1; the states are those of etcd's Raft).
struct Progress: Sendable {
    enum State: Hashable, Sendable {
        /// It is not known where the logs match: one message at a time.
        case probe
        /// Entries are sent as they come, without waiting for answers.
        case replicate
        /// It needs entries that are gone; nothing is sent until it has a snapshot.
        case snapshot
    }

    let id: NodeID
    var state = State.probe
    /// The last place known to be durable there and to match (matchIndex of figure 2).
    var match = LogIndex.zero
    /// The next entry to send (nextIndex of figure 2).
    var next: LogIndex
    /// A probe was sent and not answered.
    var probeSent = false
    /// It has been heard since the last check of the quorum.
    var recentlyActive = false
    var inflights = Inflights()
    /// It has got entries that were read from the disk, and gets no more of them before ``Raft/continueCatchUp(factor:)``.
    var isPaced = false
    /// The commit index it was told.
    var commitSent = LogIndex.zero
    /// The last round sent to it, and the newest that it answered.
    var roundSent: UInt64 = 0
    var roundAnswered: UInt64 = 0
    /// When the newest answered round was sent.
    var answeredSince: MonotonicInstant?

    init(id: NodeID, next: LogIndex) {
        self.id = id
        self.next = next
    }

    mutating func becomeProbe() {
        self.state = .probe
        self.probeSent = false
        self.isPaced = false
        self.inflights.reset()
        self.next = self.match.next
    }

    mutating func becomeReplicate() {
        self.state = .replicate
        self.inflights.reset()
        self.next = max(self.next, self.match.next)
    }

    mutating func becomeSnapshot() {
        self.state = .snapshot
        self.probeSent = false
        self.inflights.reset()
    }

    /// It has everything through a place.
    mutating func matched(through index: LogIndex, firstIndex: LogIndex) {
        self.match = max(self.match, index)
        self.next = max(self.next, self.match.next)
        switch self.state {
        case .probe: self.becomeReplicate()
        case .replicate: self.inflights.free(through: index)
        case .snapshot: if self.match.next >= firstIndex { self.becomeProbe() }
        }
    }

    /// It has not what was before the entries sent; `hint` is the last place where it may match.
    mutating func rejected(at index: LogIndex, hint: LogIndex) {
        switch self.state {
        case .snapshot: break
        case .replicate: if index > self.match { self.becomeProbe() }
        case .probe:
            // Anything else answers an older probe.
            guard index.next == self.next, index > self.match else { return }
            self.next = max(self.match.next, min(index, LogIndex(hint.rawValue &+ 1)))
            self.probeSent = false
        }
    }
}
