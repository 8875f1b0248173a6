/// Why a snapshot was not sent, received or installed.
struct SnapshotError: Error, Hashable, Sendable, CustomStringConvertible {
    enum Code: Hashable, Sendable {
        /// The other node sends what it must not.
        case malformed
        /// A limit of this node is exceeded.
        case limit
        /// The receiver does not take it.
        case refused
        /// The other node has given up.
        case peer
        /// The connection ended, or nothing came for too long.
        case connection
        /// This node has given up.
        case cancelled
        /// The disk of this node fails, or is full.
        case disk
        /// What was received before is not what was written.
        case damaged
        /// The engine of this node cannot make the copy.
        case engine
        /// The log of this node takes nothing.
        case log
    }

    var code: Code
    /// What failed, for a person.
    var message: String

    init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }

    var description: String { self.message }
}
