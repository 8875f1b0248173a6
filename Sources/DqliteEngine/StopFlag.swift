internal import Synchronization

/// Tells what runs on a connection to end: looked at between rows, and by SQLite every so many steps of its machine.
///
/// (`sqlite3_interrupt` alone is not enough: it is forgotten when a statement begins while no other is active.)
final class StopFlag: Sendable {
    private let value = Atomic<Bool>(false)

    var isSet: Bool { self.value.load(ordering: .acquiring) }

    func set(_ isSet: Bool) { self.value.store(isSet, ordering: .releasing) }
}
