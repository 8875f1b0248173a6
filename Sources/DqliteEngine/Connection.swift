internal import CSQLite
internal import DqliteProtocol

/// A connection of SQLite, set up as every session's is.
///
/// It is used by one thread at a time (so SQLite's own locks are left out), except that `sqlite3_interrupt` may be
/// called on its handle from any.
final class Connection {
    let handle: OpaquePointer
    let authorizer: Authorizer
    /// Whether it is the stand-in for a database that does not exist yet: empty, in memory.
    let isStandIn: Bool
    private let stopFlag: StopFlag

    /// What is opened.
    enum Source {
        /// The file; it must exist.
        case file(String)
        /// An empty database in memory, in place of a file that does not exist.
        case standIn
    }

    /// How long SQLite itself waits for a lock, in milliseconds. Sessions do not wait for one another here: only for
    /// the moment in which the log is recovered or removed, and for foreign processes.
    private static let backstop: Int32 = 5000

    /// - Parameter limits: What statements may be and do; nil for the engine's own.
    init(
        _ source: Source, authorizer: Authorizer, stopFlag: StopFlag, limits: EngineConfiguration?
    ) throws(EngineError) {
        var flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_PRIVATECACHE
        let path: String
        switch source {
        case .file(let file):
            path = file
            flags |= SQLITE_OPEN_NOFOLLOW
            self.isStandIn = false
        case .standIn:
            path = ":memory:"
            flags |= SQLITE_OPEN_CREATE
            self.isStandIn = true
        }
        var handle: OpaquePointer?
        let result = sqlite3_open_v2(path, &handle, flags, nil)
        guard let handle, result == SQLITE_OK else {
            let message = handle.map { String(cString: sqlite3_errmsg($0)) } ?? "out of memory"
            sqlite3_close_v2(handle)
            throw EngineError(code: UInt64(result), message: "the database cannot be opened: \(message)")
        }
        self.handle = handle
        self.authorizer = authorizer
        self.stopFlag = stopFlag
        if let limits { self.limit(limits) }
        try self.configure(source)
    }

    deinit { sqlite3_close_v2(self.handle) }

    private func limit(_ limits: EngineConfiguration) {
        // A function is one step to SQLite, which looks for interrupts between steps only.
        sqlite3_limit(self.handle, SQLITE_LIMIT_LENGTH, Int32(clamping: limits.maximumValueSize))
        sqlite3_limit(self.handle, SQLITE_LIMIT_SQL_LENGTH, Int32(clamping: limits.maximumSQLSize))
        sqlite3_limit(self.handle, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    }

    private func configure(_ source: Source) throws(EngineError) {
        sqlite3_busy_timeout(self.handle, Self.backstop)
        // dqlite's default, unlike SQLite's own.
        _ = dqlite_sqlite3_set(self.handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1)
        _ = dqlite_sqlite3_set(self.handle, SQLITE_DBCONFIG_DEFENSIVE, 1)
        // Addresses that are bound pass even so: the authorizer refuses the function.
        _ = dqlite_sqlite3_set(self.handle, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0)
        // Schemas stay trusted: this process gives SQLite no functions of its own that a schema could misuse, and
        // full-text tables of SQLite 3.40 cannot be filled by triggers otherwise.
        _ = dqlite_sqlite3_set(self.handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0)
        // SQLite's own default; distributions raise it.
        sqlite3_limit(self.handle, SQLITE_LIMIT_VARIABLE_NUMBER, Self.maximumParameters)
        // The most that VACUUM needs.
        sqlite3_limit(self.handle, SQLITE_LIMIT_ATTACHED, 1)
        switch source {
        case .file:
            try self.execute("PRAGMA journal_mode = WAL")
        case .standIn: break
        }
        // Both must be said: distributions build SQLite with other defaults.
        try self.execute("PRAGMA synchronous = FULL")
        try self.execute("PRAGMA journal_size_limit = 67108864")
        sqlite3_wal_autocheckpoint(self.handle, 1000)
        self.authorizer.install(on: self.handle)
        sqlite3_progress_handler(
            self.handle, 1000,
            { context in
                guard let context else { return 1 }
                return Unmanaged<StopFlag>.fromOpaque(context).takeUnretainedValue().isSet ? 1 : 0
            }, Unmanaged.passUnretained(self.stopFlag).toOpaque())
    }

    /// Parameters that a statement may have.
    static let maximumParameters: Int32 = 32766

    /// Whether no transaction is open.
    var isInAutocommit: Bool { sqlite3_get_autocommit(self.handle) != 0 }

    /// Whether the database is locked for writing by this connection.
    var isWriting: Bool { sqlite3_txn_state(self.handle, "main") == SQLITE_TXN_WRITE }

    /// The numbers that answer Exec and ExecSQL. They are the connection's: what changes neither leaves them as they
    /// were.
    var result: ResultResponse {
        ResultResponse(
            lastInsertRowID: sqlite3_last_insert_rowid(self.handle),
            rowsAffected: UInt64(max(0, sqlite3_changes64(self.handle))))
    }

    /// The text of the last error.
    var message: String { String(cString: sqlite3_errmsg(self.handle)) }

    /// Runs a statement of the engine's own.
    func execute(_ sql: String) throws(EngineError) {
        self.authorizer.isOff = true
        defer { self.authorizer.isOff = false }
        let result = sqlite3_exec(self.handle, sql, nil, nil, nil)
        if result != SQLITE_OK {
            throw EngineError(
                code: UInt64(sqlite3_extended_errcode(self.handle)),
                message: "the database cannot be used: \(self.message)")
        }
    }

    /// Rolls back what is open. No statement must be active, and nothing must interrupt the connection.
    func rollBack() {
        self.authorizer.isOff = true
        defer { self.authorizer.isOff = false }
        // A ROLLBACK that fails has found the transaction rolled back already.
        if !self.isInAutocommit { sqlite3_exec(self.handle, "ROLLBACK", nil, nil, nil) }
    }
}
