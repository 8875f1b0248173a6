internal import CReplicaPager
internal import CSQLite
internal import DqliteProtocol

/// A connection of SQLite on a view of a database, set up as every session's is.
///
/// It is used by one thread at a time (so SQLite's own locks are left out), except that `sqlite3_interrupt` may be
/// called on its handle from any.
final class Connection {
    /// What it shows.
    enum View {
        /// What consensus has committed. Nothing can be written.
        case committed
        /// Also what the transactions of this leader have done that are not committed yet.
        case overlay
    }

    let handle: OpaquePointer
    let view: View
    let authorizer: Authorizer
    let progress: Progress
    let defects: EngineDefects

    /// - Parameter limits: What statements may be and do; nil for the engine's own.
    init(
        _ view: View, of pager: Pager, authorizer: Authorizer, stopFlag: StopFlag, limits: EngineConfiguration?
    ) throws(EngineError) {
        var handle: OpaquePointer?
        let result = rp_connection_open(pager.handle, view == .overlay ? RP_OVERLAY : RP_COMMITTED, &handle)
        guard let handle, result == SQLITE_OK else {
            if result == RP_NOT_LEADER { throw OverlayLoss.leadershipLost.error(outcome: .notCommitted) }
            throw EngineError(
                code: UInt64(result),
                message: "the database cannot be opened: \(String(cString: sqlite3_errstr(result)))")
        }
        self.handle = handle
        self.view = view
        self.authorizer = authorizer
        self.progress = Progress(stopFlag: stopFlag)
        self.defects = limits?.defects ?? []
        if let limits { self.limit(limits) }
        try self.configure()
    }

    // Its statements are gone, or go with it; but a database closes only when its connections are closed.
    deinit { sqlite3_close_v2(self.handle) }

    private func limit(_ limits: EngineConfiguration) {
        // A function is one step to SQLite, which looks for interrupts between steps only.
        sqlite3_limit(self.handle, SQLITE_LIMIT_LENGTH, Int32(clamping: limits.maximumValueSize))
        sqlite3_limit(self.handle, SQLITE_LIMIT_SQL_LENGTH, Int32(clamping: limits.maximumSQLSize))
        sqlite3_limit(self.handle, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000)
    }

    private func configure() throws(EngineError) {
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
        // In KiB. A page that is not in the cache is in the WAL in memory, or in the system's memory. Every session that
        // writes has an overlay, whose cache is dropped as soon as another session commits; readers are few.
        try self.execute("PRAGMA cache_size = \(self.view == .overlay ? -512 : -2048)")
        self.authorizer.install(on: self.handle)
        sqlite3_progress_handler(
            self.handle, Progress.interval,
            { context in
                guard let context else { return 1 }
                return Unmanaged<Progress>.fromOpaque(context).takeUnretainedValue().goesOn() ? 0 : 1
            }, Unmanaged.passUnretained(self.progress).toOpaque())
    }

    /// Parameters that a statement may have.
    static let maximumParameters: Int32 = 32766

    /// Whether no transaction is open.
    var isInAutocommit: Bool { sqlite3_get_autocommit(self.handle) != 0 }

    /// Whether the database is locked for writing by this connection.
    var isWriting: Bool { sqlite3_txn_state(self.handle, "main") == SQLITE_TXN_WRITE }

    /// Whether a transaction has a snapshot of the database.
    var hasSnapshot: Bool { sqlite3_txn_state(self.handle, "main") != SQLITE_TXN_NONE }

    /// The numbers that answer Exec and ExecSQL. They are the connection's: what changes neither leaves them as they
    /// were.
    var result: ResultResponse {
        ResultResponse(
            lastInsertRowID: sqlite3_last_insert_rowid(self.handle),
            rowsAffected: UInt64(max(0, sqlite3_changes64(self.handle))))
    }

    /// The text of the last error.
    var message: String { String(cString: sqlite3_errmsg(self.handle)) }

    /// The sequence number that must have been applied before anybody may see what this connection has shown. nil: the
    /// overlay is void, and with it all that was shown.
    var gate: UInt64? {
        var sequence: UInt64 = 0
        return rp_connection_gate(self.handle, &sequence) == SQLITE_OK ? sequence : nil
    }

    /// Whether a transaction was larger than allowed, since this was asked last.
    func takeLimitHit() -> Bool { rp_connection_take_limit_hit(self.handle) }

    /// Whether reads may wait for the disk. If not, ``takeWaitHit()`` tells that one would have.
    var waits = true {
        didSet { if self.waits != oldValue { rp_connection_set_waits(self.handle, self.waits) } }
    }

    func takeWaitHit() -> Bool { rp_connection_take_wait_hit(self.handle) }

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
