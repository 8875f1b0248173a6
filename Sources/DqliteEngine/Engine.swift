public import DqliteProtocol
public import DqliteRaft
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Replicated SQLite databases of one directory: SQL for sessions, on one side; commands for the log of consensus, and
/// commands from there, on the other.
///
/// What is acknowledged is in the log of a quorum and is applied. Database files hold nothing but what is committed, and lag
/// behind the log: after a start the entries that they may lack have to be applied again, see ``init(configuration:replicator:checkpoints:)``.
///
/// The engine runs SQL on threads of its own and blocks no caller. It changes nothing that belongs to the process: no
/// `sqlite3_config`, no global state, so the application may use SQLite too.
public final class Engine: Sendable {
    private struct State {
        /// Databases that exist or that sessions have open, and how many those are.
        ///
        /// By the bytes of the name, as file systems have it: strings are equal in Swift also when they are written
        /// differently in Unicode.
        var databases: [[UInt8]: (database: Database, sessions: Int)] = [:]
        var sessions: [UInt64: EngineSession] = [:]
        var lastSession: UInt64 = 0
        /// How far the files of databases were, until those are opened.
        var checkpoints: [String: CheckpointPosition]
        /// The newest entry that was applied, of any database.
        var appliedIndex = LogIndex.zero
        /// The term that this node leads in.
        var term: Term?
        var isRecovering = true
        /// Why the engine is closed; nil: it is not.
        var closeReason: String?
    }

    let configuration: EngineConfiguration
    let pool: WorkerPool
    let clock: AlarmClock
    /// Lanes have threads of their own: readers, however many and long, do not keep writers waiting.
    let lanePool: WorkerPool
    let checkpointPool: WorkerPool
    private let parts: EngineParts
    /// The directory, without symbolic links.
    private let directory: String
    private let state: Mutex<State>
    /// The newest entry that a file may hold a part of: nobody may read before it, and all before it, were applied.
    /// ``recovered()`` throws if it is called earlier.
    public let recoveryTarget: LogIndex

    /// An engine that serves nobody yet. It has to be given, in order and by ``apply(_:at:)``, all entries of the log that
    /// are committed, or at least those after the oldest of the `checkpoints`; then ``recovered()`` is to be called, and
    /// ``lead(in:)`` when this node leads.
    ///
    /// Creates the directory if it is missing.
    ///
    /// - Parameters:
    ///   - configuration: Limits and places.
    ///   - replicator: What orders and stores commands. It is kept until the engine is closed.
    ///   - checkpoints: How far the files of the databases are, as the log has it.
    ///   - events: Told, on any thread, what an operator may want to know. It must not block.
    /// - Throws: When the directory cannot be created or written to; when SQLite is too old, not made for threads, not one that
    ///   this project was tested with (unless allowed), or fails the self-test.
    public init(
        configuration: EngineConfiguration, replicator: any Replicator,
        checkpoints: [String: CheckpointPosition] = [:], events: @escaping @Sendable (EngineEvent) -> Void = { _ in }
    ) throws(EngineError) {
        try SQLiteVersion.check(allowsUntested: configuration.allowsUntestedSQLite)
        self.directory = try Self.openDirectory(configuration.directory)
        if configuration.time == nil { try SelfTest.run(in: self.directory) }
        self.configuration = configuration
        self.pool = WorkerPool(
            maximumThreads: configuration.maximumThreads, maximumWaiting: configuration.maximumWaitingRequests,
            idleLimit: configuration.threadIdleLimit, isStepped: configuration.time != nil)
        self.lanePool = WorkerPool(
            maximumThreads: configuration.maximumThreads, maximumWaiting: .max,
            idleLimit: configuration.threadIdleLimit, isStepped: configuration.time != nil)
        self.checkpointPool = WorkerPool(
            maximumThreads: 2, maximumWaiting: .max, idleLimit: configuration.threadIdleLimit,
            isStepped: configuration.time != nil)
        self.clock = AlarmClock(time: configuration.time)
        self.parts = EngineParts(
            configuration: configuration, pool: self.pool, lanePool: self.lanePool, checkpointPool: self.checkpointPool,
            clock: self.clock,
            replicator: replicator, events: events)
        self.state = Mutex(State(checkpoints: checkpoints))
        self.recoveryTarget = checkpoints.values.reduce(.zero) { $1.intent > $1.done ? max($0, $1.intent) : $0 }
        guard self.pool.start(), self.lanePool.start(), self.checkpointPool.start(), self.clock.start() else {
            self.pool.stop()
            self.lanePool.stop()
            self.checkpointPool.stop()
            self.clock.stop()
            throw EngineError(code: FailureCode.outOfMemory, message: "the system has no thread to give")
        }
    }

    deinit {
        // Sessions keep the engine, so there are none any more.
        self.pool.stop()
        self.lanePool.stop()
        self.checkpointPool.stop()
        self.clock.stop()
    }

    // MARK: The log's side

    /// Applies a committed entry that this node did not propose, or did before it was started again. Entries come in the
    /// order of the log, one at a time; what was applied before is passed over.
    ///
    /// - Throws: The entry is none that this version knows, or cannot be applied: the node must stop.
    public func apply(_ command: [UInt8], at index: LogIndex) throws(EngineError) {
        let result = command.withUnsafeBytes { bytes -> Result<Void, EngineError> in
            do throws(EngineError) {
                return .success(try self.apply(bytes, at: index))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private func apply(_ command: UnsafeRawBufferPointer, at index: LogIndex) throws(EngineError) {
        let view: CommandView
        do {
            view = try CommandView(command)
        } catch {
            throw EngineError(code: FailureCode.corrupt, message: "entry \(index) cannot be read: \(error)")
        }
        if case .frames(let name, let pages) = view {
            let database = try self.database(named: try DatabaseName(entry: name, at: index).file)
            try database.apply(pages, at: index)
        }
        self.passed(index)
    }

    /// A committed entry of any kind: a command is applied as by ``apply(_:at:)``, others are passed.
    public func apply(_ entry: Entry) throws(EngineError) {
        guard entry.kind == .command else { return self.passed(entry.index) }
        try self.apply(entry.data, at: entry.index)
    }

    /// An entry that is not the engine's is committed: all before it were applied.
    public func passed(_ index: LogIndex) { self.state.withLock { $0.appliedIndex = max($0.appliedIndex, index) } }

    /// All committed entries that files may lack were applied: from now on sessions may be opened.
    ///
    /// - Throws: The log lacks entries that a file holds in part: the file cannot be trusted.
    public func recovered() throws(EngineError) {
        let unfinished = self.state.withLock { state -> (String, CheckpointPosition)? in
            for (name, position) in state.checkpoints where position.intent > position.done {
                let applied = state.databases[Array(name.utf8)]?.database.state.withLock { $0.appliedIndex } ?? .zero
                if applied < position.intent { return (name, position) }
            }
            state.isRecovering = false
            return nil
        }
        guard let (name, position) = unfinished else { return }
        throw EngineError(
            code: FailureCode.corrupt,
            message:
                "the file \(self.directory)/\(name) may hold pages of entries up to \(position.intent), of which the "
                + "log has not all: restore the data directory from another node or a backup")
    }

    /// As ``recovered()``, if that was not called yet.
    public func recoveredOnce() throws(EngineError) {
        if self.state.withLock({ $0.isRecovering }) { try self.recovered() }
    }

    /// This node leads: sessions may write. Its term's own first entry, and all before it, are committed and applied.
    public func lead(in term: Term) {
        let databases = self.state.withLock { state in
            state.term = term
            return state.databases.values.map(\.database)
        }
        for database in databases { database.lead(in: term) }
    }

    /// This node leads no more: transactions that are open, and what was not proposed, are lost. To be called before any
    /// entry of another leader is applied.
    public func stepDown() {
        let databases = self.state.withLock { state in
            state.term = nil
            return state.databases.values.map(\.database)
        }
        for database in databases { database.stepDown() }
    }

    /// Leadership is about to be handed over: admits no transaction any more, ends those that are open, and waits until all
    /// that was committed on overlays is applied. Then call ``stepDown()``, or ``resumeWrites()`` when nobody took over.
    /// Must not be called from a thread of the engine.
    ///
    /// - Returns: Whether everything came to rest in time.
    public func pause(atMost limit: Duration) -> Bool {
        let end = Instant.now + limit
        let databases = self.state.withLock { $0.databases.values.map(\.database) }
        for database in databases { database.pause() }
        return databases.allSatisfy { database in
            database.quiet.withLock {
                while !database.isAtRest {
                    guard Instant.now < end else { return false }
                    // Nobody says when the lane has come to rest.
                    _ = database.quiet.wait(atMost: .milliseconds(2))
                }
                return true
            }
        }
    }

    /// Transactions are admitted again.
    public func resumeWrites() {
        for database in self.state.withLock({ $0.databases.values.map(\.database) }) { database.resumeWrites() }
    }

    /// Tells the log which entries no file needs any more. A database whose file has everything needs none.
    private func releaseEntries() {
        self.parts.replicator.release(through: self.state.withLock { Self.savedIndex(&$0) })
    }

    /// The newest entry of which it is known that all files have it, and all before it. It never falls.
    private static func savedIndex(_ state: inout State) -> LogIndex {
        // The newest entry that any has shows that all before it were applied, and are known to their databases; what
        // a file has from an earlier run does not.
        for (database, _) in state.databases.values {
            state.appliedIndex = max(state.appliedIndex, database.state.withLock { $0.newestEntry })
        }
        var saved = state.appliedIndex
        for (database, _) in state.databases.values {
            let unsaved = database.state.withLock { $0.checkpoint.oldestUnsaved }
            if let unsaved { saved = min(saved, unsaved.previous) }
        }
        return saved
    }

    /// Refuses what needs whole files, and an engine that runs.
    private static func checkOpen(_ state: borrowing State) throws(EngineError) {
        guard let reason = state.closeReason ?? (state.isRecovering ? "the node has not recovered yet" : nil) else {
            return
        }
        throw EngineError(code: FailureCode.cannotOpen, message: reason)
    }

    // MARK: Copies

    /// Begins a copy of all databases, for a node whose next entries the log has no more. Writing and checkpoints go on.
    ///
    /// - Parameter keepEntries: Called before this returns, with the index that the copy begins with, before any entry after
    ///   it can be released: whoever gets the copy needs those. It must not block, nor call the engine.
    /// - Throws: The engine is closed or has not recovered; the directory cannot be read.
    public func beginCopy(keepEntries: (LogIndex) -> Void) throws(EngineError) -> EngineCopy {
        let start = try self.state.withLock { state throws(EngineError) in
            try Self.checkOpen(state)
            let start = Self.savedIndex(&state)
            keepEntries(start)
            return start
        }
        // A database without a file holds entries after the start only, and is made of those.
        return try EngineCopy(of: self, start: start, directory: self.directory, names: Self.files(in: self.directory))
    }

    /// The newest entry of which the file of a database may hold pages, which is durable in the log of this node.
    func intent(of name: [UInt8]) throws(EngineError) -> LogIndex {
        let intent = try self.state.withLock { state throws(EngineError) in
            try Self.checkOpen(state)
            if let (database, _) = state.databases[name] { return database.state.withLock { $0.checkpoint.intent } }
            return state.checkpoints[String(decoding: name, as: UTF8.self)]?.intent ?? .zero
        }
        guard intent <= self.parts.replicator.durableIndex else {
            throw EngineError(
                code: FailureCode.corrupt,
                message: "a file holds pages of entry \(intent), which the log of this node does not have on its disk")
        }
        return intent
    }

    // MARK: Databases

    /// The database of that name, opened if it is not.
    private func database(named name: String) throws(EngineError) -> Database {
        try self.state.withLock { state throws(EngineError) in try self.database(named: name, &state) }
    }

    private func database(named name: String, _ state: inout State) throws(EngineError) -> Database {
        let key = Array(name.utf8)
        if let entry = state.databases[key] { return entry.database }
        var status = stat()
        let exists = lstat("\(self.directory)/\(name)", &status) == 0
        if exists, status.st_mode & S_IFMT == S_IFLNK {
            throw EngineError(
                code: FailureCode.cannotOpenSymbolicLink,
                message: "the database \"\(name)\" is a symbolic link: databases are files of the node")
        }
        let box = WeakEngine(self)
        let database = try Database(
            name: name, directory: self.directory, exists: exists, marks: state.checkpoints[name], parts: self.parts,
            checkLimit: { () throws(EngineError) in try box.engine?.checkLimit() },
            checkpointed: { box.engine?.releaseEntries() },
            sessions: { box.engine?.sessions(of: key) ?? [] })
        if let term = state.term { database.lead(in: term) }
        state.databases[key] = (database, 0)
        return database
    }

    private func sessions(of name: [UInt8]) -> [EngineSession] {
        self.state.withLock { $0.sessions.values.filter { Array($0.database.name.utf8) == name } }
    }

    /// Refuses to make one more database than there may be.
    private func checkLimit() throws(EngineError) {
        var names = Set(Self.files(in: self.directory))
        self.state.withLock { state in
            for (database, _) in state.databases.values where database.exists {
                names.insert(Array(database.name.utf8))
            }
        }
        guard names.count < self.configuration.maximumDatabases else {
            throw EngineError(
                code: FailureCode.full, message: "there are \(names.count) databases, which is the limit of this node")
        }
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
        let key = Array(name.file.utf8)
        return try self.state.withLock { state throws(EngineError) in
            try Self.checkOpen(state)
            let open = state.databases.count { $0.value.sessions > 0 }
            if open >= self.configuration.maximumDatabases, state.databases[key]?.sessions ?? 0 == 0 {
                throw Self.tooManyDatabases(open)
            }
            let database = try self.database(named: name.file, &state)
            if name.mode != .readWriteCreate, !database.exists {
                Self.forgetUnused(key, &state)
                throw Self.doesNotExist(text)
            }
            state.databases[key]!.sessions += 1
            state.lastSession += 1
            let session = EngineSession(
                engine: self, number: state.lastSession, database: database, mode: name.mode, encoding: encoding,
                isStateless: isStateless)
            state.sessions[session.number] = session
            return session
        }
    }

    /// A database that does not exist and that no session has open is not kept.
    private static func forgetUnused(_ key: [UInt8], _ state: inout State) {
        guard let entry = state.databases[key], entry.sessions == 0,
            // What its creator wrote before it went away may still be committed: then it exists, and this is asked after that.
            !entry.database.isUnsettled, !entry.database.exists, entry.database.close()
        else { return }
        state.databases[key] = nil
    }

    func sessionClosed(_ session: EngineSession) {
        self.state.withLock { state in
            guard state.sessions.removeValue(forKey: session.number) != nil else { return }
            let key = Array(session.database.name.utf8)
            state.databases[key]?.sessions -= 1
            Self.forgetUnused(key, &state)
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
        let database: Database
        do throws(EngineError) {
            let name = try DatabaseName(text)
            database = try self.state.withLock { state throws(EngineError) in
                try Self.checkOpen(state)
                let database = try self.database(named: name.file, &state)
                guard database.exists else {
                    Self.forgetUnused(Array(name.file.utf8), &state)
                    throw EngineError(
                        code: FailureCode.databaseNotFound, message: "database does not exist: \(name.file)")
                }
                return database
            }
        } catch {
            self.clock.perform { completion(.failure(error)) }
            return
        }
        let dump = Dump(database: database, maximumSize: self.configuration.maximumDumpSize, completion: completion)
        if !self.pool.submit(dump, isOptional: true) {
            self.clock.perform { completion(.failure(EngineError(StopReason.overloaded))) }
        }
    }

    /// Interrupts what runs, rolls back what is open, closes every session, copies into the files what they lack, and
    /// returns when that is done, or after ``EngineConfiguration/closeTimeout``. Must not be called from a thread of the engine.
    ///
    /// - Parameter reason: What those are told whose requests end for it.
    public func close(because reason: String = "the node is shutting down") {
        let end = Instant.now + self.configuration.closeTimeout
        let (sessions, wasClosed) = self.state.withLock { state in
            let wasClosed = state.closeReason != nil
            state.closeReason = state.closeReason ?? reason
            return (Array(state.sessions.values), wasClosed)
        }
        if wasClosed { return }
        let condition = Condition()
        let remaining = Mutex(sessions.count)
        for session in sessions {
            session.close(because: .engineClosing(reason)) {
                remaining.withLock { $0 -= 1 }
                condition.withLock { condition.broadcast() }
            }
        }
        condition.withLock {
            while remaining.withLock({ $0 }) > 0, Instant.now < end {
                _ = condition.wait(atMost: end - .now)
            }
        }
        let databases = self.state.withLock { $0.databases.values.map(\.database) }
        for database in databases { database.finish(by: end) }
        self.pool.stop()
        self.lanePool.stop()
        self.checkpointPool.stop()
        for pool in [self.pool, self.lanePool, self.checkpointPool] {
            _ = pool.waitUntilStopped(atMost: max(.zero, end - .now))
        }
        // A checkpoint that takes longer must not tell the log of a file that is another one by then.
        self.parts.marks.close()
        self.clock.stop()
        // Who told of a commit may be about to let go of its batch. What something holds for longer is left to the end of
        // the process.
        for database in databases {
            while !database.close(), Instant.now < end {
                condition.withLock { _ = condition.wait(atMost: .milliseconds(1)) }
            }
        }
        self.state.withLock { $0.databases.removeAll() }
    }

    /// Sessions that are not closed.
    var openSessions: [EngineSession] { self.state.withLock { Array($0.sessions.values) } }

    /// Closes all files.
    ///
    /// - Returns: Whether nothing had one open.
    func closeDatabases() -> Bool {
        self.state.withLock { state in
            let isClosed = state.databases.values.allSatisfy { $0.database.close() }
            state.databases.removeAll()
            return isClosed
        }
    }
}

/// For the closures of databases, which the engine owns.
private final class WeakEngine: @unchecked Sendable {
    weak let engine: Engine?

    init(_ engine: Engine) { self.engine = engine }
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

    /// The names of the files that are databases.
    private static func files(in directory: String) -> [[UInt8]] {
        guard let entries = opendir(directory) else { return [] }
        defer { closedir(entries) }
        var names: [[UInt8]] = []
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != "..", !DatabaseName.reservedSuffixes.contains(where: { name.hasSuffix($0) }) {
                names.append(Array(name.utf8))
            }
        }
        return names
    }
}
