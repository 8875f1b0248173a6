import Synchronization

/// Counts the bytes of results that wait on one connection until its reader takes them.
///
/// The threads of the engine add what they produce, the connection's loop takes away what was written to the socket.
final class ResultBudget: Sendable {
    private struct State {
        var pending = 0
        var waiting: [any PausedResult] = []
    }

    private let limit: Int
    private let state = Mutex(State())

    init(limit: Int) { self.limit = limit }

    /// Bytes that wait now.
    var pending: Int { self.state.withLock { $0.pending } }

    /// Adds bytes that were produced.
    ///
    /// - Returns: Whether to go on. If not, `result` is told later to resume.
    func add(_ count: Int, of result: any PausedResult) -> Bool {
        self.state.withLock { state in
            state.pending += count
            guard state.pending >= self.limit else { return true }
            state.waiting.append(result)
            return false
        }
    }

    /// Adds bytes of which nothing more follows.
    func add(_ count: Int) { self.state.withLock { $0.pending += count } }

    /// Takes away bytes that were written, or given up, and resumes as many results as there is room for. Also called,
    /// with zero, when a result ends: it may have been told to resume and have had nothing to add.
    func remove(_ count: Int) {
        var room = self.state.withLock { state in
            state.pending -= count
            // Each will add a part. When its bytes are written, or when it ends, the next ones come.
            return (self.limit - state.pending + Self.expectedPartSize - 1) / Self.expectedPartSize
        }
        while room > 0 {
            let result = self.state.withLock { $0.waiting.isEmpty ? nil : $0.waiting.removeFirst() }
            guard let result else { return }
            if result.resumeAfterOutput() { room -= 1 }
        }
    }

    private static let expectedPartSize = 64 << 10
}

/// A result that waits for its connection's reader.
protocol PausedResult: AnyObject, Sendable {
    /// There is room again.
    ///
    /// - Returns: false when the result is over, or does not wait any more.
    func resumeAfterOutput() -> Bool
}
