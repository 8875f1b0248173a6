import Synchronization
import Testing

@testable import DqliteNode

struct ResultBudgetTests {
    private final class Result: PausedResult {
        let isWaiting: Bool
        let resumed = Atomic<Int>(0)
        init(isWaiting: Bool = true) { self.isWaiting = isWaiting }
        func resumeAfterOutput() -> Bool {
            if self.isWaiting { self.resumed.add(1, ordering: .relaxed) }
            return self.isWaiting
        }
    }

    @Test func pausesAtItsLimitAndResumesBelow() {
        let budget = ResultBudget(limit: 100)
        let result = Result()
        #expect(budget.add(99, of: result))
        #expect(!budget.add(1, of: result))
        #expect(result.resumed.load(ordering: .relaxed) == 0)
        budget.remove(1)
        #expect(result.resumed.load(ordering: .relaxed) == 1)
        budget.remove(99)
        #expect(result.resumed.load(ordering: .relaxed) == 1)
        #expect(budget.pending == 0)
    }

    /// Results that are over keep nobody else waiting.
    @Test func passesOverThoseThatAreOver() {
        let budget = ResultBudget(limit: 100)
        let over = [Result(isWaiting: false), Result(isWaiting: false)]
        let waiting = Result()
        for result in over + [waiting] { _ = budget.add(100, of: result) }
        budget.remove(300)
        #expect(waiting.resumed.load(ordering: .relaxed) == 1)
    }

    /// Those that wait go on in turns, as many as there is room for parts.
    @Test func resumesInTurns() {
        let budget = ResultBudget(limit: 128 << 10)
        let results = (0..<5).map { _ in Result() }
        for result in results { _ = budget.add(128 << 10, of: result) }
        budget.remove(5 * 128 << 10)
        #expect(results.map { $0.resumed.load(ordering: .relaxed) } == [1, 1, 0, 0, 0])
        budget.remove(0)
        #expect(results.map { $0.resumed.load(ordering: .relaxed) } == [1, 1, 1, 1, 0])
    }
}
