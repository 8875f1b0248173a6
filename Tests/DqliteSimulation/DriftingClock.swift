import DqliteRaft

/// A clock of a node, which runs a little faster or slower than time does, and never goes back.
struct DriftingClock {
    /// What it showed, and when.
    private var shown: Int
    private var since = VirtualTime.zero
    /// How many millionths it is too fast.
    private var partsPerMillion = 0

    init(shown: Int) { self.shown = shown }

    private func microseconds(at time: VirtualTime) -> Int {
        let passed = (time - self.since).microseconds
        return self.shown + passed + passed * self.partsPerMillion / 1_000_000
    }

    func instant(at time: VirtualTime) -> MonotonicInstant {
        MonotonicInstant(.microseconds(self.microseconds(at: time)))
    }

    /// How long it takes until it shows so much more.
    func span(of shown: VirtualTime) -> VirtualTime {
        VirtualTime(microseconds: shown.microseconds * 1_000_000 / (1_000_000 + self.partsPerMillion) + 1)
    }

    /// It runs at another rate from now on.
    mutating func drift(partsPerMillion: Int, from time: VirtualTime) {
        self.shown = self.microseconds(at: time)
        self.since = time
        self.partsPerMillion = partsPerMillion
    }
}
