import DqliteRaft
import Foundation
import Testing

@testable import struct DqliteRaft.RaftDefects

/// Whole clusters under faults. `SEED` plays one seed, `TRIALS` sets how many.
@Suite struct SimulationTests {
    static func variable(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    @Test func neverBreaksAndAlwaysConverges() {
        let seeds = Self.variable("SEED").map { [$0] } ?? Array(1...(Self.variable("TRIALS") ?? 12))
        var counts: [String: Int] = [:]
        for seed in seeds {
            let simulation = Simulation(seed: seed, voters: seed % 3 == 0 ? 5 : 3, others: 2)
            simulation.run(until: 3000)
            simulation.healAndConverge()
            #expect(simulation.checks.violation == nil, "SEED=\(seed)\n\(simulation.report)")
            counts.merge(simulation.checks.counts, uniquingKeysWith: +)
        }
        // A simulation in which nothing happens finds nothing.
        for what in ["commits", "elections", "changes", "snapshots", "reads by a lease", "reads by a read index"] {
            #expect(counts[what, default: 0] > 0 || seeds.count < 10, "no \(what)")
        }
    }
}
