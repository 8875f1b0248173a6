import Foundation
import TestSupport
import Testing

@testable import DqliteEngine

/// Leadership is lost at random while batches are on their way. `TRIALS=1000 swift test --filter SpeculationTests` runs more.
@Suite("Speculation", .serialized)
struct SpeculationTests {
    static let first = ProcessInfo.processInfo.environment["SEED"].flatMap(UInt64.init) ?? 1
    static let trials = ProcessInfo.processInfo.environment["TRIALS"].flatMap(UInt64.init) ?? 40

    @Test(
        "what is acknowledged is there, what is dropped is not, readers see what is committed, and followers are the same"
    )
    func trials() async throws {
        var total = SpeculationTrial.Result()
        for seed in Self.first..<Self.first + Self.trials {
            let result = try await onOwnThread { Result { try SpeculationTrial(seed: seed).run() } }.get()
            #expect(result.problems.isEmpty, "seed \(seed)")
            total.reads += result.reads
            total.entries += result.entries
            total.fates.merge(result.fates, uniquingKeysWith: +)
        }
        // A trial in which nothing happens finds nothing.
        for fate in [SpeculationTrial.Fate.acknowledged, .dropped, .unknown] { #expect(total.fates[fate] ?? 0 > 0) }
        print(
            "speculation: \(Self.trials) trials, \(total.entries) entries, \(total.reads) reads of the committed view,",
            total.fates.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", "))
    }

    /// The rules that each of these breaks: an overlay belongs to one term; no answer before what it shows is committed;
    /// "read-only" to SQLite does not mean harmless.
    @Test("a planted defect is found", arguments: [EngineDefects.ignoresTerm, .answersAtOnce, .trustsReadOnly])
    func defects(defect: EngineDefects) async {
        for seed in 1...UInt64(400) {
            // What cannot be read any more is found as well.
            let isRight = await onOwnThread {
                (try? SpeculationTrial(seed: seed, defects: defect).run().problems.isEmpty) ?? false
            }
            if !isRight {
                print("speculation: defect \(defect.rawValue) is found by seed \(seed)")
                return
            }
        }
        Issue.record("not found")
    }
}
