import TestSupport
import Testing

@testable import DqliteSimulation

/// Breaches of the rules, each planted and found. Here are those that most lives show; `scripts/simulate --defects` looks for all.
@Suite struct DefectTests {
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
}
