import Synchronization

/// Which task reads the rows of a result: while it waits for something else it does not read.
final class ReaderTask: Sendable {
    private let task = Atomic(0)

    /// The task that calls is the reader.
    func note() { self.task.store(Self.current ?? 0, ordering: .relaxed) }

    /// Whether this task was the last that read. False when nobody has begun to.
    func isTask(_ other: Int?) -> Bool {
        guard let other else { return false }
        return self.task.load(ordering: .relaxed) == other
    }

    /// The task that calls. Good for comparison while the task lives.
    static var current: Int? {
        withUnsafeCurrentTask { task in
            guard let task else { return nil }
            let value = task.hashValue
            return value == 0 ? 1 : value
        }
    }
}
