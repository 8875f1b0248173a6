internal import CSQLite
internal import DqliteProtocol
internal import DqliteWire

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A compiled statement of a connection, which must outlive it.
final class Statement {
    /// What must be known before the first step.
    struct Traits: OptionSet {
        let rawValue: UInt16
        /// It changes, or locks, the database: it needs the turn to write, unless what it changes is TEMP.
        static let writes = Traits(rawValue: 1)
        /// It is a PRAGMA: some do what they do while they are compiled, so that it must be compiled each time.
        static let isPragma = Traits(rawValue: 2)
        /// It changes how this connection behaves.
        static let isSetting = Traits(rawValue: 4)
        /// It begins, ends or marks a transaction.
        static let isTransactionControl = Traits(rawValue: 8)
        /// It may end a transaction by committing it.
        static let mayCommit = Traits(rawValue: 16)
        static let isVacuum = Traits(rawValue: 32)
        /// What it changes is TEMP: it needs no turn.
        static let isTemporary = Traits(rawValue: 64)
        /// It inserts, updates or deletes rows, and counts them.
        static let changesRows = Traits(rawValue: 128)
        /// It cannot run on the committed view: it changes something, or depends on what the session's own connection
        /// has done. (sqlite3_stmt_readonly alone does not tell: it is 1 for BEGIN, and for PRAGMAs that set something.)
        static let needsOverlay = Traits(rawValue: 256)
        /// It changes what is TEMP, alone or beside the database.
        static let changesTemporary = Traits(rawValue: 512)
    }

    let handle: OpaquePointer
    let traits: Traits
    let parameterCount: Int
    /// How many columns the result had when it was last run.
    private(set) var columnCount: Int
    private var columnTypes: [ColumnType] = []
    /// Whether who runs it now makes a difference between declared types.
    private var hasColumnTypes = false
    /// Whether it has taken longer, the last time, than may be on the thread of a caller.
    var isLong = false
    /// How often SQLite had compiled it again when the types were read.
    private var compilations: Int32 = -1

    private init(handle: OpaquePointer, traits: Traits) {
        self.handle = handle
        self.traits = traits
        self.parameterCount = Int(sqlite3_bind_parameter_count(handle))
        self.columnCount = Int(sqlite3_column_count(handle))
    }

    deinit { sqlite3_finalize(self.handle) }

    /// What came of compiling.
    struct Compiled {
        /// nil: the text holds no statement.
        var statement: Statement?
        /// Where the text after the statement begins.
        var tail: Int
    }

    /// Compiles the first statement of `sql`, which begins at `start`.
    ///
    /// - Throws: SQLite's result code.
    static func compile(
        _ sql: UnsafeRawBufferPointer, from start: Int, on connection: Connection, keep: Bool
    ) throws(ResultCode) -> Compiled {
        let text = UnsafeRawBufferPointer(rebasing: sql[start...])
        guard let address = text.baseAddress?.assumingMemoryBound(to: CChar.self), !text.isEmpty else {
            return Compiled(statement: nil, tail: sql.count)
        }
        guard text.count < Int(Int32.max) else { throw ResultCode(SQLITE_TOOBIG) }
        let authorizer = connection.authorizer
        authorizer.findings = Authorizer.Findings()
        authorizer.refusal = nil
        authorizer.needsOverlay = false
        var handle: OpaquePointer?
        var end: UnsafePointer<CChar>?
        authorizer.isCompiling = true
        defer { authorizer.isCompiling = false }
        let result = sqlite3_prepare_v3(
            connection.handle, address, Int32(text.count), keep ? UInt32(SQLITE_PREPARE_PERSISTENT) : 0, &handle, &end)
        guard result == SQLITE_OK else {
            // For a function that is refused SQLite says only SQLITE_ERROR.
            throw ResultCode(authorizer.refusal == nil ? result : SQLITE_AUTH)
        }
        let tail = start + (end.map { $0 - address } ?? text.count)
        guard let handle else { return Compiled(statement: nil, tail: tail) }
        var traits = self.traits(of: handle, text: text, findings: authorizer.findings)
        if connection.defects.contains(.trustsReadOnly), sqlite3_stmt_readonly(handle) != 0 {
            traits.remove(.needsOverlay)
        }
        return Compiled(statement: Statement(handle: handle, traits: traits), tail: tail)
    }

    private static func traits(
        of handle: OpaquePointer, text: UnsafeRawBufferPointer, findings: Authorizer.Findings
    ) -> Traits {
        // EXPLAIN only tells what the statement would do, but counts as writing when that would.
        guard sqlite3_stmt_isexplain(handle) == 0 else { return findings.needsConnection ? .needsOverlay : [] }
        // Virtual tables use PRAGMAs while other statements are compiled, so the finding alone does not prove it.
        if findings.pragma != nil, SQLText.begins(text, with: "PRAGMA") {
            // A few PRAGMAs count as writing when they only read (journal_mode), and the other way round (optimize).
            return [
                .isPragma, findings.pragmaWrites ? .writes : [], findings.pragmaIsSetting ? .isSetting : [],
                findings.pragmaIsOfDatabase ? [] : .needsOverlay,
            ]
        }
        var traits: Traits = sqlite3_stmt_readonly(handle) == 0 ? .writes : []
        // It reads when nothing is there to index, and may be compiled again once there is.
        if SQLText.begins(text, with: "REINDEX") { traits.insert(.writes) }
        if SQLText.begins(text, with: "VACUUM") { traits.insert(.isVacuum) }
        if findings.changesTemporary, !findings.changesDatabase { traits.insert(.isTemporary) }
        if traits.contains(.writes), Self.rowKeywords.contains(where: { SQLText.begins(text, with: $0) }) {
            traits.insert(.changesRows)
        }
        if findings.isTransactionControl { traits.insert(.isTransactionControl) }
        if findings.mayCommit { traits.insert(.mayCommit) }
        if findings.changesTemporary { traits.insert(.changesTemporary) }
        if !traits.isDisjoint(with: [.writes, .isTransactionControl, .isVacuum, .changesTemporary])
            || findings.needsConnection || !Self.readKeywords.contains(where: { SQLText.begins(text, with: $0) })
        {
            traits.insert(.needsOverlay)
        }
        return traits
    }

    /// What only reads begins with one of these. Others may do nothing now, and something when they are run again (DROP …
    /// IF EXISTS).
    private static let readKeywords: [StaticString] = ["SELECT", "VALUES", "WITH"]
    private static let rowKeywords: [StaticString] = ["INSERT", "UPDATE", "DELETE", "REPLACE", "WITH"]

    /// The text that was compiled.
    var sql: String { sqlite3_sql(self.handle).map { String(cString: $0) } ?? "" }

    /// One step: SQLITE_ROW, SQLITE_DONE or an error.
    func step() -> Int32 { sqlite3_step(self.handle) }

    /// Makes it ready to be run again, and forgets the values of its parameters, which may lie in memory that goes
    /// away.
    func reset() {
        sqlite3_reset(self.handle)
        if self.parameterCount > 0 { sqlite3_clear_bindings(self.handle) }
    }

    /// Binds parameters from the cursor; those for which nothing is left stay NULL. Text and blobs are bound where they
    /// lie.
    ///
    /// - Returns: How many were bound.
    func bind(_ parameters: inout ParameterCursor, available: Int) throws(BindError) -> Int {
        let count = min(self.parameterCount, available)
        for index in 0..<count {
            let value: ValueView?
            do { value = try parameters.next() } catch { throw .wire(error) }
            let position = Int32(index + 1)
            let result =
                switch value {
                case nil, .null: sqlite3_bind_null(self.handle, position)
                case .integer(let value): sqlite3_bind_int64(self.handle, position, value)
                case .real(let value): sqlite3_bind_double(self.handle, position, value)
                case .boolean(let value): sqlite3_bind_int64(self.handle, position, value ? 1 : 0)
                case .text(let bytes), .iso8601(let bytes):
                    sqlite3_bind_text64(
                        self.handle, position, Self.address(bytes).assumingMemoryBound(to: CChar.self),
                        UInt64(bytes.count), nil, UInt8(SQLITE_UTF8))
                case .blob(let bytes):
                    sqlite3_bind_blob64(self.handle, position, Self.address(bytes), UInt64(bytes.count), nil)
                case .unixTime: throw .unixTime(index + 1)
                }
            guard result == SQLITE_OK else { throw .result(ResultCode(result)) }
        }
        return count
    }

    /// SQLite takes a missing address for NULL, even when there are no bytes.
    private static func address(_ bytes: UnsafeRawBufferPointer) -> UnsafeRawPointer {
        bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
    }

    /// Why parameters cannot be bound.
    enum BindError: Error {
        case wire(WireError)
        case result(ResultCode)
        /// A parameter, counted from 1, has the type that exists in results only.
        case unixTime(Int)
    }

    /// Looks at the columns of the result again. To be called after the first step: before it, another connection may
    /// have changed the table since the statement was compiled.
    ///
    /// - Returns: Whether there are as many as the last time.
    func refreshColumns(withTypes: Bool) -> Bool {
        let count = Int(sqlite3_column_count(self.handle))
        let isSame = count == self.columnCount
        self.columnCount = count
        self.hasColumnTypes = withTypes
        guard withTypes else { return isSame }
        let compilations = sqlite3_stmt_status(self.handle, SQLITE_STMTSTATUS_REPREPARE, 0)
        if compilations != self.compilations {
            self.compilations = compilations
            self.columnTypes.removeAll(keepingCapacity: true)
            for column in 0..<count {
                self.columnTypes.append(ColumnType(declaration: sqlite3_column_decltype(self.handle, Int32(column))))
            }
        }
        return isSame
    }

    func columnType(_ column: Int) -> ColumnType { self.hasColumnTypes ? self.columnTypes[column] : .plain }

    /// Name of a column, in memory of SQLite: valid until the statement is compiled again or finalized.
    func columnName(_ column: Int) -> UnsafeRawBufferPointer {
        // Without memory SQLite has no name.
        guard let name = sqlite3_column_name(self.handle, Int32(column)) else {
            return UnsafeRawBufferPointer(start: nil, count: 0)
        }
        return UnsafeRawBufferPointer(start: name, count: strlen(name))
    }
}

/// An extended result code of SQLite.
struct ResultCode: Error, Equatable {
    let value: Int32

    /// Whether it is SQLITE_IOERR_FSYNC or SQLITE_IOERR_DIR_FSYNC, macros that Swift does not see.
    var isFailedSync: Bool { self.value == SQLITE_IOERR | (4 << 8) || self.value == SQLITE_IOERR | (5 << 8) }

    init(_ value: Int32) { self.value = value }

    /// The code without what makes it extended.
    var primary: Int32 { self.value & 0xff }

    /// SQLite's text for it.
    var text: String { String(cString: sqlite3_errstr(self.value)) }
}
