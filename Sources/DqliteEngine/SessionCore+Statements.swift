internal import CSQLite
internal import DqliteProtocol

extension SessionCore {
    static let savepoint = "\"dqlite engine\""

    /// Goes on with Exec, Query, ExecSQL or QuerySQL.
    func runStatements(
        _ bytes: UnsafeRawBufferPointer, _ session: EngineSession, at thread: SliceThread
    ) throws(EngineError) -> SliceEnd {
        let execution = self.running
        let (operation, stage) = (execution.operation, execution.stage)
        // Only the rows remain: the request was read, and its parameters are bound.
        if case .rows = stage { return try self.streamRows(bytes, session, at: thread) }
        var request = try self.decodeStatementRequest(bytes, operation)
        if case .begin = stage {
            try self.checkTransaction()
            try self.checkAbort()
            // Those who share a connection shall not learn of one another.
            if self.isStateless {
                self.lastInsertRowID = 0
                if let overlay = self.overlay { sqlite3_set_last_insert_rowid(overlay.handle, 0) }
            }
            if let sql = request.sql { try self.check(sql: sql) }
            execution.stage = .compile
        }
        // A slice that goes on after a wait reads the parameters anew.
        for _ in 0..<execution.consumed {
            do { _ = try request.parameters.next() } catch { throw Self.unreadable(error) }
        }
        while true {
            if self.stopFlag.isSet { throw self.stopped(session) }
            switch execution.stage {
            case .begin, .compile:
                // Some PRAGMAs do what they do while they are compiled.
                if let sql = request.sql, !SQLText.isBlank(sql, from: execution.offset) {
                    try self.checkTransaction()
                }
                switch try self.findStatement(request, session, at: thread) {
                case .found: execution.stage = .turn
                case .none: return .finished(.result(self.result))
                case .needsPool: return .moves(.pool)
                }
            case .turn:
                if let ticket = try self.takeTurn(session) {
                    execution.stage = .awaitsTurn
                    return .waitsForTurn(ticket)
                }
                execution.stage = .ready
            case .awaitsTurn:
                self.holdsTurn = true
                execution.stage = .turn
            case .ready:
                if let place = self.place(from: thread) { return .moves(place) }
                try self.bind(&request, session)
                if operation.code == .query || operation.code == .querySQL {
                    execution.stage = .rows
                    return try self.streamRows(bytes, session, at: thread)
                }
                guard try self.runToEnd(session, at: thread) else {
                    return try self.tryAgain(bytes, session, at: thread)
                }
                try self.endStatement(session)
                // What is done is not interrupted any more.
                guard let sql = request.sql, execution.tail < sql.count else {
                    return .finished(.result(self.result))
                }
                execution.offset = execution.tail
                execution.isSecondTry = false
                execution.stage = .compile
            case .rows:
                return try self.streamRows(bytes, session, at: thread)
            case .committing, .replay:
                preconditionFailure("the statements have come to their end")
            }
        }
    }

    /// Where the statement has to run, if that is not here.
    ///
    /// Who has the turn runs in the lane; what only reads, anywhere, and on the caller's thread if it is short.
    private func place(from thread: SliceThread) -> SessionStateMachine<EngineSession.Operation>.Place? {
        let execution = self.running
        if self.holdsTurn {
            if case .lane = thread { return nil }
            return .lane
        }
        switch thread {
        case .pool: return nil
        // Reads do not hold up those who write.
        case .lane, .completion: return .pool
        case .here:
            let isShort = execution.view == .committed && !(execution.statement?.isLong ?? true)
            return isShort ? nil : .pool
        }
    }

    /// Questions of SQLite whether to go on, after which a statement is too long for the caller's thread.
    private static let budgetOfCaller = 20

    private func beginProgress(of connection: Connection, at thread: SliceThread) {
        let isBrief = if case .here = thread { true } else { false }
        if isBrief {
            connection.progress.begin(budget: Self.budgetOfCaller)
        } else {
            connection.progress.begin(budget: nil, isContinued: self.running.stream.hasStepped)
        }
        if connection.view == .committed { connection.waits = !isBrief }
    }

    /// The numbers that answer Exec and ExecSQL. Without a session they are the request's own.
    private var result: ResultResponse {
        var result =
            self.overlay?.result ?? ResultResponse(lastInsertRowID: self.lastInsertRowID, rowsAffected: 0)
        if self.isStateless, !self.running.hasChangedRows { result.rowsAffected = 0 }
        return result
    }

    /// Tells the client once that its transaction was rolled back.
    private func checkAbort() throws(EngineError) {
        guard let abort = self.abort else { return }
        self.abort = nil
        throw abort
    }

    private enum Search {
        case found
        /// Nothing is left of the SQL.
        case none
        /// It has to be compiled, for which SQLite may have to wait for the disk.
        case needsPool
    }

    /// Finds or compiles the next statement, for the connection that it has to run on.
    private func findStatement(
        _ request: StatementRequest, _ session: EngineSession, at thread: SliceThread
    ) throws(EngineError) -> Search {
        let execution = self.running
        let code = execution.operation.code
        // What is executed nearly always writes; what is queried nearly never does.
        let isForOverlay = self.isPinned || code == .exec || code == .execSQL || execution.needsOverlay
        var view = isForOverlay ? Connection.View.overlay : .committed
        guard let sql = request.sql else {
            guard let prepared = self.registry[request.statementID] else {
                throw Self.unknownStatement(request.statementID)
            }
            execution.prepared = prepared
            if prepared.needsOverlay { view = .overlay }
            return try self.findPrepared(prepared, view, session, at: thread)
        }
        let offset = execution.offset
        guard offset < sql.count || code == .querySQL else { return .none }
        let text = UnsafeRawBufferPointer(rebasing: sql[offset...])
        if view == .committed, let statement = self.findReader()?.statements.statement(for: text) {
            if !statement.traits.contains(.needsOverlay) {
                return try self.found(statement, tail: sql.count, on: .committed, session)
            }
            view = .overlay
        }
        if view == .overlay, let statement = self.overlayCache.statement(for: text) {
            return try self.found(statement, tail: sql.count, on: .overlay, session)
        }
        switch thread {
        case .here, .lane, .completion: return .needsPool
        case .pool: break
        }
        if code == .querySQL, SQLText.isBlank(sql, from: offset) { throw Self.emptyStatement }
        let statement: Statement?
        do throws(EngineError) {
            statement = try self.compileNext(sql, on: try self.use(view, session), session)
        } catch {
            guard view == .committed, self.reader?.connection.authorizer.needsOverlay ?? false else { throw error }
            view = .overlay
            statement = try self.compileNext(sql, on: try self.use(view, session), session)
        }
        guard let statement else {
            if code == .querySQL { throw Self.emptyStatement }
            return .none
        }
        if view == .committed, statement.traits.contains(.needsOverlay) {
            execution.statement = nil
            guard try self.compileNext(sql, on: try self.use(.overlay, session), session) != nil else { return .none }
        }
        return .found
    }

    private func found(
        _ statement: Statement, tail: Int, on view: Connection.View, _ session: EngineSession
    ) throws(EngineError) -> Search {
        let execution = self.running
        _ = try self.use(view, session)
        execution.statement = statement
        execution.tail = tail
        return .found
    }

    /// Compiles the statement at the execution's offset; keeps it for later if it is the last.
    private func compileNext(
        _ sql: UnsafeRawBufferPointer, on connection: Connection, _ session: EngineSession
    ) throws(EngineError) -> Statement? {
        let execution = self.running
        let offset = execution.offset
        let compiled = try self.compile(sql, from: offset, on: connection, keep: false, session)
        guard let statement = compiled.statement else { return nil }
        let isLast = SQLText.isBlank(sql, from: compiled.tail)
        if !isLast, execution.operation.code == .querySQL { throw Self.nonemptyTail }
        execution.statement = statement
        execution.tail = isLast ? sql.count : compiled.tail
        if isLast, !statement.traits.contains(.isPragma) {
            let text = UnsafeRawBufferPointer(rebasing: sql[offset...])
            switch connection.view {
            case .committed: self.reader?.statements.insert(statement, for: text)
            case .overlay: self.overlayCache.insert(statement, for: text)
            }
        }
        return statement
    }

    private func findPrepared(
        _ prepared: StatementRegistry.Prepared, _ view: Connection.View, _ session: EngineSession,
        at thread: SliceThread
    ) throws(EngineError) -> Search {
        let execution = self.running
        let found =
            switch view {
            case .overlay: prepared.overlay
            case .committed: prepared.sql.withUnsafeBytes { self.findReader()?.prepared.statement(for: $0) }
            }
        if let found, !found.traits.contains(.isPragma) {
            return try self.found(found, tail: 0, on: view, session)
        }
        switch thread {
        case .here, .lane, .completion: return .needsPool
        case .pool: break
        }
        let connection = try self.use(view, session)
        if view == .overlay { prepared.overlay = nil }
        let result = prepared.sql.withUnsafeBytes { bytes -> Result<Statement.Compiled, EngineError> in
            do throws(EngineError) {
                return .success(try self.compile(bytes, from: 0, on: connection, keep: true, session))
            } catch {
                return .failure(error)
            }
        }
        if case .failure = result, view == .committed, connection.authorizer.needsOverlay {
            return try self.findPrepared(prepared, .overlay, session, at: thread)
        }
        guard let statement = try result.get().statement else { throw Self.emptyStatement }
        self.keep(statement, of: prepared, on: view)
        if view == .committed, prepared.needsOverlay {
            return try self.findPrepared(prepared, .overlay, session, at: thread)
        }
        execution.statement = statement
        return .found
    }

    /// Forgets what the statement was compiled to.
    private func forget(_ statement: Statement) {
        let execution = self.running
        switch execution.view {
        case .committed:
            self.reader?.statements.remove(statement)
            self.reader?.prepared.remove(statement)
        case .overlay:
            self.overlayCache.remove(statement)
            execution.prepared?.overlay = nil
        }
    }

    /// Sees to it that a statement that writes has the turn, and a database to write to.
    ///
    /// - Returns: The ticket, if it has to wait.
    private func takeTurn(_ session: EngineSession) throws(EngineError) -> WriterQueue.Ticket? {
        let execution = self.running
        guard let statement = execution.statement else { preconditionFailure("no statement to run") }
        execution.wasInTransaction = self.isInTransaction
        guard statement.traits.contains(.writes) else { return nil }
        if self.mode == .readOnly {
            throw EngineError(
                code: FailureCode.readOnly,
                message: "attempt to write a readonly database: it was opened with mode=ro")
        }
        if statement.traits.contains(.isTemporary) { return nil }
        if !self.holdsTurn {
            try self.database.checkCreation()
            switch self.database.requestTurn(for: session) {
            case .granted: self.holdsTurn = true
            case .waits(let ticket): return ticket
            }
        }
        return nil
    }

    private static func unreadable(_ error: any Error) -> EngineError {
        EngineError(code: FailureCode.malformedRequest, message: "malformed request: \(error)")
    }

    private func bind(_ request: inout StatementRequest, _ session: EngineSession) throws(EngineError) {
        let execution = self.running
        guard let statement = execution.statement, let connection = self.connection else {
            preconditionFailure("no statement to run")
        }
        let available = request.parameters.count - execution.consumed
        // Of several statements each takes what it needs, and what is left at the end is ignored, as dqlite does it. A
        // single one that does not take all it was given is a mistake, and is refused before it runs.
        let isSingle = request.sql.map { execution.offset == 0 && execution.tail == $0.count } ?? true
        if isSingle, available > statement.parameterCount {
            throw Self.tooManyParameters(available, for: statement.parameterCount)
        }
        do {
            execution.taken = try statement.bind(&request.parameters, available: available)
            execution.consumed += execution.taken
        } catch {
            switch error {
            case .wire(let error): throw Self.unreadable(error)
            case .result(let code): throw self.failure(code, session)
            case .unixTime(let position):
                throw EngineError(
                    code: FailureCode.malformedRequest,
                    message: "parameter \(position) has the type of a time in seconds, which only results have")
            }
        }
        let traits = statement.traits
        // To begin or roll back a transaction shows nothing of the database.
        if connection.view == .overlay, !traits.contains(.isTransactionControl) || traits.contains(.mayCommit) {
            execution.sawOverlay = true
        }
        // What gives rows that show its own commit: they are held until that is made.
        if traits.contains(.writes), !traits.contains(.isTemporary), statement.columnCount > 0,
            connection.isInAutocommit
        {
            execution.held = HeldResult(limit: self.configuration.maximumHeldResult)
        }
        // What gives rows, and has changed something when its rows cannot be delivered, must be taken back alone.
        if traits.contains(.writes), statement.columnCount > 0, !traits.contains(.isPragma), !connection.isInAutocommit
        {
            try connection.execute("SAVEPOINT \(Self.savepoint)")
            execution.hasSavepoint = true
        }
        connection.authorizer.refusal = nil
        connection.authorizer.needsOverlay = false
        connection.authorizer.isVacuuming = traits.contains(.isVacuum)
        connection.authorizer.deniesChanges = !self.holdsTurn
        connection.authorizer.hasDeniedChange = false
    }

    /// Whether the first step of a statement has failed because it would have written without the turn. It has done
    /// nothing yet; compiled once more it shows what it needs.
    private func lacksTurn(_ connection: Connection) -> Bool {
        connection.authorizer.hasDeniedChange && !self.running.isSecondTry
    }

    /// Whether a statement has met a PRAGMA inside of a SELECT, or a function that a view calls, which only the session's own
    /// connection can answer: compiled once more it runs there.
    private func turnsOutToNeedOverlay(_ connection: Connection) -> Bool {
        let execution = self.running
        guard connection.authorizer.needsOverlay, !execution.needsOverlay else { return false }
        execution.needsOverlay = true
        return true
    }

    /// Compiles the statement again, and runs it.
    private func tryAgain(
        _ bytes: UnsafeRawBufferPointer, _ session: EngineSession, at thread: SliceThread
    ) throws(EngineError) -> SliceEnd {
        let execution = self.running
        self.beginAnew()
        if let statement = execution.statement { self.forget(statement) }
        execution.statement = nil
        execution.isSecondTry = true
        execution.stage = .compile
        return try self.runStatements(bytes, session, at: thread)
    }

    /// Takes a statement back to where its parameters are bound.
    private func beginAnew() {
        let execution = self.running
        self.abandonStatement(execution)
        execution.hasSavepoint = false
        execution.consumed -= execution.taken
        execution.taken = 0
        execution.stream = RowStream()
        execution.held = nil
        execution.stage = .ready
    }

    /// Runs a statement whose rows nobody wants.
    ///
    /// - Returns: false if it has to be tried again.
    private func runToEnd(_ session: EngineSession, at thread: SliceThread) throws(EngineError) -> Bool {
        let execution = self.running
        guard let statement = execution.statement, let connection = self.connection else {
            preconditionFailure("no statement to run")
        }
        self.beginProgress(of: connection, at: thread)
        defer { connection.authorizer.isVacuuming = false }
        var isFirst = true
        while true {
            let result = statement.step()
            if result == SQLITE_DONE { return true }
            guard result == SQLITE_ROW else {
                if isFirst, self.lacksTurn(connection) { return false }
                if self.turnsOutToNeedOverlay(connection) { return false }
                throw self.failure(ResultCode(result), session)
            }
            isFirst = false
            if statement.traits.isDisjoint(with: [.writes, .isPragma]) {
                throw EngineError(
                    code: FailureCode.error, message: "rows yielded when none expected for EXEC request",
                    outcome: execution.hasCommitted ? .committed : .notCommitted)
            }
            if self.stopFlag.isSet { throw self.stopped(session) }
        }
    }

    /// Brings the connection into order after a statement that has come to its end.
    private func endStatement(_ session: EngineSession) throws(EngineError) {
        let execution = self.running
        guard let statement = execution.statement, let connection = self.connection else { return }
        statement.reset()
        if execution.hasSavepoint {
            // It may be gone with its transaction.
            try? connection.execute("RELEASE \(Self.savepoint)")
            execution.hasSavepoint = false
        }
        connection.authorizer.deniesChanges = false
        // What it is called with may make it long today, and short the next time.
        statement.isLong = !connection.progress.isWithin(Self.budgetOfCaller)
        let traits = statement.traits
        // Who has not had the turn has written nothing.
        if connection.isInAutocommit, self.holdsTurn, !traits.isDisjoint(with: [.writes, .mayCommit]) {
            execution.hasCommitted = true
            // Nobody else has written since, for this session has the turn.
            if execution.firstCommit == nil, let sequence = connection.gate {
                execution.firstCommit = (self.generation, sequence)
            }
        }
        if !traits.isDisjoint(with: [.isSetting, .changesTemporary]) { self.hasOwnState = true }
        if traits.contains(.changesRows) { execution.hasChangedRows = true }
        execution.statement = nil
        if !self.isInTransaction { self.snapshotIsCommitted = false }
        try self.checkTurn()
        self.leaveTurnUnlessWriting(session)
    }

    /// Goes on with the rows of Query or QuerySQL.
    private func streamRows(
        _ bytes: UnsafeRawBufferPointer, _ session: EngineSession, at thread: SliceThread
    ) throws(EngineError) -> SliceEnd {
        let execution = self.running
        guard let statement = execution.statement ?? execution.ended, let connection = self.connection
        else {
            preconditionFailure("no statement to run")
        }
        if let place = self.place(from: thread), execution.ended == nil { return .moves(place) }
        switch session.takeCommitOutcome() {
        case nil: break
        case .committed: self.noteCommittedSnapshot()
        case .dropped(let loss), .unknown(let loss): throw loss.error(outcome: .notCommitted)
        }
        self.beginProgress(of: connection, at: thread)
        defer { connection.authorizer.isVacuuming = false }
        connection.authorizer.isVacuuming = statement.traits.contains(.isVacuum)
        let sink = execution.held ?? execution.operation.sink
        // A copy, since the stream asks this object about the execution.
        var stream = execution.stream
        let partSize = self.configuration.partSize
        let end =
            switch self.encoding {
            case .dqlite:
                stream.run(DqliteRowsEncoder.self, statement, sink, session, self, connection.progress, partSize)
            case .protobuf:
                stream.run(ProtobufRowsEncoder.self, statement, sink, session, self, connection.progress, partSize)
            }
        execution.stream = stream
        if execution.stream.columnsHaveChanged { self.forget(statement) }
        switch end {
        case .statementEnded:
            // Before the end of the result is asked for: its reader may take its time, and what is committed is.
            execution.ended = statement
            try self.endStatement(session)
            return try self.streamRows(bytes, session, at: thread)
        case .done:
            guard let held = execution.held else { return .finished(.rows) }
            held.end()
            return .finished(.heldRows(held))
        case .paused:
            if let held = execution.held {
                throw EngineError(
                    code: FailureCode.tooBig,
                    message: "the rows of a statement that writes are kept until they are committed: at most "
                        + "\(self.configuration.maximumHeldResult) bytes (\(held.parts.count) parts are more)")
            }
            return .paused
        case .awaitsCommit(let sequence): return .awaitsCommit(sequence)
        case .awaitsLeadership: return .awaitsLeadership
        case .goesOnElsewhere:
            statement.isLong = true
            return .moves(.pool)
        case .stopped: throw self.stopped(session)
        case .failed(let code):
            if !execution.stream.hasStepped, self.lacksTurn(connection) {
                return try self.tryAgain(bytes, session, at: thread)
            }
            if execution.stream.partsEnded == 0, self.turnsOutToNeedOverlay(connection) {
                sink.discardPart()
                return try self.tryAgain(bytes, session, at: thread)
            }
            if case .here = thread, self.mayRunAnew(connection) {
                if connection.progress.wasCutShort { statement.isLong = true }
                self.beginAnew()
                sink.discardPart()
                return .moves(.pool)
            }
            throw self.failure(code, session)
        case .cannotCarry(let column):
            throw EngineError(
                code: FailureCode.error,
                message: """
                    column "\(column)" has a text that contains NUL, which the dqlite encoding cannot carry: \
                    select CAST(… AS BLOB), or use the protobuf encoding
                    """)
        }
    }

    /// Whether a read has failed on the caller's thread only because it may not take long there, and nothing of its
    /// result has left.
    private func mayRunAnew(_ connection: Connection) -> Bool {
        let wouldHaveWaited = connection.takeWaitHit()
        guard wouldHaveWaited || connection.progress.wasCutShort, !self.stopFlag.isSet else { return false }
        return self.running.stream.partsEnded == 0
    }
}
