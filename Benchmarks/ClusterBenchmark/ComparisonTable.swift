import BenchmarkSupport

/// What both sides did, a line for each number of clients. In a cell that has two numbers ours is the first. Medians of the
/// rounds; what is "each" is for each that was done; BUSY is how often a client was refused and tried again.
struct ComparisonTable {
    private(set) var table = Table([
        .init(title: "what", width: 28, isLeft: true),
        .init(title: "clients", width: 7),
        .init(title: "ours /s", width: 9),
        .init(title: "C /s", width: 9),
        .init(title: "ours / C", width: 8),
        .init(title: "p50 ms, ours : C", width: 18),
        .init(title: "p99 ms, ours : C", width: 18),
        .init(title: "nodes' CPU us each", width: 18),
        .init(title: "CPUs busy", width: 11),
        .init(title: "leader's peak MB", width: 16),
        .init(title: "3 nodes' peak MB", width: 16),
        .init(title: "BUSY each", width: 12),
    ])

    func showTitles() { self.table.showTitles() }

    mutating func add(note: String) { self.table.add(note: note) }

    mutating func add(_ workload: Workload, clients: Int, ours: Side?, theirs: Side?, rowsEach: Int) {
        let ourRate = ours?.median(\.round.rate).map { $0 * Double(rowsEach) }
        let theirRate = theirs?.median(\.round.rate).map { $0 * Double(rowsEach) }
        func pair(_ value: (LoadFigures) -> Double) -> String {
            text(ours?.median(value)) + " : " + text(theirs?.median(value))
        }
        let ratio: Double? = if let ourRate, let theirRate { ourRate / theirRate } else { nil }
        self.table.add([
            workload.title, "\(clients)", text(ourRate), text(theirRate), text(ratio),
            pair { $0.round.p50 / 1000 }, pair { $0.round.p99 / 1000 },
            pair { ($0.round.nodeTime ?? .nan) / Double(rowsEach) }, pair(\.processors),
            pair { $0.leaderPeak / 1e6 }, pair { $0.clusterPeak / 1e6 }, pair(\.refusalsEach),
        ])
    }
}

/// Three digits, or all of those before the point.
func text(_ value: Double?) -> String {
    guard let value, value.isFinite else { return "-" }
    return format(value, value >= 99.95 || value == 0 ? 0 : value >= 9.995 ? 1 : 2)
}
