import Testing
import TortureChecks

@Suite struct BankCheckerTests {
    private let checker = BankChecker(initial: [0: 10, 1: 10])

    private func act(
        _ began: Int, _ outcome: Outcome = .acknowledged, _ action: BankAction
    ) -> Operation<BankAction> {
        Operation(client: 1, began: .seconds(began), ended: .seconds(began + 1), outcome: outcome, action: action)
    }

    private func kinds(_ history: [Operation<BankAction>]) -> Set<Violation.Kind> {
        Set(self.checker.check(history).map(\.kind))
    }

    @Test func `What is right is not complained about`() {
        let history = [
            self.act(1, .transfer(number: 1, from: 0, to: 1, amount: 3)),
            self.act(3, .refused, .transfer(number: 2, from: 0, to: 1, amount: 3)),
            self.act(3, .unknown, .transfer(number: 3, from: 1, to: 0, amount: 5)),
            self.act(3, .unknown, .transfer(number: 4, from: 1, to: 0, amount: 5)),
            self.act(5, .read([0: 7, 1: 13])), self.act(5, .refused, .read(nil)),
            self.act(7, .audit([0: 12, 1: 8], ledger: [1, 4])),
        ]
        #expect(self.checker.check(history) == [])
    }

    @Test func `A wrong total`() {
        #expect(self.kinds([self.act(1, .read([0: 7, 1: 12]))]) == [.total])
        #expect(self.kinds([self.act(1, .read([0: 20]))]) == [.total])
        // The ledger says something else.
        #expect(self.kinds([self.act(1, .audit([0: 9, 1: 11], ledger: []))]) == [.total])
    }

    @Test func `Less than nothing`() {
        #expect(self.kinds([self.act(1, .read([0: -1, 1: 21]))]) == [.negative])
    }

    @Test func `A ledger that is wrong`() {
        let transfer = self.act(1, .transfer(number: 1, from: 0, to: 1, amount: 3))
        #expect(self.kinds([transfer, self.act(3, .audit([0: 10, 1: 10], ledger: []))]) == [.lost])
        #expect(self.kinds([transfer, self.act(3, .audit([0: 4, 1: 16], ledger: [1, 1]))]) == [.duplicate])
        #expect(self.kinds([self.act(3, .audit([0: 10, 1: 10], ledger: [9]))]) == [.phantom])
        var refused = transfer
        refused.outcome = .refused
        #expect(self.kinds([refused, self.act(3, .audit([0: 7, 1: 13], ledger: [1]))]) == [.aborted])
    }
}

extension BankCheckerTests {
    private func act(_ began: Int, _ action: BankAction) -> Operation<BankAction> {
        self.act(began, .acknowledged, action)
    }
}
