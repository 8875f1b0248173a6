import TestSupport
import Testing

@testable import DqliteSimulation

/// Breaches of the rules, each planted and found.
@Suite struct DefectTests {
    /// A defect, and the first seed that is tried: one that finds it, as the code is now.
    struct Plant: CustomTestStringConvertible, Sendable {
        var defect: Defect
        var seed: UInt64

        init(_ defect: Defect, _ seed: UInt64) {
            self.defect = defect
            self.seed = seed
        }

        var testDescription: String { "\(self.defect), seed \(self.seed)" }
    }

    static let plants = [
        Plant(.votesBeforeDurable, 202), Plant(.acknowledgesBeforeDurable, 1), Plant(.countsEarlierTerms, 219),
        Plant(.changesBeforeOwnCommit, 101), Plant(.usesCommittedConfiguration, 2), Plant(.leaseFromAnswer, 85),
        Plant(.leaseJudgedAtTick, 1), Plant(.leaseAfterTimeoutNow, 11), Plant(.leaseBeforeApplied, 16),
        Plant(.votesAfterStart, 28), Plant(.syncsNothing, 3), Plant(.durableWhenAccepted, 11),
        Plant(.forgetsVotes, 1), Plant(.overlayOutlivesTerm, 25), Plant(.answersBeforeCommit, 10),
        Plant(.overlayBeforeOwnEntry, 1), Plant(.checkpointBeyondDurable, 4), Plant(.pagesBeforeIntent, 47),
        Plant(.opensBeforeIntent, 11), Plant(.doneBeforeSync, 3), Plant(.releasesTooMuch, 55),
        Plant(.copyWithoutIntent, 3), Plant(.copyWithoutRecord, 75),
    ]

    @Test func allArePlanted() {
        #expect(Set(Self.plants.map(\.defect)) == Set(Defect.allCases))
    }

    /// As the code is now the first seed finds it; after a change of it, one of the next ones. The same life without the
    /// defect breaks nothing.
    @Test(arguments: plants) func isFound(_ plant: Plant) async {
        let found = await onOwnThread {
            (plant.seed..<plant.seed + 300).lazy.map { SimulationTests.play($0, defect: plant.defect) }
                .first { $0.violation != nil }
        }
        guard let found else {
            Issue.record("nothing was found")
            return
        }
        if found.seed != plant.seed {
            print("DEFECT \(plant.defect) is found by seed \(found.seed): \(found.violation ?? "")")
        }
        let sound = await onOwnThread {
            var plan = plant.defect.plan(seed: found.seed)
            plan.duration = min(found.time, plan.duration)
            return SimulationTests.play(found.seed, plan: plan)
        }
        #expect(sound.violation == nil, "seed \(found.seed)\n\(sound.nodes.joined(separator: "\n"))")
    }
}
