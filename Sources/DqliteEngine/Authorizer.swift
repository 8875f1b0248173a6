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
        /// Whether it is BEGIN, COMMIT, ROLLBACK, SAVEPOINT or RELEASE.
        var isTransactionControl = false
        /// Whether it ends a transaction by COMMIT, END or RELEASE.
        var mayCommit = false
    }

    private let isStateless: Bool
    private let maximumCacheSize: Int
    /// The reason of the last refusal.
    var refusal: String?
    var findings = Findings()
    /// VACUUM runs statements of its own, among them BEGIN, and ATTACH of a database without a name. Nothing else may.
    var isVacuuming = false
    /// What the engine does for itself is not judged.
    var isOff = false

    init(isStateless: Bool, maximumCacheSize: Int) {
        self.isStateless = isStateless
        self.maximumCacheSize = maximumCacheSize
    }

    /// Makes it the authorizer of a connection, which must not outlive it.
    func install(on connection: OpaquePointer) {
        sqlite3_set_authorizer(
            connection,
            { context, action, first, second, _, _ in
                guard let context else { return SQLITE_DENY }
                let authorizer = Unmanaged<Authorizer>.fromOpaque(context).takeUnretainedValue()
                return authorizer.allows(action, first, second) ? SQLITE_OK : SQLITE_DENY
            }, Unmanaged.passUnretained(self).toOpaque())
    }

    private func refuse(_ reason: String) -> Bool {
        self.refusal = reason
        return false
    }

    private func allows(_ action: Int32, _ first: UnsafePointer<CChar>?, _ second: UnsafePointer<CChar>?) -> Bool {
        if self.isOff { return true }
        if self.isVacuuming, action != SQLITE_ATTACH { return true }
        switch action {
        // By far the most frequent.
        case SQLITE_READ, SQLITE_SELECT:
            return true
        case SQLITE_INSERT, SQLITE_UPDATE, SQLITE_DELETE, SQLITE_CREATE_INDEX, SQLITE_CREATE_TABLE,
            SQLITE_CREATE_TRIGGER, SQLITE_CREATE_VIEW, SQLITE_CREATE_VTABLE, SQLITE_DROP_INDEX, SQLITE_DROP_TABLE,
            SQLITE_DROP_TRIGGER, SQLITE_DROP_VIEW, SQLITE_DROP_VTABLE, SQLITE_ALTER_TABLE, SQLITE_REINDEX,
            SQLITE_ANALYZE, SQLITE_RECURSIVE:
            return true
        case SQLITE_FUNCTION:
            guard let second, sqlite3_stricmp(second, "load_extension") == 0 else { return true }
            return self.refuse("load_extension is refused: a node runs no code that its clients bring")
        case SQLITE_TRANSACTION, SQLITE_SAVEPOINT:
            return self.allowsTransactionControl(action, first)
        case SQLITE_CREATE_TEMP_INDEX, SQLITE_CREATE_TEMP_TABLE, SQLITE_CREATE_TEMP_TRIGGER, SQLITE_CREATE_TEMP_VIEW,
            SQLITE_DROP_TEMP_INDEX, SQLITE_DROP_TEMP_TABLE, SQLITE_DROP_TEMP_TRIGGER, SQLITE_DROP_TEMP_VIEW:
            guard self.isStateless else { return true }
            return self.refuse("TEMP objects need a session: requests without one leave nothing behind")
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
            self.findings.pragmaWrites = writes
            return true
        case .setting:
            if self.isStateless {
                return self.refuse(
                    "PRAGMA \(name) cannot be set without a session: requests without one leave nothing behind")
            }
            self.findings.pragmaIsSetting = true
            return true
        case .refused(let reason):
            return self.refuse(reason)
        }
    }
}
