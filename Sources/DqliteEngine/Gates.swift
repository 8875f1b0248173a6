/// Sessions whose answers are held until everything that they could have seen is committed and applied.
struct Gates {
    struct Waiter {
        /// The sequence number that must have been applied.
        let sequence: UInt64
        let session: EngineSession
        /// Names the wait to the session.
        let ticket: UInt64
    }

    /// In ascending order of sequence numbers, from `first` on.
    private(set) var waiters: [Waiter] = []
    private var first = 0

    mutating func insert(_ waiter: Waiter) {
        // Nearly always the last.
        var position = self.waiters.count
        while position > self.first, self.waiters[position - 1].sequence > waiter.sequence { position -= 1 }
        self.waiters.insert(waiter, at: position)
    }

    /// Takes out those that wait for no more than `sequence`.
    mutating func take(through sequence: UInt64) -> [Waiter] {
        var end = self.first
        while end < self.waiters.count, self.waiters[end].sequence <= sequence { end += 1 }
        defer {
            self.first = end
            // Under load there is always somebody who waits for the next batch.
            if 2 * self.first >= self.waiters.count {
                self.waiters.removeFirst(self.first)
                self.first = 0
            }
        }
        return Array(self.waiters[self.first..<end])
    }

    /// Takes out those that wait for more than `sequence`.
    mutating func take(above sequence: UInt64) -> [Waiter] {
        var begin = self.waiters.count
        while begin > self.first, self.waiters[begin - 1].sequence > sequence { begin -= 1 }
        defer { self.waiters.removeSubrange(begin...) }
        return Array(self.waiters[begin...])
    }
}
