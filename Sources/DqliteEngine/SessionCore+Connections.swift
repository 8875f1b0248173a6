internal import CSQLite
internal import DqliteProtocol
internal import Synchronization

extension SessionCore {
    /// The connection on a view, opened if it is not. That may wait for the disk.
    func openConnection(_ view: Connection.View, _ session: EngineSession) throws(EngineError) -> Connection {
        switch view {
        case .committed:
            if let reader = self.findReader() { return reader.connection }
            let connection = try self.connect(.committed)
            self.reader = Reader(
                connection: connection, statementCapacity: 4 * min(self.configuration.statementCacheCapacity, 1 << 20))
            return connection
        case .overlay:
            if let overlay = self.overlay { return overlay }
            let generation = try self.database.beginOverlay()
            let connection = try self.connectOverlay()
            // What looked like reading when it was compiled may not be any more when it runs.
            if self.mode == .readOnly { try connection.execute("PRAGMA query_only = ON") }
            sqlite3_set_last_insert_rowid(connection.handle, self.lastInsertRowID)
            self.overlay = connection
            self.generation = generation
            self.database.overlayOpened(by: session)
            return connection
        }
    }

    private func connectOverlay() throws(EngineError) -> Connection {
        guard self.configuration.defects.contains(.sharesWriter) else { return try self.connect(.overlay) }
        if let shared = self.database.sharedWriter.withLock({ $0.connection }) { return shared }
        let connection = try self.connect(.overlay)
        self.database.sharedWriter.withLock { $0.connection = connection }
        return connection
    }

    /// A connection on the committed view, if there is one: the session's, or one that nobody uses.
    func findReader() -> Reader? {
        if let reader = self.reader { return reader }
        guard let reader = self.database.takeReader() else { return nil }
        reader.connection.progress.stopFlag = self.stopFlag
        reader.connection.authorizer.isStateless = self.isStateless
        reader.connection.authorizer.isReadOnly = self.mode == .readOnly
        self.reader = reader
        return reader
    }

    /// Lets others use the connection on the committed view, whose statements have come to their end.
    func giveBackReader() {
        if let reader = self.reader.take() { self.database.giveBack(reader) }
    }

    private func connect(_ view: Connection.View) throws(EngineError) -> Connection {
        let authorizer = Authorizer(
            isStateless: self.isStateless, isReadOnly: self.mode == .readOnly,
            maximumCacheSize: self.configuration.maximumCacheSize, view: view)
        return try Connection(
            view, of: self.database.pager, authorizer: authorizer, stopFlag: self.stopFlag,
            limits: self.configuration)
    }

    /// Whether the overlay that the connection is on was thrown away.
    var overlayIsVoid: Bool { self.overlay != nil && self.generation != self.database.generation }

    /// Gives up a connection whose overlay was thrown away. Unless an operation is about to be told, the client hears of
    /// what it has lost with its next request.
    func checkOverlay(_ session: EngineSession) {
        guard self.overlayIsVoid else { return }
        let loss = self.database.lastLoss
        if self.isInTransaction || self.hasOwnState {
            var error = loss.error(outcome: .notCommitted)
            if self.isInTransaction {
                error.message += "; the transaction was rolled back"
                self.transactionEnd = error.message
            } else {
                error.message += "; TEMP objects and settings of the session are gone"
            }
            self.abort = error
        }
        self.dropOverlay(session)
        if self.holdsTurn {
            self.holdsTurn = false
            self.database.leaveTurn(session)
        }
    }

    /// Goes on with the operation although the overlay was thrown away meanwhile, if nothing of it was lost with that.
    func continueWithoutOverlay(_ session: EngineSession) throws(EngineError) {
        guard self.overlayIsVoid else { return }
        let wasPinned = self.isPinned
        self.checkOverlay(session)
        guard let execution = self.execution, execution.view == .overlay else { return }
        if case .begin = execution.stage { return }
        if case .awaitsTurn = execution.stage { self.database.leaveTurn(session) }
        guard wasPinned || execution.sawOverlay else {
            // It waited for its turn, or for a thread.
            execution.stage = .compile
            return
        }
        let abort = self.abort
        self.abort = nil
        if execution.hasCommitted { throw self.database.lastLoss.error(outcome: .unknown) }
        throw abort ?? self.database.lastLoss.error(outcome: .notCommitted)
    }

    /// Closes the overlay connection, with all that it holds.
    func dropOverlay(_ session: EngineSession) {
        guard let overlay = self.overlay else { return }
        self.lastInsertRowID = sqlite3_last_insert_rowid(overlay.handle)
        session.setHandle(nil)
        self.overlayCache.removeAll()
        self.registry.forgetCompiled()
        if self.execution?.view == .overlay {
            self.execution?.statement = nil
            self.execution?.ended = nil
        }
        self.hasOwnState = false
        self.snapshotIsCommitted = false
        self.overlay = nil
        self.database.overlayClosed(by: session)
    }

    /// Closes the overlay connection for others, if nothing depends on it.
    func releaseOverlay(session: EngineSession) {
        if !self.isPinned, !self.holdsTurn { self.dropOverlay(session) }
    }

    /// Goes on with the next statement on this view.
    func use(_ view: Connection.View, _ session: EngineSession) throws(EngineError) -> Connection {
        let connection = try self.openConnection(view, session)
        self.execution?.view = view
        session.setHandle(connection.handle)
        return connection
    }

    // MARK: Prepare and Finalize

    func prepare(
        _ bytes: UnsafeRawBufferPointer, _ revision: UInt8, _ session: EngineSession, at thread: SliceThread
    ) throws(EngineError) -> SliceEnd {
        if case .here = thread { return .moves(.pool) }
        if self.isStateless {
            throw EngineError(
                code: FailureCode.notAuthorized,
                message: "Prepare needs a session: requests without one leave nothing behind")
        }
        try self.checkTransaction()
        let request = try self.decodePrepare(bytes)
        guard self.registry.count < self.configuration.maximumStatementsPerSession else {
            throw EngineError(
                code: FailureCode.full,
                message: "the session has \(self.registry.count) prepared statements, which is the limit: finalize some"
            )
        }
        var connection = try self.use(self.isPinned ? .overlay : .committed, session)
        if connection.view == .overlay { self.execution?.sawOverlay = true }
        let compiled: Statement.Compiled
        do throws(EngineError) {
            compiled = try self.compile(request.sql, from: 0, on: connection, keep: true, session)
        } catch {
            guard connection.authorizer.needsOverlay else { throw error }
            connection = try self.use(.overlay, session)
            compiled = try self.compile(request.sql, from: 0, on: connection, keep: true, session)
        }
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
        let prepared = StatementRegistry.Prepared(sql: text)
        self.keep(statement, of: prepared, on: connection.view)
        let number = self.registry.insert(prepared)
        return .finished(
            .statement(
                StatementResponse(
                    databaseID: 0, statementID: number, parameterCount: UInt64(statement.parameterCount),
                    tailOffset: UInt64(isLast ? request.sql.count : compiled.tail))))
    }

    /// Keeps what a prepared statement was compiled to.
    func keep(_ statement: Statement, of prepared: StatementRegistry.Prepared, on view: Connection.View) {
        switch view {
        case .overlay: prepared.overlay = statement
        case .committed:
            prepared.needsOverlay = statement.traits.contains(.needsOverlay)
            if !prepared.needsOverlay, !statement.traits.contains(.isPragma) {
                prepared.sql.withUnsafeBytes { self.reader?.prepared.insert(statement, for: $0) }
            }
        }
    }

    func finalize(_ bytes: UnsafeRawBufferPointer, _ revision: UInt8) throws(EngineError) -> Answer {
        let number = try self.decodeFinalize(bytes)
        guard self.registry.remove(number) else { throw Self.unknownStatement(number) }
        return .empty
    }

    func compile(
        _ sql: UnsafeRawBufferPointer, from start: Int, on connection: Connection, keep: Bool, _ session: EngineSession
    ) throws(EngineError) -> Statement.Compiled {
        if connection.view == .committed { connection.waits = true }
        // Schemas are read while statements are compiled.
        connection.progress.begin(budget: nil)
        do {
            let compiled = try Statement.compile(sql, from: start, on: connection, keep: keep)
            if let statement = compiled.statement, statement.traits.contains(.isSetting) { self.hasOwnState = true }
            return compiled
        } catch {
            // The schema that it failed on may not be committed.
            if connection.view == .overlay { self.execution?.sawOverlay = true }
            throw self.failure(error, session)
        }
    }
}
