import DqliteRaft
import Testing

@testable import struct DqliteRaft.RaftDefects

/// Defects against rules 26 to 28, each planted and found by the simulation.
@Suite struct DefectTests {
    /// A defect, and a life that brings it to light.
    struct Plant: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var defect: RaftDefects
        var voters = 3
        var others = 2
        var faults = Faults()
    }

    static let plants = [
        Plant(testDescription: "votes before durable", defect: .votesBeforeDurable),
        Plant(testDescription: "acknowledges before durable", defect: .acknowledgesBeforeDurable),
        Plant(testDescription: "counts earlier terms", defect: .countsEarlierTerms),
        Plant(testDescription: "changes before own commit", defect: .changesBeforeOwnCommit),
        Plant(testDescription: "uses committed configuration", defect: .usesCommittedConfiguration),
        Plant(testDescription: "lease from answer", defect: .leaseFromAnswer),
        Plant(testDescription: "lease judged at tick", defect: .leaseJudgedAtTick),
        Plant(testDescription: "votes at start", defect: .votesAtStart),
        Plant(testDescription: "lease after TimeoutNow", defect: .leaseAfterTimeoutNow),
    ]

    @Test(arguments: plants) func isFound(_ plant: Plant) {
        let trials = SimulationTests.variable("TRIALS") ?? 60
        var found: String?
        for seed in 1...trials where found == nil {
            let simulation = Simulation(
                seed: seed, voters: plant.voters, others: plant.others, faults: plant.faults, defects: plant.defect)
            simulation.run(until: 3000)
            found = simulation.checks.violation.map { "seed \(seed): \($0)" }
        }
        print(plant.testDescription, found ?? "-")
        #expect(found != nil)
    }
}
