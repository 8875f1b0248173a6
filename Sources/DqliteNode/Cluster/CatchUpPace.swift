import DqliteRaft

/// When a member that catches up gets its next entries from the disk: while others write, after a rest twice as long as it took to
/// bring it the last ones, so that it has at most a third of disks, processors and network.
struct CatchUpPace {
    /// When a member that waits gets more; nil: nobody waits.
    private(set) var due: MonotonicInstant?
    private var begun: MonotonicInstant?

    /// However slow the disks are: it must come nearer.
    private static let longestRest = Duration.milliseconds(100)

    /// A member has written what it got, and needs more.
    mutating func wait(isBusy: Bool, now: MonotonicInstant) {
        guard self.due == nil else { return }
        guard isBusy, let begun = self.begun else {
            self.due = now
            return
        }
        self.due = now + min((now - begun) * 2, Self.longestRest)
    }

    /// Whether it gets more now.
    mutating func isDue(now: MonotonicInstant) -> Bool {
        guard let due = self.due, now >= due else { return false }
        self.due = nil
        self.begun = now
        return true
    }
}
