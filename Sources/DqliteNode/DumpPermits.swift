import Synchronization

/// Lets only so many dumps take memory at a time.
final class DumpPermits: Sendable {
    /// A dump may take memory as long as this lives. It ends with the last that refers to it, for on the way from the engine to the
    /// socket there are too many places where a dump can end to give it back by hand at each.
    final class Permit: Sendable {
        private let permits: DumpPermits
        fileprivate init(_ permits: DumpPermits) { self.permits = permits }
        deinit { self.permits.free.add(1, ordering: .relaxed) }
    }

    private let free: Atomic<Int>

    init(count: Int) { self.free = Atomic(count) }

    /// nil when there is none.
    func take() -> Permit? {
        guard self.free.subtract(1, ordering: .relaxed).newValue >= 0 else {
            self.free.add(1, ordering: .relaxed)
            return nil
        }
        return Permit(self)
    }
}
