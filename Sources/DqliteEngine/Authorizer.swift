internal import CSQLite

/// Decides what a statement may do while SQLite compiles it, and notes what it does.
///
/// SQLite's own text for a refusal is "not authorized"; the reason is kept here for the answer.
///
/// It belongs to one connection and is used by the thread that uses the connection.
final class Authorizer {
    /// What was noticed while a statement was compiled.
    struct Findings {
        /// The PRAGMA that it is.
        var pragma: String?
        /// Whether that PRAGMA changes the database, and not only how this connection behaves.
        var pragmaWrites = false
        /// Whether that PRAGMA changes how this connection behaves.
        var pragmaIsSetting = false
        /// Whether that PRAGMA tells the same on every connection, and changes nothing.
        var pragmaIsOfDatabase = false
        /// Whether it reads what is TEMP, or what only the session's own connection knows.
        var needsConnection = false
        /// Whether it is BEGIN, COMMIT, ROLLBACK, SAVEPOINT or RELEASE.
        var isTransactionControl = false
        /// Whether it ends a transaction by COMMIT, END or RELEASE.
        var mayCommit = false
        /// Whether it changes what is TEMP, and whether it changes anything else.
        var changesTemporary = false
        var changesDatabase = false
    }

    /// What the session is allowed that uses the connection.
    var isStateless: Bool
    var isReadOnly: Bool
    private let maximumCacheSize: Int
    private let view: Connection.View
    /// The reason of the last refusal.
    var refusal: String?
    var findings = Findings()
    /// VACUUM runs statements of its own, among them BEGIN, and ATTACH of a database without a name. Nothing else may.
    var isVacuuming = false
    /// What the engine does for itself is not judged.
    var isOff = false
    /// Set while a statement runs that was compiled to change nothing but TEMP, without the turn to write. SQLite may
    /// compile it again in the middle, when the schema has changed, and functions may run statements of their own.
    var deniesChanges = false
    /// Whether something was refused because of that.
    var hasDeniedChange = false
    /// Whether a statement is compiled for the first time. SQLite compiles it anew, while it runs, when the schema has changed.
    var isCompiling = false
    /// Whether, on the committed view, something was refused that only the session's own connection can answer.
    var needsOverlay = false

    init(isStateless: Bool, isReadOnly: Bool, maximumCacheSize: Int, view: Connection.View) {
        self.view = view
        self.isStateless = isStateless
        self.isReadOnly = isReadOnly
        self.maximumCacheSize = maximumCacheSize
    }

    /// Makes it the authorizer of a connection, which must not outlive it.
    func install(on connection: OpaquePointer) {
        sqlite3_set_authorizer(
            connection,
            { context, action, first, second, database, _ in
                guard let context else { return SQLITE_DENY }
                let authorizer = Unmanaged<Authorizer>.fromOpaque(context).takeUnretainedValue()
                return authorizer.allows(action, first, second, database) ? SQLITE_OK : SQLITE_DENY
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func refuse(_ reason: String) -> Bool {
        self.refusal = reason
        return false
    }

    private func allows(
        _ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?,
        _ database: UnsafePointer<CChar>?
    ) -> Bool {
        if self.isOff { return true }
        if self.isVacuuming, action != SQLITE_ATTACH { return true }
        switch action {
        // By far the most frequent.
        case SQLITE_READ:
            if let database, database[0] == 0x74, sqlite3_stricmp(database, "temp") == 0 {
                self.findings.needsConnection = true
            }
            // Tables of this name are SQLite's own; the names of other modules may be those of somebody's tables.
            guard let first, sqlite3_strnicmp(first, "sqlite_", 7) == 0 else { return true }
            return self.allowsModule(first)
        case SQLITE_SELECT, SQLITE_RECURSIVE:
            return true
        case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE, SQLITE_CREATE_INDEX, SQLITE_CREATE_TABLE,
            SQLITE_CREATE_TRIGGER, SQLITE_CREATE_VIEW, SQLITE_DROP_INDEX, SQLITE_DROP_TABLE, SQLITE_DROP_TRIGGER,
            SQLITE_DROP_VIEW, SQLITE_DROP_VTABLE, SQLITE_REINDEX, SQLITE_ANALYZE:
            return self.allowsChange(of: database)
        case SQLITE_ALTER_TABLE:
            return self.allowsChange(of: first)
        case SQLITE_CREATE_VTABLE:
            if self.isStateless, let database, sqlite3_stricmp(database, "temp") == 0 {
                return self.refuse(Self.noTemporaryObjects)
            }
            return self.allowsModule(second) && self.allowsChange(of: database)
        case SQLITE_FUNCTION:
            return self.allowsFunction(second)
        case SQLITE_TRANSACTION, SQLITE_SAVEPOINT:
            return self.allowsTransactionControl(action, first)
        case SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER, SQLITE_CREATE_TEMP_VIEW,
            SQLITE_DROP_TEMP_INDEX, SQLITE_DROP_TEMP_TABLE, SQLITE_DROP_TEMP_TRIGGER, SQLITE_DROP_TEMP_VIEW:
            if self.isStateless { return self.refuse(Self.noTemporaryObjects) }
            self.findings.changesTemporary = true
            return true
        case SQLITE_PRAGMA:
            return self.allowsPragma(first.map { String(cString: $0) } ?? "", second.map { String(cString: $0) })
        case SQLITE_ATTACH:
            if self.isVacuuming {
                if let first, first[0] == 0 { return true }
                return self.refuse("VACUUM INTO is refused: it would write a file on the node; ask for a dump instead")
            }
            return self.refuse(
                "ATTACH is refused: a transaction over several databases would not be atomic; open a session on each")
        case SQLITE_DETACH:
            return self.refuse("DETACH is refused: a session has one database")
        default:
            return self.refuse("the statement does what this node does not know (action \(action)), and is refused")
        }
    }

    private static let noTemporaryObjects =
        "TEMP objects need a session: requests without one leave nothing behind"

    private func allowsChange(of database: UnsafePointer<CChar>?) -> Bool {
        if let database, sqlite3_stricmp(database, "temp") == 0 {
            self.findings.changesTemporary = true
            return true
        }
        self.findings.changesDatabase = true
        return self.allowsChange()
    }

    private func allowsChange() -> Bool {
        guard self.deniesChanges else { return true }
        self.hasDeniedChange = true
        return self.refuse("the statement changes the database in a way that could not be foreseen, and is refused")
    }

    private func allowsFunction(_ name: UnsafePointer<CChar>?) -> Bool {
        guard let name else { return true }
        if Self.ownFunctions.contains(where: { sqlite3_stricmp(name, $0) == 0 }) {
            self.findings.needsConnection = true
            // A view may have come to call it since the statement was compiled.
            if self.view == .committed, !self.isCompiling { return self.isForOverlay() }
        }
        guard let (refused, reason) = Self.functions.first(where: { sqlite3_stricmp(name, $0.name) == 0 })
        else { return true }
        return self.refuse("\(refused) is refused: \(reason)")
    }

    private func allowsModule(_ name: UnsafePointer<CChar>?) -> Bool {
        guard let name, let (refused, reason) = Self.modules.first(where: { sqlite3_stricmp(name, $0.name) == 0 })
        else { return true }
        return self.refuse("\(refused) is refused: \(reason)")
    }

    /// Functions that tell what the session's own connection has done.
    private static let ownFunctions = ["last_insert_rowid", "changes", "total_changes"]

    /// Functions that nobody may call. Some exist only in SQLite's own shell or in some builds.
    private static let functions: [(name: String, reason: String)] = [
        ("load_extension", "a node runs no code that its clients bring"),
        // It tells addresses, and calls whatever address it is given; a bound one even where it is switched off.
        ("fts3_tokenizer", "it gives and takes addresses of code in the node"),
        // A SELECT that writes.
        ("optimize", "it changes the table inside a SELECT; use INSERT INTO t (t) VALUES ('optimize')"),
        ("edit", "a node starts no programs for its clients"),
        ("readfile", "the files of a node are not its clients'"),
        ("writefile", "the files of a node are not its clients'"),
        // A SELECT that changes the connection, which others read on too; in some builds only.
        ("icu_load_collation", "it changes the connection; a node's collations are SQLite's own"),
        ("lsmode", "the files of a node are not its clients'"),
        ("sqlite_log", "the log of the process is the node's"),
    ]

    /// Modules of virtual tables that nobody may use.
    private static let modules: [(name: String, reason: String)] = [
        ("sqlite_dbpage", "the pages of a database are the node's to read and write"),
        // Requests without a session share connections, whose statements tell what others have asked.
        ("sqlite_stmt", "it shows statements of other requests"),
        ("fsdir", "the files of a node are not its clients'"),
        ("zipfile", "the files of a node are not its clients'"),
        ("csv", "the files of a node are not its clients'"),
        ("completion", "it belongs to SQLite's shell"),
    ]

    private func allowsTransactionControl(_ action: Int32, _ operation: UnsafePointer<CChar>?) -> Bool {
        let operation = operation.map { String(cString: $0) } ?? ""
        if self.isStateless {
            let name = action == SQLITE_SAVEPOINT && operation == "BEGIN" ? "SAVEPOINT" : operation
            return self.refuse("\(name) needs a session: without one each request is a transaction of its own")
        }
        self.findings.isTransactionControl = true
        if operation == "COMMIT" || operation == "RELEASE" { self.findings.mayCommit = true }
        return true
    }

    private func allowsPragma(_ name: String, _ argument: String?) -> Bool {
        self.findings.pragma = name
        switch PragmaPolicy.decide(name, argument: argument, maximumCacheSize: self.maximumCacheSize) {
        case .allowed(let writes):
            self.findings.pragmaIsOfDatabase = !writes && PragmaPolicy.isOfDatabase(name)
            if self.view == .committed, !self.findings.pragmaIsOfDatabase { return self.isForOverlay() }
            self.findings.pragmaWrites = writes
            return writes ? self.allowsChange() : true
        case .setting:
            if self.isStateless {
                return self.refuse(
                    "PRAGMA \(name) cannot be set without a session: requests without one leave nothing behind")
            }
            if self.isReadOnly, name.lowercased() == "query_only" {
                return self.refuse("PRAGMA query_only cannot be set: the database was opened with mode=ro")
            }
            // Some set what they set while they are compiled.
            if self.view == .committed { return self.isForOverlay() }
            self.findings.pragmaIsSetting = true
            return true
        case .refused(let reason):
            return self.refuse(reason)
        }
    }

    private func isForOverlay() -> Bool {
        self.needsOverlay = true
        return self.refuse("this is answered by the session's own connection")
    }
}
