internal import CSQLite
internal import DqliteProtocol

/// What a session does on its connection.
///
/// @unchecked: it is touched only by the thread that runs the session's slice, of which ``SessionStateMachine`` allows
/// one at a time; the lock around the machine orders one slice before the next.
final class SessionCore: @unchecked Sendable {
    /// How a slice ends.
    enum SliceEnd {
        case finished(Answer)
        case paused
        case waitsForTurn(WriterQueue.Ticket)
    }

    /// What an operation is answered with.
    enum Answer {
        case result(ResultResponse)
        case statement(StatementResponse)
        case empty
        /// The last part is written and only has to be ended.
        case rows
        case failure(EngineError)
    }

    /// The operation that runs.
    struct Execution {
        enum Stage {
            case begin
            /// To compile the next statement.
            case compile
            /// To have the turn to write, if the statement needs it.
            case turn
            case awaitsTurn
            /// To bind and to run.
            case ready
            case rows
        }

        let operation: EngineSession.Operation
        var stage = Stage.begin
        var statement: Statement?
        /// Where the statement comes from, if it was prepared by number.
        var prepared: StatementRegistry.Prepared?
        /// Where in the SQL the statement begins, and where the next does.
        var offset = 0
        var tail = 0
        /// Parameters that the statements before have taken.
        var consumed = 0
        /// Whether a transaction was open before the statement ran.
        var wasInTransaction = false
        /// Whether a statement of this request has been committed.
        var hasCommitted = false
        /// Whether the statement runs inside a savepoint of its own.
        var hasSavepoint = false
        /// Whether rows were inserted, updated or deleted.
        var hasChangedRows = false
        /// Parameters that the statement itself has taken.
        var taken = 0
        /// Whether the statement was compiled once more, because it was about to write without the turn.
        var isSecondTry = false
        /// A statement of Query or QuerySQL that has come to its end, while its result may have not: the names of its
        /// columns are still needed.
        var ended: Statement?
        var stream = RowStream()
    }

    let database: Database
    let mode: DatabaseName.Mode
    let encoding: WireEncoding
    let isStateless: Bool
    let configuration: EngineConfiguration
    let stopFlag: StopFlag

    var connection: Connection?
    var registry = StatementRegistry()
    var cache: StatementCache
    /// Whether this session may write to the database, and nobody else.
    var holdsTurn = false
    /// Why the last transaction is over, if it was not ended by a statement that does just that.
    var transactionEnd: String?
    /// Why the transaction was rolled back under the client, which does not know yet.
    var abort: StopReason?
    var execution: Execution?
    /// What was done on the stand-in for a database that does not exist, and must be done again once it does: settings,
    /// and what controls the transaction that is open.
    var settings: [(name: String, sql: String)] = []
    var transactionControl: [String] = []

    init(
        database: Database, mode: DatabaseName.Mode, encoding: WireEncoding, isStateless: Bool,
        configuration: EngineConfiguration, stopFlag: StopFlag
    ) {
        self.database = database
        self.mode = mode
        self.encoding = encoding
        self.isStateless = isStateless
        self.configuration = configuration
        self.stopFlag = stopFlag
        self.cache = StatementCache(capacity: configuration.statementCacheCapacity)
    }

    /// Whether BEGIN or SAVEPOINT has opened a transaction.
    var isInTransaction: Bool { self.connection.map { !$0.isInAutocommit } ?? false }

    // MARK: Slices

    func begin(_ operation: EngineSession.Operation) {
        self.execution = Execution(operation: operation)
        self.execution?.wasInTransaction = self.isInTransaction
    }

    /// Refuses to go on without the transaction that the request belongs to.
    func checkTransaction() throws(EngineError) {
        guard let execution, execution.operation.requiresTransaction, !self.isInTransaction else { return }
        // With this the client knows.
        self.abort = nil
        let reason = self.transactionEnd.map { ": \($0)" } ?? ""
        throw EngineError(
            code: FailureCode.abortRollback,
            message: "the transaction that the request belongs to is over, and the request was not run\(reason)",
            outcome: execution.hasCommitted ? .committed : .notCommitted)
    }

    func advance(session: EngineSession) -> SliceEnd {
        guard let operation = self.execution?.operation else { preconditionFailure("nothing to go on with") }
        return operation.request.withUnsafeBytes { bytes in
            do throws(EngineError) {
                if self.stopFlag.isSet { throw self.stopped(session) }
                switch operation.code {
                case .prepare: return .finished(try self.prepare(bytes, operation.revision, session))
                case .finalize: return .finished(try self.finalize(bytes, operation.revision))
                case .exec, .query, .execSQL, .querySQL: return try self.runStatements(bytes, session)
                default:
                    throw EngineError(
                        code: FailureCode.malformedRequest, message: "request \(operation.code.rawValue) runs no SQL")
                }
            } catch {
                return .finished(.failure(error))
            }
        }
    }

    /// Ends the operation: brings the connection into order, lets others write, and then tells the sink.
    ///
    /// Nothing stops the connection any more.
    func conclude(_ answer: Answer, reason: StopReason?, session: EngineSession) {
        guard let execution = self.execution else { preconditionFailure("nothing to end") }
        if case .failure = answer {
            self.abandonStatement(execution)
            if case .awaitsTurn = execution.stage { self.database.leaveTurn(session) }
            if let reason, self.rollsBack(reason) { self.connection?.rollBack() }
        } else {
            execution.statement?.reset()
        }
        self.execution = nil
        if self.isInTransaction {
            self.transactionEnd = nil
        } else if case .failure(let error) = answer {
            if execution.wasInTransaction { self.transactionEnd = error.message }
        } else {
            self.transactionEnd = nil
        }
        self.noteEndOfTransaction()
        self.leaveTurnUnlessWriting(session)
        self.connection?.authorizer.deniesChanges = false
        let sink = execution.operation.sink
        switch answer {
        case .result(let response): sink.result(response)
        case .statement(let response): sink.statement(response)
        case .empty: sink.empty()
        case .rows: _ = sink.endPart(more: false)
        case .failure(let error): sink.failure(error)
        }
    }

    func rollsBack(_ reason: StopReason) -> Bool {
        if case .resultNotRead = reason { return self.holdsTurn }
        return reason.endsTransaction
    }

    /// Takes back what a statement has done that has not come to its end.
    func abandonStatement(_ execution: Execution) {
        self.connection?.authorizer.deniesChanges = false
        guard let statement = execution.statement, let connection = self.connection else { return }
        let isActive = sqlite3_stmt_busy(statement.handle) != 0
        if isActive, statement.traits.contains(.writes), connection.isInAutocommit {
            // To reset it would commit what it has done. Interrupted, it is rolled back.
            sqlite3_interrupt(connection.handle)
            while statement.step() == SQLITE_ROW {}
        }
        statement.reset()
        if execution.hasSavepoint, !connection.isInAutocommit {
            // A failure here means that the savepoint is gone, and what was done in it too.
            try? connection.execute("ROLLBACK TO \(Self.savepoint); RELEASE \(Self.savepoint)")
        }
    }

    /// Rolls back a transaction that the client is not just using.
    func rollBack(because reason: StopReason, session: EngineSession) {
        self.connection?.rollBack()
        self.abort = reason
        self.transactionEnd = EngineError(reason).message
        self.noteEndOfTransaction()
        self.leaveTurnUnlessWriting(session)
    }

    func close(session: EngineSession) {
        self.execution = nil
        self.cache.removeAll()
        self.registry.removeAll()
        self.connection?.rollBack()
        // Closing may move the log into the file: that takes a while, but nobody need wait for it to write.
        self.database.leaveTurn(session)
        self.holdsTurn = false
        self.connection = nil
    }

    /// The last line of defence: a statement that has locked the database although it did not seem to write has no
    /// place in the order of writers.
    func checkTurn() throws(EngineError) {
        guard !self.holdsTurn, let connection = self.connection, !connection.isStandIn, connection.isWriting else {
            return
        }
        connection.rollBack()
        self.noteEndOfTransaction()
        throw EngineError(
            code: FailureCode.abortRollback,
            message: "the transaction was rolled back: the statement changed the database in a way that could not be "
                + "foreseen; begin with BEGIN IMMEDIATE")
    }

    func leaveTurnUnlessWriting(_ session: EngineSession) {
        guard self.holdsTurn, self.connection.map({ !$0.isWriting }) ?? true else { return }
        self.holdsTurn = false
        self.database.leaveTurn(session)
    }

    func noteEndOfTransaction() {
        if !self.isInTransaction { self.transactionControl.removeAll() }
    }

    // MARK: The connection

    /// The connection, opened if it is not; on the file as soon as there is one.
    func openConnection(_ session: EngineSession) throws(EngineError) -> Connection {
        if let connection = self.connection {
            if connection.isStandIn, connection.isInAutocommit, self.database.exists {
                return try self.replaceStandIn(session)
            }
            return connection
        }
        return try self.connect(self.database.exists ? .file(self.database.path) : .standIn, session)
    }

    private func connect(_ source: Connection.Source, _ session: EngineSession) throws(EngineError) -> Connection {
        let authorizer = Authorizer(
            isStateless: self.isStateless, isReadOnly: self.mode == .readOnly,
            maximumCacheSize: self.configuration.maximumCacheSize)
        let connection = try Connection(
            source, authorizer: authorizer, stopFlag: self.stopFlag, limits: self.configuration)
        // What looked like reading when it was compiled may not be any more when it runs.
        if self.mode == .readOnly { try connection.execute("PRAGMA query_only = ON") }
        self.connection = connection
        session.setHandle(connection.handle)
        return connection
    }

    /// Goes over from the stand-in to the file, and creates it if need be, which takes the turn to write.
    @discardableResult
    func replaceStandIn(_ session: EngineSession) throws(EngineError) -> Connection {
        guard let standIn = self.connection else { preconditionFailure("no connection to replace") }
        let exists = self.database.exists
        // The transaction has seen an empty database. Somebody else's has filled it since.
        if exists, !standIn.isInAutocommit { throw Self.snapshotIsStale }
        if !exists {
            try self.database.checkLimit(self.configuration.maximumDatabases)
            try self.database.create(number: session.number)
        }
        self.execution?.statement = nil
        self.cache.removeAll()
        self.registry.forgetCompiled()
        session.setHandle(nil)
        self.connection = nil
        let connection = try self.connect(.file(self.database.path), session)
        for setting in self.settings { try connection.execute(setting.sql) }
        for sql in self.transactionControl { try connection.execute(sql) }
        self.settings.removeAll()
        return connection
    }

    // MARK: Prepare and Finalize

    private func prepare(
        _ bytes: UnsafeRawBufferPointer, _ revision: UInt8, _ session: EngineSession
    ) throws(EngineError) -> Answer {
        if self.isStateless {
            throw EngineError(
                code: FailureCode.notAuthorized,
                message: "Prepare needs a session: requests without one leave nothing behind")
        }
        try self.checkTransaction()
        let request = try self.decodePrepare(bytes)
        let connection = try self.openConnection(session)
        guard self.registry.count < self.configuration.maximumStatementsPerSession else {
            throw EngineError(
                code: FailureCode.full,
                message: "the session has \(self.registry.count) prepared statements, which is the limit: finalize some"
            )
        }
        let compiled = try self.compile(request.sql, from: 0, on: connection, keep: true, session)
        guard let statement = compiled.statement else { throw Self.emptyStatement }
        guard compiled.tail <= self.configuration.maximumStatementBytesPerSession - self.registry.byteCount else {
            throw EngineError(
                code: FailureCode.full,
                message: "the session's prepared statements have \(self.registry.byteCount) bytes of SQL; with "
                    + "\(compiled.tail) more they would exceed \(self.configuration.maximumStatementBytesPerSession): "
                    + "finalize some")
        }
        let isLast = SQLText.isBlank(request.sql, from: compiled.tail)
        if revision == 0, !isLast { throw Self.nonemptyTail }
        let text = [UInt8](UnsafeRawBufferPointer(rebasing: request.sql[..<compiled.tail]))
        let number = self.registry.insert(StatementRegistry.Prepared(sql: text, statement: statement))
        return .statement(
            StatementResponse(
                databaseID: 0, statementID: number, parameterCount: UInt64(statement.parameterCount),
                tailOffset: UInt64(isLast ? request.sql.count : compiled.tail)))
    }

    private func finalize(_ bytes: UnsafeRawBufferPointer, _ revision: UInt8) throws(EngineError) -> Answer {
        let number = try self.decodeFinalize(bytes)
        guard self.registry.remove(number) else { throw Self.unknownStatement(number) }
        return .empty
    }

    /// Compiles a statement, and notes what has to be done again on another connection.
    func compile(
        _ sql: UnsafeRawBufferPointer, from start: Int, on connection: Connection, keep: Bool, _ session: EngineSession
    ) throws(EngineError) -> Statement.Compiled {
        let compiled: Statement.Compiled
        do {
            compiled = try Statement.compile(sql, from: start, on: connection, keep: keep)
        } catch {
            throw self.failure(error, session)
        }
        if connection.isStandIn, let statement = compiled.statement, statement.traits.contains(.isSetting) {
            try self.note(setting: connection.authorizer.findings.pragma ?? "", sql: statement.sql)
        }
        return compiled
    }

    /// Of each PRAGMA the last value counts.
    private func note(setting name: String, sql: String) throws(EngineError) {
        guard sql.utf8.count <= Self.maximumNotedText else {
            throw EngineError(
                code: FailureCode.tooBig,
                message: "a PRAGMA of more than \(Self.maximumNotedText) bytes cannot be kept until the database exists"
            )
        }
        let name = name.lowercased()
        self.settings.removeAll { $0.name == name }
        self.settings.append((name, sql))
    }

    /// Bytes of one statement that is kept until the database exists.
    private static let maximumNotedText = 4096

    /// Keeps what controls the transaction on the stand-in. It has been run.
    func note(transactionControl sql: String) throws(EngineError) {
        guard sql.utf8.count <= Self.maximumNotedText, self.transactionControl.count < 1000 else {
            self.connection?.rollBack()
            self.noteEndOfTransaction()
            throw EngineError(
                code: FailureCode.full,
                message:
                    "the transaction was rolled back: it has more savepoints than are kept until the database exists")
        }
        self.transactionControl.append(sql)
    }
}
