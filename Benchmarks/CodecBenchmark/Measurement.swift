import AllocationCounter

/// Something that is done again and again, and what it costs.
struct Measurement {
    let name: String
    /// Does it as many times as it is told.
    let run: (Int) -> Void
    /// Nanoseconds for once, one per round.
    var nanoseconds: [Double] = []
    /// Allocations for once.
    var allocations: Double = 0
    private var iterations = 1

    init(_ name: String, _ run: @escaping (Int) -> Void) {
        self.name = name
        self.run = run
    }

    var median: Double { self.nanoseconds.sorted()[self.nanoseconds.count / 2] }

    /// Finds out how often it has to be done to take `duration`, and counts its allocations.
    mutating func calibrate(_ duration: Duration) {
        self.run(100)
        while true {
            let time = Self.time { self.run(self.iterations) }
            if time >= duration { break }
            self.iterations *= 2
        }
        let before = allocation_count()
        self.run(1000)
        self.allocations = Double(allocation_count() - before) / 1000
    }

    mutating func round() {
        let time = Self.time { self.run(self.iterations) }
        let (seconds, attoseconds) = time.components
        self.nanoseconds.append((Double(seconds) * 1e9 + Double(attoseconds) / 1e9) / Double(self.iterations))
    }

    private static func time(_ body: () -> Void) -> Duration {
        let clock = ContinuousClock()
        return clock.measure(body)
    }
}

/// Where results go, so that nothing is optimised away.
@inline(never)
func consume(_ value: Int) { sink = sink &+ value }

// Written by one thread only.
nonisolated(unsafe) private var sink = 0
