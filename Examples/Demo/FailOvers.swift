/// How long no row was acknowledged whenever the cluster lost its leader.
struct FailOvers {
    struct Gap: Hashable {
        /// When the last row before it was acknowledged.
        var from: Duration
        /// When the first row after it was acknowledged.
        var to: Duration
        var length: Duration { self.to - self.from }
        /// How much of it most of the nodes were down, so that nobody could be elected.
        var withoutMajority = Duration.zero
    }

    /// Those that are over.
    private(set) var gaps: [Gap] = []
    /// Whether the leader was lost and no row was acknowledged since there is another.
    private var isOpen = false
    private var hasLeader = false
    private var lastRow: Duration?
    /// The longest time without a row since the leader was lost.
    private var longest: Gap?
    /// The last times without a row: for a leader that is lost unannounced.
    private var recent: [Gap] = []
    private var withoutMajority: [(from: Duration, to: Duration?)] = []

    mutating func leaderDied() {
        if !self.isOpen { self.longest = nil }
        self.isOpen = true
        self.hasLeader = false
    }

    mutating func leads() {
        guard self.lastRow != nil else { return }
        if !self.isOpen { self.longest = self.recent.max { $0.length < $1.length } }
        self.isOpen = true
        self.hasLeader = true
    }

    /// Whether more than a half of the nodes run.
    var hasMajority: Bool { self.withoutMajority.last.map { $0.to != nil } ?? true }

    mutating func majority(isThere: Bool, at now: Duration) {
        if isThere, !self.hasMajority {
            self.withoutMajority[self.withoutMajority.count - 1].to = now
        } else if !isThere, self.hasMajority {
            self.withoutMajority.append((now, nil))
        }
    }

    /// A row was acknowledged.
    ///
    /// - Returns: The gap that ends with it.
    mutating func acknowledged(at now: Duration) -> Gap? {
        defer { self.lastRow = now }
        guard let last = self.lastRow else { return nil }
        let gap = Gap(from: last, to: now)
        self.recent.removeAll { now - $0.to > .seconds(5) }
        self.recent.append(gap)
        if gap.length > self.longest?.length ?? .zero { self.longest = gap }
        // Until there is another leader, rows that the lost one acknowledged may still be on their way here.
        guard self.isOpen, self.hasLeader, var longest = self.longest else { return nil }
        self.isOpen = false
        for (from, to) in self.withoutMajority {
            longest.withoutMajority += max(.zero, min(to ?? now, longest.to) - max(from, longest.from))
        }
        self.gaps.append(longest)
        return longest
    }
}
