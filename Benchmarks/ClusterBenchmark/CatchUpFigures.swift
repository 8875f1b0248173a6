import BenchmarkSupport

/// What it cost that a node came back.
struct CatchUpFigures: Sendable {
    /// Latencies of inserts for a while.
    struct Window: Sendable {
        /// Per second.
        var rate: Double
        /// Microseconds.
        var p50: Double
        /// Microseconds.
        var p99: Double

        init(_ figures: LoadFigures) {
            // Not the round's own rate: the window may have ended before its time.
            self.rate = Double(figures.round.operations) / figures.elapsed
            self.p50 = figures.round.p50
            self.p99 = figures.round.p99
        }
    }

    /// Before the node was stopped.
    var quiet: Window
    /// While it was catching up.
    var windows: [Window] = []
    /// Seconds that it took to write what it missed.
    var writing = 0.0
    /// Seconds from its start until it had everything.
    var duration = 0.0
    /// Bytes.
    var leaderGrowth = 0.0
    /// Bytes.
    var otherGrowth = 0.0
    /// Bytes.
    var followerGrowth = 0.0
}
