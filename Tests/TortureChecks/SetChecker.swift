/// What is done with sets that only grow.
package enum SetAction: Hashable, Sendable {
    /// Adds a value, which is added once.
    case add(set: Int, value: Int)
    /// All values of a set. nil: it did not come to that.
    case read(set: Int, [Int]?)
}

/// Checks that what was acknowledged is there, once, from then on, and what was refused never.
package enum SetChecker {
    package static func check(_ history: [Operation<SetAction>]) -> [Violation] {
        var adds: [Int: [Int: Operation<SetAction>]] = [:]
        var reads: [Int: [(operation: Operation<SetAction>, values: [Int])]] = [:]
        for operation in history {
            switch operation.action {
            case .add(let set, let value): adds[set, default: [:]][value] = operation
            case .read(let set, let values?) where operation.outcome == .acknowledged:
                reads[set, default: []].append((operation, values))
            case .read: break
            }
        }
        return reads.sorted { $0.key < $1.key }.flatMap { set, reads in
            Self.check(reads, adds[set] ?? [:], "set \(set)")
        }
    }

    private static func check(
        _ reads: [(operation: Operation<SetAction>, values: [Int])], _ adds: [Int: Operation<SetAction>], _ name: String
    ) -> [Violation] {
        var violations: [Violation] = []
        // When the earliest read that saw a value ended.
        var firstSeen: [Int: Duration] = [:]
        for (operation, values) in reads {
            for value in values { firstSeen[value] = min(firstSeen[value] ?? operation.ended, operation.ended) }
        }
        for (operation, values) in reads {
            let place = "\(name), read \(operation.began.text)–\(operation.ended.text) by client \(operation.client)"
            let seen = Set(values)
            if seen.count != values.count {
                let twice = Dictionary(values.map { ($0, 1) }, uniquingKeysWith: +).filter { $0.value > 1 }.keys
                violations.append(Violation(.duplicate, "\(place): \(twice.sorted()) are there more than once"))
            }
            for value in seen {
                guard let add = adds[value] else {
                    violations.append(Violation(.phantom, "\(place): nobody added \(value)"))
                    continue
                }
                if add.outcome == .refused {
                    violations.append(Violation(.aborted, "\(place): (\(add)) was refused, and is there"))
                }
                if operation.ended < add.began {
                    violations.append(Violation(.phantom, "\(place): (\(add)) began later"))
                }
            }
            for (value, add) in adds where !seen.contains(value) {
                if add.outcome == .acknowledged, add.ended < operation.began {
                    let kind = firstSeen[value] == nil ? Violation.Kind.lost : .stale
                    violations.append(Violation(kind, "\(place): (\(add)) is not there"))
                } else if let first = firstSeen[value], first < operation.began {
                    violations.append(
                        Violation(.stale, "\(place): (\(add)) is not there, and was read until \(first.text)"))
                }
            }
        }
        return violations
    }
}
