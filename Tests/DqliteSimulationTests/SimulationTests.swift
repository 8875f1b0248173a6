import Foundation
import TestSupport
import Testing

@testable import DqliteSimulation

/// Whole clusters under faults. `SEED` plays one seed, `TRIALS` says how many; `scripts/simulate` plays more, and faster.
@Suite(.serialized) struct SimulationTests {
    static func variable(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }

    static func play(_ seed: UInt64, duration: Int, usesEngine: Bool) -> Trial.Result {
        var trial = Trial(seed: seed, reduction: Reduction(duration: duration), usesEngine: usesEngine)
        return trial.run()
    }

    /// With models of databases, and with the engine itself.
    @Test(arguments: [false, true])
    func nothingBreaksAndAllIsWellInTheEnd(usesEngine: Bool) async {
        let seeds = Self.variable("SEED").map { [$0] } ?? Array(1...(Self.variable("TRIALS") ?? 6))
        let results = await onOwnThread { seeds.map { Self.play($0, duration: 10, usesEngine: usesEngine) } }
        var counts: [String: Int] = [:]
        for result in results {
            let nodes = result.nodes.joined(separator: "\n")
            #expect(result.violation == nil, "SEED=\(result.seed), at \(result.time) s\n\(nodes)")
            counts.merge(result.counts, uniquingKeysWith: +)
        }
        // A simulation in which nothing happens finds nothing.
        for what in [
            "changes of members", "checkpoints", "copies installed", "elections", "kills", "pauses", "power failures",
            "reads by followers", "reads by lease", "reads by read index", "transactions", "transfers",
        ] {
            #expect(counts[what, default: 0] > 0 || seeds.count < 6, "no \(what)")
        }
    }

    /// What is not decided by the seed cannot be played again.
    @Test(arguments: [false, true], [46, 3] as [UInt64])
    func aSeedPlaysTheSameAgain(usesEngine: Bool, seed: UInt64) async {
        let results = await onOwnThread {
            (0..<2).map { _ in Self.play(seed, duration: 5, usesEngine: usesEngine) }
        }
        #expect(results[0].digest == results[1].digest)
        #expect(results[0].time == results[1].time)
        #expect(results[0].counts == results[1].counts)
    }
}
