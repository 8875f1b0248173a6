internal import CSQLite
public import DqliteProtocol
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// SQL over databases of one directory, each a file of SQLite in WAL mode with `synchronous=FULL`: what was
/// acknowledged survives a crash and a loss of power.
///
/// The engine runs SQL on threads of its own and blocks no caller. It changes nothing that belongs to the process: no
/// `sqlite3_config`, no global state, so the application may use SQLite too.
public final class Engine: Sendable {
    private struct State {
        /// Databases that sessions have open, and by how many.
        ///
        /// By the bytes of the name, as file systems have it: strings are equal in Swift also when they are written
        /// differently in Unicode.
        var databases: [[UInt8]: (database: Database, sessions: Int)] = [:]
        var sessions: [UInt64: EngineSession] = [:]
        var lastSession: UInt64 = 0
        var isClosed = false
    }

    let configuration: EngineConfiguration
    let pool: WorkerPool
    let clock: AlarmClock
    /// The directory, without symbolic links.
    private let directory: String
    private let state = Mutex(State())

    /// Creates the directory if it is missing.
    ///
    /// - Throws: When the directory cannot be created or written to, and when SQLite is too old or not made for
    ///   threads.
    public init(configuration: EngineConfiguration) throws(EngineError) {
        try SQLiteVersion.check()
        self.directory = try Self.openDirectory(configuration.directory)
        Database.removeUnfinished(in: self.directory)
        self.configuration = configuration
        self.pool = WorkerPool(
            maximumThreads: configuration.maximumThreads, maximumWaiting: configuration.maximumWaitingRequests,
            idleLimit: configuration.threadIdleLimit)
        self.clock = AlarmClock()
        guard self.pool.start(), self.clock.start() else {
            self.pool.stop()
            self.clock.stop()
            throw EngineError(code: FailureCode.outOfMemory, message: "the system has no thread to give")
        }
    }

    deinit {
        // Sessions keep the engine, so there are none any more.
        self.pool.stop()
        self.clock.stop()
    }

    /// Begins a session on a database. Nothing is created on disk: the database exists from its first write. The
    /// session must be closed.
    ///
    /// - Parameters:
    ///   - database: A plain file name, or `file:NAME?mode=…` with `ro`, `rw` or `rwc`.
    ///   - encoding: What the session's requests are read from and its results are written in.
    ///   - isStateless: Whether each request is a transaction of its own that leaves nothing behind: BEGIN, SAVEPOINT,
    ///     Prepare, TEMP objects and settings of the connection are refused. `last_insert_rowid()` begins at 0 in each
    ///     request; the functions `changes()` and `total_changes()` go on from the request before.
    /// - Throws: SQLITE_CANTOPEN (14) for a name that is refused, and for a database that does not exist with `mode=ro`
    ///   or
    ///   `mode=rw`; SQLITE_FULL (13) when too many databases are open.
    public func openSession(
        database text: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> EngineSession {
        let name = try DatabaseName(text)
        let (session, error) = self.state.withLock { state -> (EngineSession?, EngineError?) in
            if state.isClosed {
                return (nil, EngineError(code: FailureCode.cannotOpen, message: "the node is shutting down"))
            }
            let key = Array(name.file.utf8)
            let database = state.databases[key]?.database ?? self.database(name.file)
            if name.mode != .readWriteCreate, !database.exists {
                return (nil, Self.doesNotExist(text))
            }
            if state.databases[key] == nil, state.databases.count >= self.configuration.maximumDatabases {
                return (nil, Self.tooManyDatabases(state.databases.count))
            }
            state.databases[key, default: (database, 0)].sessions += 1
            state.lastSession += 1
            let session = EngineSession(
                engine: self, number: state.lastSession, database: database, mode: name.mode, encoding: encoding,
                isStateless: isStateless)
            state.sessions[session.number] = session
            return (session, nil)
        }
        if let session { return session }
        throw error ?? Self.doesNotExist(text)
    }

    private func database(_ name: String) -> Database {
        Database(
            name: name, directory: self.directory, writeTimeout: self.configuration.writeTimeout, clock: self.clock)
    }

    func sessionClosed(_ session: EngineSession) {
        self.state.withLock { state in
            guard state.sessions.removeValue(forKey: session.number) != nil else { return }
            let name = Array(session.database.name.utf8)
            guard let entry = state.databases[name] else { return }
            if entry.sessions == 1 {
                state.databases[name] = nil
            } else {
                state.databases[name]?.sessions -= 1
            }
        }
    }

    /// Copies a database, with everything committed folded in, into one file; beside it an empty one named like its
    /// WAL.
    ///
    /// Fails with 1002 when there is no such database, and with SQLITE_TOOBIG (18) when it is larger than
    /// ``EngineConfiguration/maximumDumpSize``: the copy is made in memory. `completion` is called on a thread of the
    /// engine.
    public func dump(
        database text: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void
    ) {
        let path: (name: String, path: String)
        do throws(EngineError) {
            let name = try DatabaseName(text)
            path = (name.file, "\(self.directory)/\(name.file)")
        } catch {
            self.clock.perform { completion(.failure(error)) }
            return
        }
        let dump = Dump(
            name: path.name, path: path.path, maximumSize: self.configuration.maximumDumpSize, completion: completion)
        if !self.pool.submit(dump, isOptional: true) {
            self.clock.perform { completion(.failure(EngineError(StopReason.overloaded))) }
        }
    }

    /// Interrupts what runs, rolls back what is open, closes every session, and returns when that is done, or after
    /// ``EngineConfiguration/closeTimeout``. Must not be called from a thread of the engine.
    public func close() {
        let end = ContinuousClock.now + self.configuration.closeTimeout
        let sessions = self.state.withLock { state in
            state.isClosed = true
            return Array(state.sessions.values)
        }
        let condition = Condition()
        let remaining = Mutex(sessions.count)
        for session in sessions {
            session.close {
                remaining.withLock { $0 -= 1 }
                condition.withLock { condition.broadcast() }
            }
        }
        condition.withLock {
            while remaining.withLock({ $0 }) > 0, ContinuousClock.now < end {
                _ = condition.wait(atMost: ContinuousClock.now.duration(to: end))
            }
        }
        self.pool.stop()
        _ = self.pool.waitUntilStopped(atMost: max(.zero, ContinuousClock.now.duration(to: end)))
        self.clock.stop()
    }
}

extension Engine {
    private static func doesNotExist(_ name: String) -> EngineError {
        EngineError(
            code: FailureCode.cannotOpen,
            message: "the database \"\(name)\" does not exist; its mode does not let the first write create it")
    }

    private static func tooManyDatabases(_ count: Int) -> EngineError {
        EngineError(code: FailureCode.full, message: "\(count) databases are open, which is the limit of this node")
    }

    /// Creates the directory if it is missing, and looks whether files can be made in it.
    ///
    /// - Returns: Its path without symbolic links: SQLite is told to follow none, so that nobody can plant one.
    private static func openDirectory(_ path: String) throws(EngineError) -> String {
        func failure(_ what: String) -> EngineError {
            EngineError(
                code: FailureCode.cannotOpen,
                message: "the directory \(path) \(what): \(String(cString: strerror(errno)))")
        }
        if mkdir(path, 0o700) != 0, errno != EEXIST { throw failure("cannot be created") }
        guard let real = realpath(path, nil) else { throw failure("cannot be opened") }
        defer { free(real) }
        var status = stat()
        guard stat(real, &status) == 0 else { throw failure("cannot be opened") }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            errno = ENOTDIR
            throw failure("is none")
        }
        guard access(real, R_OK | W_OK | X_OK) == 0 else { throw failure("cannot be written to") }
        return String(cString: real)
    }
}
