/// Lets marks of checkpoints into the log until the engine is closed: files may be replaced then, of which a checkpoint that
/// is still under way knows nothing.
///
/// @unchecked: everything that changes is touched under `condition` only.
final class MarkGate: @unchecked Sendable {
    private let condition = Condition()
    private var isClosed = false
    private var underWay = 0

    /// Makes a mark.
    ///
    /// - Throws: It was not made: what it throws, or that the gate is closed.
    func pass(_ mark: () throws(ReplicationFailure) -> Void) throws(ReplicationFailure) {
        let isOpen = self.condition.withLock {
            if !self.isClosed { self.underWay += 1 }
            return !self.isClosed
        }
        guard isOpen else { throw .failed("the engine is closed") }
        defer {
            self.condition.withLock {
                self.underWay -= 1
                self.condition.broadcast()
            }
        }
        try mark()
    }

    /// Returns when no mark is under way; none is made any more.
    func close() {
        self.condition.withLock {
            self.isClosed = true
            while self.underWay > 0 { self.condition.wait() }
        }
    }
}
