import TestSupport
import Testing
import TortureChecks

@Suite struct ListCheckerTests {
    /// Someone appends, reads or both, from one second to another.
    private func act(
        _ began: Int, _ ended: Int, _ outcome: Outcome = .acknowledged, _ steps: ListTransaction.Step...
    ) -> Operation<ListTransaction> {
        Operation(
            client: began, began: .seconds(began), ended: .seconds(ended), outcome: outcome,
            action: ListTransaction(steps))
    }

    private func kinds(_ history: [Operation<ListTransaction>]) -> Set<Violation.Kind> {
        Set(ListChecker.check(history).map(\.kind))
    }

    @Test func `What is right is not complained about`() {
        #expect(self.kinds([]) == [])
        let history = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1)),
            self.act(3, 6, .acknowledged, .append(list: 1, value: 2)),
            self.act(4, 5, .acknowledged, .read(list: 1, values: [1])),
            self.act(4, 7, .acknowledged, .read(list: 1, values: [1, 2]), .append(list: 2, value: 3)),
            self.act(8, 9, .refused, .append(list: 1, value: 4), .read(list: 2, values: nil)),
            self.act(8, 9, .unknown, .append(list: 1, value: 5)),
            self.act(8, 9, .unknown, .append(list: 1, value: 6)),
            self.act(
                10, 11, .acknowledged, .read(list: 1, values: [1, 2, 6]), .append(list: 1, value: 7),
                .read(list: 1, values: [1, 2, 6, 7])),
            self.act(12, 13, .acknowledged, .read(list: 1, values: [1, 2, 6, 7]), .read(list: 2, values: [3])),
        ]
        #expect(ListChecker.check(history) == [])
    }

    @Test func `A write that is lost`() {
        let history = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1)),
            self.act(1, 2, .acknowledged, .append(list: 1, value: 2)),
            self.act(3, 4, .acknowledged, .read(list: 1, values: [2])),
        ]
        #expect(self.kinds(history) == [.lost, .cycle])
        #expect(
            self.kinds(history.dropLast() + [self.act(3, 4, .acknowledged, .read(list: 1, values: []))]).contains(.lost)
        )
    }

    @Test func `A read that is stale`() {
        let history = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1)),
            self.act(3, 4, .acknowledged, .append(list: 1, value: 2)),
            self.act(5, 6, .acknowledged, .read(list: 1, values: [1])),
            self.act(7, 8, .acknowledged, .read(list: 1, values: [1, 2])),
        ]
        #expect(self.kinds(history) == [.stale, .cycle])
    }

    @Test func `A read that goes back behind another, of a write that is not acknowledged`() {
        let history = [
            self.act(1, 20, .unknown, .append(list: 1, value: 1)),
            self.act(2, 3, .acknowledged, .read(list: 1, values: [1])),
            self.act(4, 5, .acknowledged, .read(list: 1, values: [])),
        ]
        #expect(self.kinds(history) == [.cycle])
    }

    @Test func `A write that is there twice`() {
        let history = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1)),
            self.act(3, 4, .acknowledged, .read(list: 1, values: [1, 1])),
        ]
        #expect(self.kinds(history).contains(.duplicate))
    }

    @Test func `A read of what was refused, or never written`() {
        let history = [
            self.act(1, 2, .refused, .append(list: 1, value: 1)),
            self.act(3, 4, .acknowledged, .read(list: 1, values: [1])),
            self.act(3, 4, .acknowledged, .read(list: 2, values: [7])),
            self.act(3, 4, .acknowledged, .read(list: 3, values: [1])),
        ]
        #expect(self.kinds(history) == [.aborted, .phantom])
    }

    @Test func `Reads that contradict each other`() {
        let history = [
            self.act(1, 9, .acknowledged, .append(list: 1, value: 1)),
            self.act(1, 9, .acknowledged, .append(list: 1, value: 2)),
            self.act(1, 9, .acknowledged, .read(list: 1, values: [1])),
            self.act(1, 9, .acknowledged, .read(list: 1, values: [2, 1])),
        ]
        #expect(self.kinds(history).contains(.order))
    }

    @Test func `A read of a part of a transaction`() {
        let history = [
            self.act(1, 9, .acknowledged, .append(list: 1, value: 1), .append(list: 1, value: 2)),
            self.act(1, 9, .acknowledged, .read(list: 1, values: [1])),
            self.act(1, 9, .acknowledged, .read(list: 1, values: [1, 2])),
        ]
        #expect(self.kinds(history).contains(.intermediate))
        // On two lists it is a cycle.
        let lists = [
            self.act(1, 9, .unknown, .append(list: 1, value: 1), .append(list: 2, value: 2)),
            self.act(1, 9, .acknowledged, .read(list: 1, values: [1]), .read(list: 2, values: [])),
        ]
        #expect(self.kinds(lists) == [.cycle])
    }

    @Test func `A transaction that does not see what it did, or sees what others do`() {
        let own = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1), .read(list: 1, values: [])),
            self.act(3, 4, .acknowledged, .read(list: 1, values: [1])),
        ]
        #expect(self.kinds(own).contains(.inner))
        let others = [
            self.act(1, 9, .acknowledged, .append(list: 1, value: 1)),
            self.act(1, 9, .acknowledged, .read(list: 1, values: []), .read(list: 1, values: [1])),
        ]
        #expect(self.kinds(others).contains(.inner))
    }

    @Test func `An order that cannot be: write skew`() {
        let history = [
            self.act(1, 9, .acknowledged, .read(list: 1, values: []), .append(list: 2, value: 2)),
            self.act(1, 9, .acknowledged, .read(list: 2, values: []), .append(list: 1, value: 1)),
            self.act(10, 11, .acknowledged, .read(list: 1, values: [1]), .read(list: 2, values: [2])),
        ]
        let violations = ListChecker.check(history)
        #expect(violations.map(\.kind) == [.cycle])
        #expect(violations.first?.message.contains("did not see") == true)
    }

    @Test func `An order that cannot be: each sees the other`() {
        let history = [
            self.act(1, 9, .acknowledged, .append(list: 1, value: 1), .read(list: 2, values: [2])),
            self.act(1, 9, .acknowledged, .append(list: 2, value: 2), .read(list: 1, values: [1])),
        ]
        #expect(self.kinds(history) == [.cycle])
    }

    @Test func `An order that only the clock forbids`() {
        // Serializable, but not in the order of time: the second writer did not see the first one's list, nor did anybody.
        let history = [
            self.act(1, 2, .acknowledged, .append(list: 1, value: 1)),
            self.act(3, 4, .acknowledged, .append(list: 1, value: 2)),
            self.act(5, 6, .acknowledged, .read(list: 1, values: [2, 1])),
        ]
        #expect(self.kinds(history) == [.cycle])
    }

    /// Histories of a machine that does one thing at a time, at a moment between begin and end.
    @Test(arguments: 1...20)
    func `Histories that a real machine has are right, and those with a stale read wrong`(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var lists: [Int: [Int]] = [:]
        var history: [Operation<ListTransaction>] = []
        var victims: [Int] = []
        for number in 1...300 {
            let now = Duration.milliseconds(number * 10)
            let outcome: Outcome = random.once(in: 8) ? .unknown : random.once(in: 8) ? .refused : .acknowledged
            let isDone = outcome == .acknowledged || outcome == .unknown && random.once(in: 2)
            var mine = lists
            var steps: [ListTransaction.Step] = []
            for step in 0...random.below(4) {
                let list = random.below(4)
                if random.once(in: 2) {
                    mine[list, default: []].append(number * 10 + step)
                    steps.append(.append(list: list, value: number * 10 + step))
                } else {
                    steps.append(.read(list: list, values: outcome == .acknowledged ? mine[list] ?? [] : nil))
                }
            }
            if isDone { lists = mine }
            if steps.count == 1, outcome == .acknowledged, case .read(_, let values?) = steps[0], values.count > 12 {
                victims.append(history.count)
            }
            history.append(
                Operation(
                    client: number % 7, began: now - .milliseconds(random.below(35)),
                    ended: now + .milliseconds(random.below(35)), outcome: outcome, action: ListTransaction(steps)))
        }
        #expect(ListChecker.check(history) == [])
        let victim = try #require(victims.last)
        guard case .read(let list, let values?) = history[victim].action.steps[0] else { return }
        // What was there some hundred milliseconds before.
        history[victim].action.steps[0] = .read(list: list, values: values.dropLast(8))
        #expect(!ListChecker.check(history).isEmpty)
    }
}
