import DqliteRaft

/// When a member that catches up gets its next entries from the disk: while others write, after a rest twice as long as it took to
/// bring it the last ones, so that it has at most a third of disks, processors and network.
///
/// Unless it would not come nearer that way: then it gets no rest, and more and more at a time.
struct CatchUpPace {
    /// When a member that waits gets more; nil: nobody waits.
    private(set) var due: MonotonicInstant?
    /// How many times the least it gets then.
    private(set) var factor = 1
    private var begun: MonotonicInstant?

    /// However slow the disks are: it must come nearer.
    private static let longestRest = Duration.milliseconds(100)
    private static let largestFactor = 32

    /// A member has written what it got, and needs more.
    ///
    /// - Parameters:
    ///   - sent: Bytes that it got.
    ///   - proposed: Bytes that came to the log meanwhile.
    mutating func wait(sent: Int, proposed: Int, now: MonotonicInstant) {
        guard self.due == nil else { return }
        self.due = now
        guard proposed > 0, let begun = self.begun else { return }
        let duration = now - begun
        if duration > .seconds(1) { self.factor = 1 }
        if sent > 3 * proposed {
            self.due = now + min(duration * 2, Self.longestRest)
        } else if sent <= proposed {
            self.factor = min(self.factor * 2, Self.largestFactor)
        }
    }

    /// Whether it gets more now.
    mutating func isDue(now: MonotonicInstant) -> Bool {
        guard let due = self.due, now >= due else { return false }
        self.due = nil
        self.begun = now
        return true
    }
}
