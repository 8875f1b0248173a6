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
        Plant(.votesBeforeDurable, 103), Plant(.acknowledgesBeforeDurable, 1), Plant(.countsEarlierTerms, 41),
        Plant(.changesBeforeOwnCommit, 317), Plant(.usesCommittedConfiguration, 2), Plant(.leaseFromAnswer, 19),
        Plant(.leaseJudgedAtTick, 1), Plant(.leaseAfterTimeoutNow, 10), Plant(.leaseBeforeApplied, 1),
        Plant(.votesAfterStart, 9), Plant(.syncsNothing, 3), Plant(.durableWhenAccepted, 1), Plant(.forgetsVotes, 1),
        Plant(.overlayOutlivesTerm, 4), Plant(.answersBeforeCommit, 1), Plant(.overlayBeforeOwnEntry, 3),
        Plant(.checkpointBeyondDurable, 18), Plant(.pagesBeforeIntent, 4), Plant(.opensBeforeIntent, 1),
        Plant(.doneBeforeSync, 3), Plant(.releasesTooMuch, 3), Plant(.copyWithoutIntent, 2),
        Plant(.copyWithoutRecord, 18),
    ]

    @Test func allArePlanted() {
        #expect(Set(Self.plants.map(\.defect)) == Set(Defect.allCases))
    }

    /// As the code is now the first seed finds it; after a change of it, one of the next ones.
    @Test(arguments: plants) func isFound(_ plant: Plant) async {
        let found = await onOwnThread {
            (plant.seed..<plant.seed + 300).lazy.map { SimulationTests.play($0, defect: plant.defect) }
                .first { $0.violation != nil }
        }
        #expect(found != nil)
        if let found, found.seed != plant.seed {
            print("DEFECT \(plant.defect) is found by seed \(found.seed): \(found.violation ?? "")")
        }
    }

    /// The same life without the defect breaks nothing.
    @Test(arguments: plants) func isNotFoundWithoutTheDefect(_ plant: Plant) async {
        let result = await onOwnThread {
            SimulationTests.play(plant.seed, plan: plant.defect.plan(seed: plant.seed))
        }
        #expect(result.violation == nil, "seed \(plant.seed)\n\(result.nodes.joined(separator: "\n"))")
    }
}
