/// What is done with accounts.
package enum BankAction: Hashable, Sendable {
    /// Moves an amount, and writes the number into a ledger. The number is given once.
    case transfer(number: Int, from: Int, to: Int, amount: Int)
    /// The balances of all accounts. nil: it did not come to that.
    case read([Int: Int]?)
    /// The balances and the whole ledger, in one transaction. nil: it did not come to that.
    case audit([Int: Int], ledger: [Int])
}

/// Checks that no money comes or goes, and that the ledger has what was acknowledged.
package struct BankChecker {
    /// What each account has at first.
    package let initial: [Int: Int]

    package init(initial: [Int: Int]) { self.initial = initial }

    package func check(_ history: [Operation<BankAction>]) -> [Violation] {
        var violations: [Violation] = []
        var transfers: [Int: Operation<BankAction>] = [:]
        for operation in history {
            if case .transfer(let number, _, _, _) = operation.action { transfers[number] = operation }
        }
        for operation in history where operation.outcome == .acknowledged {
            switch operation.action {
            case .transfer, .read(nil): break
            case .read(let balances?): violations += self.check(balances, operation)
            case .audit(let balances, let ledger):
                violations += self.check(balances, operation)
                violations += self.check(ledger, balances, operation, transfers)
            }
        }
        return violations
    }

    private func check(_ balances: [Int: Int], _ operation: Operation<BankAction>) -> [Violation] {
        var violations: [Violation] = []
        let total = balances.values.reduce(0, +)
        let expected = self.initial.values.reduce(0, +)
        if total != expected || balances.count != self.initial.count {
            violations.append(
                Violation(
                    .total,
                    "\(total) on \(balances.count) accounts, not \(expected) on \(self.initial.count): (\(operation))"))
        }
        for (account, balance) in balances where balance < 0 {
            violations.append(Violation(.negative, "account \(account) has \(balance): (\(operation))"))
        }
        return violations
    }

    private func check(
        _ ledger: [Int], _ balances: [Int: Int], _ audit: Operation<BankAction>,
        _ transfers: [Int: Operation<BankAction>]
    ) -> [Violation] {
        var violations: [Violation] = []
        var expected = self.initial
        var seen: Set<Int> = []
        for number in ledger {
            if !seen.insert(number).inserted {
                violations.append(Violation(.duplicate, "transfer \(number) is twice in the ledger"))
            }
            guard let operation = transfers[number], case .transfer(_, let from, let to, let amount) = operation.action
            else {
                violations.append(Violation(.phantom, "nobody made transfer \(number)"))
                continue
            }
            if operation.outcome == .refused {
                violations.append(Violation(.aborted, "(\(operation)) was refused, and is in the ledger"))
            }
            expected[from, default: 0] -= amount
            expected[to, default: 0] += amount
        }
        for (number, operation) in transfers
        where operation.outcome == .acknowledged && operation.ended < audit.began && !seen.contains(number) {
            violations.append(Violation(.lost, "(\(operation)) is not in the ledger"))
        }
        if balances != expected {
            violations.append(Violation(.total, "the balances \(balances) are not what the ledger makes: \(expected)"))
        }
        return violations
    }
}
