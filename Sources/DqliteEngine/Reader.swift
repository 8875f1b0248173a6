internal import Synchronization

/// A connection on the committed view, and what was compiled for it.
///
/// Sessions share these, each for as long as a request takes: what only reads leaves nothing behind on a connection, so
/// that it may be anybody's. Pages and statements that all ask for are so in memory once, and near.
///
/// @unchecked: it is touched only by the session that has taken it; the lock of the idle ones orders one before the next.
final class Reader: @unchecked Sendable {
    let connection: Connection
    var statements: StatementCache

    init(connection: Connection, statementCapacity: Int) {
        self.connection = connection
        self.statements = StatementCache(capacity: statementCapacity)
    }
}

extension Database {
    /// Takes the idle connection for reading that was used last.
    func takeReader() -> Reader? { self.idleReaders.withLock { $0.popLast() } }

    /// Gives back a connection for reading. It is closed when enough of them are idle, and, as the last line of defence, if
    /// something is still open on it: others would be shown an old snapshot.
    func giveBack(_ reader: Reader) {
        guard reader.connection.isInAutocommit, !reader.connection.hasSnapshot else { return }
        let limit = self.parts.configuration.maximumIdleReaders
        // What is closed is closed outside of the lock.
        self.idleReaders.withLock { if $0.count < limit { $0.append(reader) } }
    }

    /// Closes the connections for reading that nobody uses.
    func closeIdleReaders() {
        let readers = self.idleReaders.withLock { readers in
            defer { readers = [] }
            return readers
        }
        withExtendedLifetime(readers) {}
    }
}
