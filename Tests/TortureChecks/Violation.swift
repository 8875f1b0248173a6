/// Something that must not be.
package struct Violation: Hashable, Sendable, CustomStringConvertible {
    package enum Kind: String, Hashable, Sendable {
        /// What was acknowledged is not there.
        case lost
        /// A read does not see what had been acknowledged, or read, before it began.
        case stale
        /// Something is there twice.
        case duplicate
        /// What was refused is there.
        case aborted
        /// Something is there that nobody wrote.
        case phantom
        /// Two reads contradict each other.
        case order
        /// A read sees a part of a transaction.
        case intermediate
        /// A transaction does not see what it did itself.
        case inner
        /// No order of the transactions explains what they saw.
        case cycle
        /// The money is not as much as it was.
        case total
        /// An account has less than nothing.
        case negative
        /// Nodes do not have the same.
        case divergence
        /// A node ended that nobody had ended, or does not serve.
        case node
    }

    package var kind: Kind
    /// What is wrong, for a person.
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    package var description: String { "\(self.kind): \(self.message)" }
}
