/// A transaction on lists that only grow. Every value is appended once, by one transaction.
package struct ListTransaction: Hashable, Sendable, CustomStringConvertible {
    package enum Step: Hashable, Sendable, CustomStringConvertible {
        case append(list: Int, value: Int)
        /// What was found; nil: it did not come to that.
        case read(list: Int, values: [Int]?)

        package var description: String {
            switch self {
            case .append(let list, let value): "append \(value) to \(list)"
            case .read(let list, let values): "read \(list) = \(values.map { "\($0)" } ?? "?")"
            }
        }
    }

    package var steps: [Step]

    package init(_ steps: [Step]) { self.steps = steps }

    package var description: String { self.steps.map(\.description).joined(separator: "; ") }

    /// What it appends to each list, in order.
    var appends: [Int: [Int]] {
        var appends: [Int: [Int]] = [:]
        for case .append(let list, let value) in self.steps { appends[list, default: []].append(value) }
        return appends
    }
}
