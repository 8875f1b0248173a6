import Foundation
import TestSupport
import Testing

/// A node crashes at random, again and again. `TRIALS=1000 swift test --filter CrashTrialTests` runs more.
@Suite("Crashes of a node", .serialized)
struct CrashTrialTests {
    static let first = ProcessInfo.processInfo.environment["SEED"].flatMap(UInt64.init) ?? 1
    static let trials = ProcessInfo.processInfo.environment["TRIALS"].flatMap(UInt64.init) ?? 20

    @Test(
        "what is acknowledged is there, nothing is there in part, and files are as a replay of the log makes them",
        arguments: [false, true])
    func trials(peersCommit: Bool) async {
        var total = CrashTrial.Result()
        let began = ContinuousClock.now
        for seed in Self.first..<Self.first + Self.trials {
            do {
                let result = try await onOwnThread {
                    Result { try CrashTrial(seed: seed, peersCommit: peersCommit).run() }
                }.get()
                total.add(result)
                #expect(result.problems.isEmpty, "SEED=\(seed) TRIALS=1 swift test --filter CrashTrialTests")
            } catch {
                Issue.record("SEED=\(seed) TRIALS=1 swift test --filter CrashTrialTests: \(error)")
            }
        }
        // Trials in which nothing happens find nothing.
        if Self.trials >= 20 {
            #expect(total.fates[.acknowledged, default: 0] > 0 && total.fates.count >= 2)
            #expect(total.crashesOfStarts > 0 && total.segmentsRetired > 0)
            #expect(total.files.kept > 0 && total.files.lost > 0 && total.files.torn > 0)
        }
        print(
            "crashes\(peersCommit ? ", peers commit first" : ""): \(Self.trials) trials, \(began.duration(to: .now)),",
            total)
    }

    @Test(
        "a planted defect is found",
        arguments: [CrashDefect.skipsRedo, .ignoresDurability, .skipsIntent, .releasesEarly])
    func defects(defect: CrashDefect) async {
        for seed in 1...UInt64(100) {
            // What does not start any more is found as well.
            let problem = await onOwnThread { () -> String? in
                do {
                    return try CrashTrial(seed: seed, peersCommit: defect == .ignoresDurability, defect: defect).run()
                        .problems.first
                } catch {
                    return "\(error)"
                }
            }
            guard let problem else { continue }
            print("crashes: the defect \(defect) is found by seed \(seed): \(problem)")
            return
        }
        Issue.record("not found")
    }
}

extension CrashTrial.Result: CustomStringConvertible {
    mutating func add(_ other: Self) {
        self.problems += other.problems
        self.fates.merge(other.fates, uniquingKeysWith: +)
        self.crashes += other.crashes
        self.crashesOfStarts += other.crashesOfStarts
        self.entries += other.entries
        self.segmentsRetired += other.segmentsRetired
        self.comparisons += other.comparisons
        self.files.writes += other.files.writes
        self.files.syncs += other.files.syncs
        self.files.kept += other.files.kept
        self.files.lost += other.files.lost
        self.files.torn += other.files.torn
    }

    var description: String {
        let fates = self.fates.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")
        return "\(self.crashes) crashes (\(self.crashesOfStarts) while starting), \(self.entries) entries, "
            + "\(self.segmentsRetired) segments retired, \(self.comparisons) comparisons, \(fates); "
            + "\(self.files.writes) page writes, \(self.files.syncs) syncs; "
            + "of changes not synced \(self.files.kept) kept, \(self.files.lost) lost, \(self.files.torn) torn"
    }
}
