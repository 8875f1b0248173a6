internal import CSQLite
internal import DqliteProtocol

extension SessionCore {
    static let savepoint = "\"dqlite engine\""

    /// Goes on with Exec, Query, ExecSQL or QuerySQL.
    func runStatements(_ bytes: UnsafeRawBufferPointer, _ session: EngineSession) throws(EngineError) -> SliceEnd {
        guard let operation = self.execution?.operation, let stage = self.execution?.stage else {
            preconditionFailure("nothing to go on with")
        }
        // Only the rows remain: the request was read, and its parameters are bound.
        if case .rows = stage { return try self.streamRows(bytes, session) }
        var request = try self.decodeStatementRequest(bytes, operation)
        if case .begin = stage {
            try self.checkTransaction()
            try self.checkAbort()
            // Those who share a connection shall not learn of one another.
            if self.isStateless, let connection = self.connection {
                sqlite3_set_last_insert_rowid(connection.handle, 0)
            }
            if let sql = request.sql { try self.check(sql: sql) }
            self.execution?.stage = .compile
        }
        // A slice that goes on after a wait reads the parameters anew.
        for _ in 0..<(self.execution?.consumed ?? 0) {
            do { _ = try request.parameters.next() } catch { throw Self.unreadable(error) }
        }
        while true {
            if self.stopFlag.isSet { throw self.stopped(session) }
            switch self.execution!.stage {
            case .begin, .compile:
                // Some PRAGMAs do what they do while they are compiled.
                if let sql = request.sql, !SQLText.isBlank(sql, from: self.execution!.offset) {
                    try self.checkTransaction()
                }
                guard try self.findStatement(request, session) else {
                    return .finished(.result(self.result(of: try self.openConnection(session))))
                }
                self.execution!.stage = .turn
            case .turn:
                if let ticket = try self.takeTurn(request, session) {
                    self.execution!.stage = .awaitsTurn
                    return .waitsForTurn(ticket)
                }
                self.execution!.stage = .ready
            case .awaitsTurn:
                self.holdsTurn = true
                self.execution!.stage = .turn
            case .ready:
                try self.bind(&request, session)
                if operation.code == .query || operation.code == .querySQL {
                    self.execution!.stage = .rows
                    return try self.streamRows(bytes, session)
                }
                guard try self.runToEnd(session) else { return try self.tryAgain(bytes, session) }
                try self.endStatement(session)
                // What is done is not interrupted any more.
                guard let sql = request.sql, self.execution!.tail < sql.count else {
                    return .finished(.result(self.result(of: try self.openConnection(session))))
                }
                self.execution!.offset = self.execution!.tail
                self.execution!.isSecondTry = false
                self.execution!.stage = .compile
            case .rows:
                return try self.streamRows(bytes, session)
            }
        }
    }

    /// The numbers that answer Exec and ExecSQL. Without a session they are the request's own.
    private func result(of connection: Connection) -> ResultResponse {
        var result = connection.result
        if self.isStateless, !self.execution!.hasChangedRows { result.rowsAffected = 0 }
        return result
    }

    /// Tells the client once that its transaction was rolled back.
    private func checkAbort() throws(EngineError) {
        guard let abort = self.abort else { return }
        self.abort = nil
        throw EngineError(abort)
    }

    /// Finds or compiles the next statement.
    ///
    /// - Returns: false when nothing is left of the SQL.
    private func findStatement(_ request: StatementRequest, _ session: EngineSession) throws(EngineError) -> Bool {
        let connection = try self.openConnection(session)
        guard let sql = request.sql else {
            guard let prepared = self.registry[request.statementID] else {
                throw Self.unknownStatement(request.statementID)
            }
            self.execution!.prepared = prepared
            try self.usePrepared(prepared, on: connection, session)
            return true
        }
        let isQuery = self.execution!.operation.code == .querySQL
        let offset = self.execution!.offset
        if offset < sql.count || isQuery {
            let text = UnsafeRawBufferPointer(rebasing: sql[offset...])
            if let statement = self.cache.statement(for: text) {
                self.execution!.statement = statement
                self.execution!.tail = sql.count
                return true
            }
            if try self.compileNext(sql, on: connection, session) { return true }
        }
        if isQuery { throw Self.emptyStatement }
        return false
    }

    /// Compiles the statement at the execution's offset; keeps it for later if it is the last.
    private func compileNext(
        _ sql: UnsafeRawBufferPointer, on connection: Connection, _ session: EngineSession
    ) throws(EngineError) -> Bool {
        let offset = self.execution!.offset
        let compiled = try self.compile(sql, from: offset, on: connection, keep: false, session)
        guard let statement = compiled.statement else { return false }
        let isLast = SQLText.isBlank(sql, from: compiled.tail)
        if !isLast, self.execution!.operation.code == .querySQL { throw Self.nonemptyTail }
        self.execution!.statement = statement
        self.execution!.tail = isLast ? sql.count : compiled.tail
        if isLast, !statement.traits.contains(.isPragma) {
            self.cache.insert(statement, for: UnsafeRawBufferPointer(rebasing: sql[offset...]))
        }
        return true
    }

    private func usePrepared(
        _ prepared: StatementRegistry.Prepared, on connection: Connection, _ session: EngineSession
    ) throws(EngineError) {
        if prepared.statement?.traits.contains(.isPragma) ?? true {
            let sql = prepared.sql
            prepared.statement = nil
            let result = sql.withUnsafeBytes { bytes -> Result<Statement.Compiled, EngineError> in
                do throws(EngineError) {
                    return .success(try self.compile(bytes, from: 0, on: connection, keep: true, session))
                } catch {
                    return .failure(error)
                }
            }
            prepared.statement = try result.get().statement
        }
        self.execution!.statement = prepared.statement
    }

    /// Sees to it that a statement that writes has the turn, and a file to write to.
    ///
    /// - Returns: The ticket, if it has to wait.
    private func takeTurn(
        _ request: StatementRequest, _ session: EngineSession
    ) throws(EngineError) -> WriterQueue.Ticket? {
        guard let statement = self.execution!.statement else { preconditionFailure("no statement to run") }
        self.execution!.wasInTransaction = self.isInTransaction
        guard statement.traits.contains(.writes) else { return nil }
        if self.mode == .readOnly {
            throw EngineError(
                code: FailureCode.readOnly,
                message: "attempt to write a readonly database: it was opened with mode=ro")
        }
        // TEMP objects need nothing of the database; but those of the stand-in would be lost with it.
        if statement.traits.contains(.isTemporary), !(self.connection?.isStandIn ?? true) { return nil }
        if !self.holdsTurn {
            switch self.database.requestTurn(for: session) {
            case .granted: self.holdsTurn = true
            case .waits(let ticket): return ticket
            }
        }
        guard let connection = self.connection, connection.isStandIn else { return nil }
        let newConnection = try self.replaceStandIn(session)
        if let prepared = self.execution!.prepared {
            try self.usePrepared(prepared, on: newConnection, session)
        } else if let sql = request.sql {
            _ = try self.compileNext(sql, on: newConnection, session)
        }
        return nil
    }

    private static func unreadable(_ error: any Error) -> EngineError {
        EngineError(code: FailureCode.malformedRequest, message: "malformed request: \(error)")
    }

    private func bind(_ request: inout StatementRequest, _ session: EngineSession) throws(EngineError) {
        guard let statement = self.execution!.statement, let connection = self.connection else {
            preconditionFailure("no statement to run")
        }
        let available = request.parameters.count - self.execution!.consumed
        // Of several statements each takes what it needs, and what is left at the end is ignored, as dqlite does it. A
        // single one that does not take all it was given is a mistake, and is refused before it runs.
        let isSingle = request.sql.map { self.execution!.offset == 0 && self.execution!.tail == $0.count } ?? true
        if isSingle, available > statement.parameterCount {
            throw Self.tooManyParameters(available, for: statement.parameterCount)
        }
        do {
            self.execution!.taken = try statement.bind(&request.parameters, available: available)
            self.execution!.consumed += self.execution!.taken
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
        // What gives rows, and has changed something when its rows cannot be delivered, must be taken back alone.
        if traits.contains(.writes), statement.columnCount > 0, !traits.contains(.isPragma), !connection.isInAutocommit
        {
            try connection.execute("SAVEPOINT \(Self.savepoint)")
            self.execution!.hasSavepoint = true
        }
        connection.authorizer.refusal = nil
        connection.authorizer.isVacuuming = traits.contains(.isVacuum)
        connection.authorizer.deniesChanges = !self.holdsTurn && !connection.isStandIn
        connection.authorizer.hasDeniedChange = false
    }

    /// Whether the first step of a statement has failed because it would have written without the turn. It has done
    /// nothing yet; compiled once more it shows what it needs.
    private func lacksTurn(_ connection: Connection) -> Bool {
        connection.authorizer.hasDeniedChange && !self.execution!.isSecondTry
    }

    /// Compiles the statement again, and runs it.
    private func tryAgain(_ bytes: UnsafeRawBufferPointer, _ session: EngineSession) throws(EngineError) -> SliceEnd {
        self.abandonStatement(self.execution!)
        if let statement = self.execution!.statement { self.cache.remove(statement) }
        self.execution!.prepared?.statement = nil
        self.execution!.statement = nil
        self.execution!.hasSavepoint = false
        self.execution!.consumed -= self.execution!.taken
        self.execution!.stream = RowStream()
        self.execution!.isSecondTry = true
        self.execution!.stage = .compile
        return try self.runStatements(bytes, session)
    }

    /// Runs a statement whose rows nobody wants.
    ///
    /// - Returns: false if it has to be tried again.
    private func runToEnd(_ session: EngineSession) throws(EngineError) -> Bool {
        guard let statement = self.execution!.statement, let connection = self.connection else {
            preconditionFailure("no statement to run")
        }
        defer { connection.authorizer.isVacuuming = false }
        var isFirst = true
        while true {
            let result = statement.step()
            if result == SQLITE_DONE { return true }
            guard result == SQLITE_ROW else {
                if isFirst, self.lacksTurn(connection) { return false }
                throw self.failure(ResultCode(result), session)
            }
            isFirst = false
            if statement.traits.isDisjoint(with: [.writes, .isPragma]) {
                throw EngineError(
                    code: FailureCode.error, message: "rows yielded when none expected for EXEC request",
                    outcome: self.execution!.hasCommitted ? .committed : .notCommitted)
            }
            if self.stopFlag.isSet { throw self.stopped(session) }
        }
    }

    /// Brings the connection into order after a statement that has come to its end.
    private func endStatement(_ session: EngineSession) throws(EngineError) {
        guard let statement = self.execution!.statement, let connection = self.connection else { return }
        statement.reset()
        if self.execution!.hasSavepoint {
            // It may be gone with its transaction.
            try? connection.execute("RELEASE \(Self.savepoint)")
            self.execution!.hasSavepoint = false
        }
        connection.authorizer.deniesChanges = false
        let traits = statement.traits
        if connection.isInAutocommit, !traits.isDisjoint(with: [.writes, .mayCommit]) {
            self.execution!.hasCommitted = true
        }
        if connection.isStandIn, traits.contains(.isTransactionControl) {
            try self.note(transactionControl: statement.sql)
        }
        if traits.contains(.changesRows) { self.execution!.hasChangedRows = true }
        self.execution!.statement = nil
        self.noteEndOfTransaction()
        try self.checkTurn()
        self.leaveTurnUnlessWriting(session)
    }

    /// Goes on with the rows of Query or QuerySQL.
    private func streamRows(_ bytes: UnsafeRawBufferPointer, _ session: EngineSession) throws(EngineError) -> SliceEnd {
        guard let statement = self.execution!.statement ?? self.execution!.ended, let connection = self.connection
        else {
            preconditionFailure("no statement to run")
        }
        defer { connection.authorizer.isVacuuming = false }
        connection.authorizer.isVacuuming = statement.traits.contains(.isVacuum)
        let sink = self.execution!.operation.sink
        let end =
            switch self.encoding {
            case .dqlite:
                self.execution!.stream.run(
                    DqliteRowsEncoder.self, statement, sink, session, self.stopFlag, self.configuration.partSize)
            case .protobuf:
                self.execution!.stream.run(
                    ProtobufRowsEncoder.self, statement, sink, session, self.stopFlag, self.configuration.partSize)
            }
        if self.execution!.stream.columnsHaveChanged {
            self.cache.remove(statement)
            self.execution!.prepared?.statement = nil
        }
        switch end {
        case .statementEnded:
            // Before the end of the result is asked for: its reader may take its time, and what is committed is.
            self.execution!.ended = statement
            try self.endStatement(session)
            return try self.streamRows(bytes, session)
        case .done: return .finished(.rows)
        case .paused: return .paused
        case .stopped: throw self.stopped(session)
        case .failed(let code):
            if !self.execution!.stream.hasStepped, self.lacksTurn(connection) {
                return try self.tryAgain(bytes, session)
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
}
