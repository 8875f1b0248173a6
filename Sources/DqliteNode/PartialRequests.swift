import Synchronization

/// Counts the bytes of requests that have arrived in part, on all connections of a node: what each may keep for long by sending
/// all but the end of a large one.
final class PartialRequests: Sendable {
    private let limit: Int
    private let total = Atomic<Int>(0)

    init(limit: Int) { self.limit = limit }

    /// Bytes on all connections.
    var bytes: Int { self.total.load(ordering: .relaxed) }

    /// The part of one connection.
    struct Share: ~Copyable {
        /// Below this a connection is never at fault.
        static let harmless = 64 << 10

        private let all: PartialRequests
        private var bytes = 0

        init(of all: PartialRequests) { self.all = all }

        /// The connection has as many bytes now.
        ///
        /// - Returns: Whether it may keep them.
        mutating func update(_ bytes: Int) -> Bool {
            let total = self.all.total.add(bytes - self.bytes, ordering: .relaxed).newValue
            self.bytes = bytes
            return total <= self.all.limit || bytes <= Self.harmless
        }
    }
}
