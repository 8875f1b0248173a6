import TestSupport
import Testing

@testable import DqliteSimulation

/// Breaches of the rules, each planted and found. Here are those that most lives show; `scripts/simulate --defects` looks for all.
/// One after the other, since all have threads of their own, and the other tests need processors too.
@Suite(.serialized) struct DefectTests {
    @Test(
        arguments: [
            .acknowledgesBeforeDurable, .usesCommittedConfiguration, .leaseJudgedAtTick, .syncsNothing, .forgetsVotes,
            .overlayBeforeOwnEntry, .checkpointBeyondDurable, .doneBeforeSync, .copyWithoutIntent,
        ] as [Defect])
    func isFound(_ defect: Defect) async {
        let search = await onOwnThread { DefectSearch(defect, seeds: 100) }
        #expect(search.found != nil)
        #expect(search.unexpected?.violation == nil, "seed \(search.unexpected?.seed ?? 0)")
    }

    /// The same with real databases.
    @Test(arguments: [.answersBeforeCommit, .doneBeforeSync, .releasesTooMuch] as [Defect])
    func isFoundWithTheEngine(_ defect: Defect) async {
        let search = await onOwnThread { DefectSearch(defect, seeds: 20, usesEngine: true) }
        #expect(search.found != nil)
        #expect(search.unexpected?.violation == nil, "seed \(search.unexpected?.seed ?? 0)")
    }

    /// What is found is made as small as it can be, and is found again by what is said of it.
    @Test func isMadeSmaller() async {
        let (found, again) = await onOwnThread { () -> (Shrinking, Trial.Result) in
            var trial = Trial(seed: 1, defect: .answersBeforeCommit)
            let shrinking = Shrinking(
                trial.run(), reduction: Reduction(), defect: .answersBeforeCommit, usesEngine: false,
                limit: .seconds(60))
            var smaller = Trial(seed: 1, reduction: shrinking.reduction, defect: .answersBeforeCommit)
            return (shrinking, smaller.run())
        }
        #expect(found.reduction.without.count > 3)
        #expect(again.violation == found.result.violation)
        #expect(again.violation != nil)
    }
}
