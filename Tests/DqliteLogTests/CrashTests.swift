import DqliteRaft
import LogSimulation
import TestSupport
import Testing

@testable import DqliteLog

/// Random use of the log on a disk that loses, tears, refuses and forgets: nothing acknowledged may be missing, nothing may
/// be there that was not written, nothing by halves.
@Suite struct CrashTests {
    /// Runs one seed.
    ///
    /// - Returns: How often it crashed.
    static func run(
        seed: UInt64, rounds: Int, ignoresSyncs: Bool = false, acknowledgesEarly: Bool = false
    ) throws -> Int {
        var random = SeededRandom(seed: seed)
        let disk = SimulatedDisk(seed: seed ^ 0xabcdef)
        var log = try Harness(
            disk: disk, configuration: Harness.small([2048, 8192, 32768].randomElement(using: &random)!))
        log.acknowledgesEarly = acknowledgesEarly
        disk.faults.ignoresSyncs = ignoresSyncs
        for _ in 0..<rounds {
            switch Int.random(in: 0..<8, using: &random) {
            case 0: disk.faults.syncsToFailure = Int.random(in: 0...6, using: &random)
            case 1: disk.faults.writesToFailure = Int.random(in: 0...8, using: &random)
            case 2, 3, 4, 5: disk.faults.stepsToCrash = Int.random(in: 0...60, using: &random)
            default: break
            }
            disk.faults.capacity = random.once(in: 4) ? 20000 : .max
            for _ in 0..<Int.random(in: 1...40, using: &random) {
                if disk.isCrashed || log.machine.failure != nil { break }
                try Self.act(&log, &random)
            }
            if !disk.isCrashed, log.machine.failure == nil {
                try log.checkRunning()
                if random.once(in: 4) {
                    // It is closed.
                    try? log.offer(.mark)
                    log.run()
                }
            }
            let attempts = (0..<Int.random(in: 0...2, using: &random)).map { _ in Int.random(in: 0...15, using: &random)
            }
            try log.restart(killed: random.once(in: 3), attempts: attempts)
        }
        return log.crashes
    }

    private static func act(_ log: inout Harness, _ random: inout SeededRandom) throws {
        do throws(LogError) {
            let first = log.machine.map.previousIndex.rawValue
            let last = log.machine.map.lastIndex.rawValue
            switch Int.random(in: 0..<20, using: &random) {
            case 0..<9:
                let largest = random.once(in: 30) ? 9000 : random.once(in: 4) ? 1200 : 200
                let sizes = (0..<Int.random(in: 1...3, using: &random)).map { _ in
                    Int.random(in: 0...largest, using: &random)
                }
                try log.append(sizes, fill: UInt8.random(in: 0...255, using: &random))
            case 9:
                let database = ["one.db", "two.db", "a database with a long name"].randomElement(using: &random)!
                var marks = log.machine.checkpoints[database] ?? CheckpointMarks()
                if random.once(in: 2) {
                    marks.intent = log.machine.map.lastIndex
                } else {
                    marks.done = marks.intent
                }
                if random.once(in: 10) { marks = CheckpointMarks() }
                try log.offer(.checkpoint(database: database, marks))
            case 10 where last > first:
                let index = LogIndex(UInt64.random(in: max(first, last > 8 ? last - 8 : 0)...last, using: &random))
                try log.offer(.cut(lastIndex: index, lastTerm: log.machine.map.term(of: index)!))
            case 11 where random.once(in: 10):
                try log.offer(.cut(lastIndex: LogIndex(last + 10), lastTerm: log.termFiles.state.term))
            case 12:
                let term = log.termFiles.state.term
                if random.once(in: 2) || log.termFiles.state.vote != nil {
                    log.save(HardState(term: Term(term.rawValue + 1)))
                } else {
                    log.save(HardState(term: term, vote: NodeID(3)))
                }
            case 13:
                let kept = LogIndex(UInt64.random(in: first...last, using: &random))
                let truncation = log.machine.truncateHead(LogNeeds(checkpoints: kept))
                guard truncation.firstIndex <= max(kept, log.machine.map.previousIndex).next else {
                    throw .notInLog(kept)
                }
            default: log.step()
            }
        } catch {
            switch error {
            case .noSpace:
                // It recovers by itself.
                if random.once(in: 2) { log.disk.faults.capacity = .max }
            case .queueFull: log.run()
            case .failed, .notPrepared: break
            default: throw Violation("\(error)")
            }
        }
    }

    @Test(arguments: UInt64(1)...20) func nothingAcknowledgedIsLost(seed: UInt64) throws {
        do {
            let crashes = try Self.run(seed: seed, rounds: 60)
            #expect(crashes >= 60)
        } catch {
            Issue.record("seed \(seed): \(error)")
        }
    }

    // The simulation has to see what it is made to see.

    @Test func aSkippedSyncIsFound() {
        #expect(throws: Violation.self) {
            for seed in 1...10 { _ = try Self.run(seed: UInt64(seed), rounds: 60, ignoresSyncs: true) }
        }
    }

    @Test func anEarlyAcknowledgementIsFound() {
        #expect(throws: Violation.self) {
            for seed in 1...10 { _ = try Self.run(seed: UInt64(seed), rounds: 60, acknowledgesEarly: true) }
        }
    }
}
