import Testing
import TortureChecks

@Suite struct SetCheckerTests {
    private func add(_ began: Int, _ value: Int, _ outcome: Outcome = .acknowledged) -> Operation<SetAction> {
        Operation(
            client: 1, began: .seconds(began), ended: .seconds(began + 1), outcome: outcome,
            action: .add(set: 1, value: value))
    }

    private func read(_ began: Int, _ values: Int...) -> Operation<SetAction> {
        Operation(
            client: 2, began: .seconds(began), ended: .seconds(began + 1), outcome: .acknowledged,
            action: .read(set: 1, values))
    }

    private func kinds(_ history: [Operation<SetAction>]) -> Set<Violation.Kind> {
        Set(SetChecker.check(history).map(\.kind))
    }

    @Test func `What is right is not complained about`() {
        let history = [
            self.add(1, 1), self.add(3, 2), self.add(3, 3, .refused), self.add(3, 4, .unknown),
            self.add(3, 5, .unknown),
            self.read(2), self.read(3, 1), self.read(5, 1, 2), self.read(7, 1, 2, 5), self.read(9, 1, 2, 5),
        ]
        #expect(SetChecker.check(history) == [])
    }

    @Test func `A value that is lost, or not there yet, or not any more`() {
        #expect(self.kinds([self.add(1, 1), self.read(3)]) == [.lost])
        #expect(self.kinds([self.add(1, 1), self.read(3), self.read(5, 1)]) == [.stale])
        #expect(self.kinds([self.add(1, 1, .unknown), self.read(2, 1), self.read(5)]) == [.stale])
    }

    @Test func `A value that must not be there`() {
        #expect(self.kinds([self.add(1, 1, .refused), self.read(3, 1)]) == [.aborted])
        #expect(self.kinds([self.read(3, 1)]) == [.phantom])
        #expect(self.kinds([self.read(3, 1), self.add(7, 1)]) == [.phantom])
        #expect(self.kinds([self.add(1, 1), self.read(3, 1, 1)]) == [.duplicate])
    }
}
