import BenchmarkSupport

/// A cluster, and the rounds that it has gone through.
struct Side {
    var cluster: Cluster
    var results: [LoadFigures] = []

    /// nil when there is no result.
    func median(_ value: (LoadFigures) -> Double) -> Double? {
        self.results.isEmpty ? nil : BenchmarkSupport.median(self.results.map(value))
    }
}
