import DqliteRaft
import Testing

@testable import struct DqliteRaft.RaftDefects

/// Defects against rules 26 to 28, each planted and found by the simulation.
@Suite struct DefectTests {
    /// A defect, and a life that brings it to light.
    struct Plant: CustomTestStringConvertible, Sendable {
        var testDescription: String
        var defect: RaftDefects
        /// The first seed that is tried: one that finds it, as the code is now.
        var seed: UInt64
        var voters = 3
        var others = 2
        var faults = Faults()
        var settings = Simulation.settings
    }

    /// Every entry goes alone, and waits for the answer to the one before.
    static var oneByOne: RaftSettings {
        var settings = Simulation.settings
        settings.maximumMessageSize = 1
        settings.maximumInflightMessages = 1
        return settings
    }

    /// There are three ticks between heartbeats.
    static var rareHeartbeats: RaftSettings {
        var settings = Simulation.settings
        settings.heartbeatTicks = 3
        return settings
    }

    /// Disks are slow, and power fails often and shortly.
    static let weakPower = Faults(
        lateness: 15, lateDelay: 10...60, write: 5...40, crash: 200, down: 1...30, partition: 600, transfer: 150,
        change: 0, compaction: 0)
    /// No leader leads for long.
    static let unrest = Faults(
        proposal: 6, crash: 250, down: 5...60, partition: 200, pause: 400, transfer: 0, change: 0, compaction: 0)
    /// Members come and go while the network falls apart.
    static let churn = Faults(proposal: 40, crash: 300, partition: 120, transfer: 300, change: 3, compaction: 0)
    /// Many reads, and late answers.
    static let lateAnswers = Faults(
        lateness: 6, delay: 1...3, lateDelay: 80...250, write: 0...2, proposal: 40, read: 2, crash: 0, partition: 300,
        pause: 0, transfer: 0, change: 0)
    /// Many reads, and nodes that stop for a while.
    static let pauses = Faults(read: 2, crash: 0, partition: 0, pause: 80, paused: 60...250, transfer: 0, change: 0)
    /// Many reads, and handovers of which messages are lost.
    static let handovers = Faults(
        loss: 4, delay: 1...3, write: 0...1, proposal: 3, read: 2, crash: 0, partition: 100, pause: 0, transfer: 40,
        change: 0)

    static let plants = [
        Plant(
            testDescription: "votes before durable", defect: .votesBeforeDurable, seed: 23, others: 0, faults: weakPower
        ),
        Plant(
            testDescription: "acknowledges before durable", defect: .acknowledgesBeforeDurable, seed: 3, others: 0,
            faults: weakPower),
        Plant(
            testDescription: "counts earlier terms", defect: .countsEarlierTerms, seed: 110, others: 0, faults: unrest,
            settings: oneByOne),
        Plant(
            testDescription: "changes before own commit", defect: .changesBeforeOwnCommit, seed: 49, voters: 4,
            others: 0,
            faults: churn),
        Plant(
            testDescription: "uses committed configuration", defect: .usesCommittedConfiguration, seed: 290, voters: 4,
            others: 0,
            faults: churn),
        Plant(
            testDescription: "lease from answer", defect: .leaseFromAnswer, seed: 91, others: 0, faults: lateAnswers,
            settings: rareHeartbeats),
        Plant(testDescription: "lease judged at tick", defect: .leaseJudgedAtTick, seed: 1, others: 0, faults: pauses),
        Plant(
            testDescription: "lease after TimeoutNow", defect: .leaseAfterTimeoutNow, seed: 56, others: 0,
            faults: handovers),
    ]

    /// As the code is now the first seed does; after a change of it, one of the next ones.
    @Test(arguments: plants) func isFound(_ plant: Plant) {
        var found: String?
        for seed in plant.seed..<plant.seed + (SimulationTests.variable("TRIALS") ?? 300) where found == nil {
            let simulation = Simulation(
                seed: seed, voters: plant.voters, others: plant.others, faults: plant.faults,
                settings: plant.settings, defects: plant.defect)
            simulation.run(until: 3000)
            found = simulation.checks.violation.map { "seed \(seed): \($0)" }
        }
        #expect(found != nil)
        if let found, !found.hasPrefix("seed \(plant.seed):") { print("DEFECT \(plant.testDescription): \(found)") }
    }

    /// The same lives without the defects break nothing.
    @Test(arguments: plants) func isNotFoundWithoutTheDefect(_ plant: Plant) {
        for seed in plant.seed..<plant.seed + 3 {
            let simulation = Simulation(
                seed: seed, voters: plant.voters, others: plant.others, faults: plant.faults,
                settings: plant.settings)
            simulation.run(until: 3000)
            #expect(simulation.checks.violation == nil, "seed \(seed)\n\(simulation.report)")
        }
    }
}
