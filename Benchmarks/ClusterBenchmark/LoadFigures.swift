import BenchmarkSupport

/// What a round against a cluster came to, or the medians of several.
struct LoadFigures: Sendable {
    var round: RoundFigures
    /// Seconds from the first request to the last answer.
    var elapsed: Double
    /// Processor time of all nodes, in seconds, while ``elapsed``.
    var nodeSeconds: Double
    /// The most resident memory, in bytes.
    var leaderPeak: Double
    /// The same of all nodes, each at its own moment.
    var clusterPeak: Double

    /// How many processors the nodes kept busy.
    var processors: Double { self.nodeSeconds / self.elapsed }
    /// How often a client was refused, for each that it did.
    var refusalsEach: Double { Double(self.round.failures) / Double(max(1, self.round.operations)) }
}
