import BenchmarkSupport

/// What a round against a cluster came to, or the medians of several.
struct LoadFigures: Sendable {
    var round: RoundFigures
    /// Seconds from the first request to the last answer.
    var elapsed: Double
    /// Processor time of all nodes, in seconds, while ``elapsed``.
    var nodeSeconds: Double
    /// The most resident memory of each node meanwhile, in bytes.
    var peaks: [Double]
    /// Which of them is the leader's.
    var leader: Int

    var leaderPeak: Double { self.peaks[self.leader] }
    /// Of all nodes, each at its own moment.
    var clusterPeak: Double { self.peaks.reduce(0, +) }

    /// How many processors the nodes kept busy.
    var processors: Double { self.nodeSeconds / self.elapsed }
    /// How often a client was refused, for each that it did.
    var refusalsEach: Double { Double(self.round.failures) / Double(max(1, self.round.operations)) }
}
