package import NIOCore

/// When a round begins to count and when it ends.
package struct Round: Sendable {
    /// What begins before is to get caches and threads going.
    package var begin: NIODeadline
    package var end: NIODeadline

    /// - Parameter warmUp: What goes before the time that counts; nil: a tenth of it.
    package init(_ time: Duration, warmUp: Duration? = nil) {
        let nanoseconds = Int64(time.inSeconds * 1e9)
        self.begin = .now() + .nanoseconds(warmUp.map { Int64($0.inSeconds * 1e9) } ?? nanoseconds / 10)
        self.end = self.begin + .nanoseconds(nanoseconds)
    }

    package var seconds: Double { Double((self.end - self.begin).nanoseconds) / 1e9 }
}

/// What one client saw in a round.
package struct Samples: Sendable {
    private let round: Round
    /// Nanoseconds.
    private var latencies: [Int64] = []
    private var completed = 0
    /// Everything that was done, also before and after what counts.
    private var all = 0
    /// What was refused, and counts for nothing.
    package var failures = 0

    package init(_ round: Round) { self.round = round }

    package mutating func add(from start: NIODeadline, to end: NIODeadline) {
        self.all += 1
        if start >= self.round.begin { self.latencies.append((end - start).nanoseconds) }
        // Who is late has its latency counted and is no part of the rate.
        if end >= self.round.begin, end <= self.round.end { self.completed += 1 }
    }

    /// - Parameter processorTime: What the clients and the node needed, in seconds.
    package static func figures(
        _ samples: [Samples], round: Round, clientTime: Double, nodeTime: Double?
    ) -> RoundFigures {
        let latencies = samples.flatMap(\.latencies).sorted()
        let all = Double(max(1, samples.reduce(0) { $0 + $1.all }))
        func microseconds(_ percent: Int) -> Double {
            latencies.isEmpty ? .nan : Double(latencies[latencies.count * percent / 100]) / 1000
        }
        return RoundFigures(
            rate: Double(samples.reduce(0) { $0 + $1.completed }) / round.seconds, p50: microseconds(50),
            p99: microseconds(99), clientTime: clientTime / all * 1e6, nodeTime: nodeTime.map { $0 / all * 1e6 },
            failures: samples.reduce(0) { $0 + $1.failures }, operations: samples.reduce(0) { $0 + $1.all })
    }
}

/// What a round came to.
package struct RoundFigures: Sendable {
    /// Per second.
    package var rate: Double
    /// Microseconds.
    package var p50: Double
    /// Microseconds.
    package var p99: Double
    /// Processor time of this process, in microseconds for each.
    package var clientTime: Double
    /// Processor time of the node, in microseconds for each.
    package var nodeTime: Double?
    package var failures: Int
    /// Everything that was done, also before and after what counts.
    package var operations: Int
}
