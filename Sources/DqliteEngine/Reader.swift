internal import DqliteRaft
internal import Synchronization

/// A connection on the committed view, and what was compiled for it.
///
/// Sessions share these, each for as long as a request takes: what only reads leaves nothing behind on a connection, so
/// that it may be anybody's. Pages and statements that all ask for are so in memory once, and near.
///
/// @unchecked: it is touched only by who has taken it out of the idle ones, a session's slice or the job that closes it, and
/// is given back last of all; their lock orders one before the next.
final class Reader: @unchecked Sendable {
    /// What was compiled for SQL text that came with a request, and for statements that sessions have prepared: who sends
    /// ever other texts does not drive out what others have prepared. (Before the connection, so that they go first.)
    var statements: StatementCache
    var prepared: StatementCache
    let connection: Connection

    init(connection: Connection, statementCapacity: Int) {
        self.statements = StatementCache(capacity: statementCapacity)
        self.prepared = StatementCache(capacity: statementCapacity)
        self.connection = connection
    }
}

/// Connections for reading that no session uses.
struct IdleReaders {
    /// The one that was used last is at the end, and is taken first.
    private(set) var readers: [Reader] = []
    /// How many have not been used since they were looked at last.
    private var unused = 0
    /// When they are looked at next; nil: there was none when that was asked last.
    var deadline: Instant?

    mutating func take() -> Reader? {
        let reader = self.readers.popLast()
        self.unused = min(self.unused, self.readers.count)
        return reader
    }

    mutating func add(_ reader: Reader) { self.readers.append(reader) }

    /// Takes out those that have not been used since this was called last.
    mutating func takeUnused() -> [Reader] {
        let unused = Array(self.readers.prefix(self.unused))
        self.readers.removeFirst(self.unused)
        self.unused = self.readers.count
        return unused
    }

    mutating func takeAll() -> [Reader] {
        defer { (self.readers, self.unused) = ([], 0) }
        return self.readers
    }
}

// What is closed is closed outside of the lock: by the caller, as the last who has it.
extension Database {
    /// Takes the idle connection for reading that was used last.
    func takeReader() -> Reader? { self.idleReaders.withLock { $0.take() } }

    /// Gives back a connection for reading. It is closed when enough of them are idle, and, as the last line of defence, if
    /// something is still open on it: others would be shown an old snapshot.
    func giveBack(_ reader: Reader) {
        guard reader.connection.isInAutocommit, !reader.connection.hasSnapshot else { return }
        let limit = self.parts.configuration.maximumIdleReaders
        let isWatched = self.idleReaders.withLock { idle in
            if idle.readers.count < limit { idle.add(reader) }
            return idle.deadline != nil || idle.readers.isEmpty
        }
        if isWatched { return }
        let deadline = self.parts.clock.now + Self.readerIdleLimit
        self.idleReaders.withLock { $0.deadline = deadline }
        self.callAgain(at: deadline)
    }

    /// Closes the connections for reading that have not been used for a while.
    func closeUnusedReaders(now: Instant) {
        let (unused, deadline) = self.idleReaders.withLock { idle -> ([Reader], Instant?) in
            guard let deadline = idle.deadline, deadline <= now else { return ([], idle.deadline) }
            let unused = idle.takeUnused()
            idle.deadline = idle.readers.isEmpty ? nil : now + Self.readerIdleLimit
            return (unused, idle.deadline)
        }
        if let deadline { self.callAgain(at: deadline) }
        // Not on the clock's thread: what they have compiled may be much.
        if !unused.isEmpty { _ = self.parts.pool.submit(Closing(unused), isOptional: false) }
    }

    /// Closes the connections for reading that nobody uses.
    func closeIdleReaders() {
        _ = self.idleReaders.withLock { $0.takeAll() }
    }

    /// Closes connections on a thread of the pool.
    private final class Closing: Job {
        private let readers: Mutex<[Reader]?>

        init(_ readers: [Reader]) { self.readers = Mutex(readers) }

        func runJob() { _ = self.readers.withLock { $0.take() } }
    }

    /// After between one and two times this a connection for reading that nobody uses is closed.
    static let readerIdleLimit = Duration.seconds(30)
}
