internal import CSQLite
internal import DqliteProtocol

/// What a session does on its connections: one on the committed view, for what only reads, which it takes for a request and
/// gives back, and one of its own on the overlay, for the rest.
///
/// @unchecked: it is touched only by the thread that runs the session's slice, of which ``SessionStateMachine`` allows
/// one at a time; the lock around the machine orders one slice before the next.
final class SessionCore: @unchecked Sendable {
    /// How a slice ends.
    enum SliceEnd {
        case finished(Answer)
        case paused
        case waitsForTurn(WriterQueue.Ticket)
        /// It goes on elsewhere.
        case moves(SessionStateMachine<EngineSession.Operation>.Place)
        /// The answer is held until this sequence number is applied.
        case awaitsCommit(UInt64)
        /// The answer is held until this node is known to lead.
        case awaitsLeadership
    }

    /// What an operation is answered with.
    enum Answer {
        case result(ResultResponse)
        case statement(StatementResponse)
        case empty
        /// The last part is written and only has to be ended.
        case rows
        /// Rows that could not be shown before they were committed.
        case heldRows(HeldResult)
        case failure(EngineError)
    }

    /// The operation that runs. (A class, so that none of it is copied on its way.)
    final class Execution {
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
            /// To tell the answer, once what it shows is committed.
            case committing(Answer)
            /// To hand out rows that were held, from this part on.
            case replay(HeldResult, Int)
        }

        let operation: EngineSession.Operation
        var stage = Stage.begin
        /// Which connection the statement runs on.
        var view = Connection.View.committed
        /// Whether anything was compiled or run on the overlay, so that the answer may show what is not committed.
        var sawOverlay = false
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
        /// The overlay and the sequence number of the first of them.
        var firstCommit: (generation: UInt64, sequence: UInt64)?
        /// Whether what is waited for is all that the snapshot of the open transaction shows.
        var awaitsSnapshot = false
        /// Whether the statement runs inside a savepoint of its own.
        var hasSavepoint = false
        /// Whether rows were inserted, updated or deleted.
        var hasChangedRows = false
        /// Parameters that the statement itself has taken.
        var taken = 0
        /// Whether the statement was compiled once more, because it was about to write without the turn.
        var isSecondTry = false
        /// Whether the statement turned out to need the session's own connection.
        var needsOverlay = false
        /// A statement of Query or QuerySQL that has come to its end, while its result may have not: the names of its
        /// columns are still needed.
        var ended: Statement?
        var stream = RowStream()
        /// Where rows go that may not be shown before they are committed.
        var held: HeldResult?
        /// Whether all that its rows show was found to be committed, or is being waited for.
        var rowsAreCommitted = false

        init(operation: EngineSession.Operation) { self.operation = operation }
    }

    let database: Database
    let mode: DatabaseName.Mode
    let encoding: WireEncoding
    let isStateless: Bool
    let configuration: EngineConfiguration
    let stopFlag: StopFlag

    /// The connection on the committed view, which is the session's while a request uses it.
    var reader: Reader?
    var overlay: Connection?
    var overlayCache: StatementCache
    /// Which overlay of the database the connection is on.
    var generation: UInt64 = 0
    /// What only the overlay connection has: TEMP objects, and settings.
    var hasOwnState = false
    /// The last rowid of an overlay connection that was given up.
    var lastInsertRowID: Int64 = 0
    var registry = StatementRegistry()
    /// Whether this session may write to the database, and nobody else.
    var holdsTurn = false
    /// Whether all that the open transaction's snapshot shows was found to be committed.
    var snapshotIsCommitted = false
    /// Why the last transaction is over, if it was not ended by a statement that does just that.
    var transactionEnd: String?
    /// Why the transaction was rolled back under the client, which does not know yet.
    var abort: EngineError?
    var execution: Execution?

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
        self.overlayCache = StatementCache(capacity: configuration.statementCacheCapacity)
    }

    /// Whether BEGIN or SAVEPOINT has opened a transaction.
    var isInTransaction: Bool { self.overlay.map { !$0.isInAutocommit } ?? false }

    /// Whether all that is left of the operation is to tell its answer, once what it shows is committed.
    var isCommitting: Bool { if case .committing = self.execution?.stage { true } else { false } }

    /// Whether all that the session asks for must run on its overlay connection.
    var isPinned: Bool { self.hasOwnState || self.isInTransaction }

    /// The connection of the statement that runs.
    var connection: Connection? {
        switch self.execution?.view {
        case .overlay: self.overlay
        case .committed: self.reader?.connection
        case nil: nil
        }
    }

    /// The operation that runs.
    var running: Execution {
        guard let execution = self.execution else { preconditionFailure("nothing to go on with") }
        return execution
    }

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

    func advance(session: EngineSession, at thread: SliceThread) -> SliceEnd {
        let execution = self.running
        switch execution.stage {
        case .committing(let answer): return self.answerCommitted(answer, session)
        case .replay(let held, let part): return self.replay(held, from: part, session)
        default: break
        }
        let operation = execution.operation
        let end = operation.request.withUnsafeBytes { bytes -> SliceEnd in
            do throws(EngineError) {
                if self.stopFlag.isSet { throw self.stopped(session) }
                try self.continueWithoutOverlay(session)
                switch operation.code {
                case .prepare: return try self.prepare(bytes, operation.revision, session, at: thread)
                case .finalize: return .finished(try self.finalize(bytes, operation.revision))
                case .exec, .query, .execSQL, .querySQL: return try self.runStatements(bytes, session, at: thread)
                default:
                    throw EngineError(
                        code: FailureCode.malformedRequest, message: "request \(operation.code.rawValue) runs no SQL")
                }
            } catch {
                return .finished(.failure(error))
            }
        }
        // Only now that nothing on the way here holds a statement of it any more.
        if execution.view == .overlay {
            self.giveBackReader()
        } else if case .moves = end, !execution.stream.hasStepped {
            // Who waits for a thread keeps nothing from others: it is found again there.
            execution.statement = nil
            execution.stage = .compile
            session.setHandle(nil)
            self.giveBackReader()
        }
        guard case .finished(let answer) = end else { return end }
        return self.settle(answer, session)
    }

    /// Brings the connections into order after the operation's statements, and lets others write.
    ///
    /// - Returns: The answer, or that it is held.
    private func settle(_ answer: Answer, _ session: EngineSession) -> SliceEnd {
        let execution = self.running
        var answer = answer
        // What fails because the overlay is void has failed because of what made it so.
        let voidReason = self.overlayIsVoid ? self.database.lastLoss : nil
        let reason = session.settle()
        if case .failure(var error) = answer {
            self.abandonStatement(execution)
            if case .awaitsTurn = execution.stage { self.database.leaveTurn(session) }
            if let reason, self.rollsBack(reason) { self.overlay?.rollBack() }
            if let voidReason, execution.sawOverlay {
                error = voidReason.error(outcome: execution.hasCommitted ? .unknown : .notCommitted)
                answer = .failure(error)
            }
            if execution.wasInTransaction, !self.isInTransaction || voidReason != nil {
                self.transactionEnd = error.message
            }
        } else {
            execution.statement?.reset()
            if !self.isInTransaction { self.transactionEnd = nil }
        }
        if self.isInTransaction, voidReason == nil { self.transactionEnd = nil }
        self.allowChanges()
        let gate = self.gate(of: execution, isFailure: { if case .failure = answer { true } else { false } }())
        if !self.isInTransaction { self.snapshotIsCommitted = false }
        execution.statement = nil
        execution.ended = nil
        self.giveBackReader()
        self.leaveTurnUnlessWriting(session)
        self.checkOverlay(session)
        // Who is told now need not be told again.
        if voidReason != nil, execution.sawOverlay, case .failure = answer { self.abort = nil }
        switch gate {
        case .none:
            guard self.needsProof(answer, execution) else { return self.finish(answer) }
            self.execution?.stage = .committing(answer)
            return .awaitsLeadership
        case .sequence(let sequence):
            // Who has to wait for a commit learns by it that this node leads.
            let isKnown = self.database.isApplied(sequence)
            self.execution?.stage = .committing(answer)
            return isKnown && self.needsProof(answer, execution) ? .awaitsLeadership : .awaitsCommit(sequence)
        case .void:
            self.abort = nil
            let loss = self.database.lastLoss
            return self.finish(.failure(loss.error(outcome: execution.hasCommitted ? .unknown : .notCommitted)))
        }
    }

    private enum Gate {
        case none
        case sequence(UInt64)
        case void
    }

    /// What must be applied before the answer may be told.
    private func gate(of execution: Execution, isFailure: Bool) -> Gate {
        guard execution.sawOverlay, let overlay = self.overlay else { return .none }
        if self.configuration.defects.contains(.answersAtOnce) { return .none }
        if self.overlayIsVoid { return isFailure ? .none : .void }
        if execution.rowsAreCommitted { return .none }
        // Inside a transaction everything comes from its snapshot, and from what it has done itself.
        if self.snapshotIsCommitted, execution.wasInTransaction, !execution.hasCommitted { return .none }
        guard let sequence = overlay.gate else { return isFailure ? .none : .void }
        execution.awaitsSnapshot = self.isInTransaction && overlay.hasSnapshot
        return .sequence(sequence)
    }

    enum GateOfRows {
        case none
        case commit(UInt64)
        case leadership
    }

    /// What must be known before rows of the snapshot that was just opened may leave. It is asked for once.
    func takeGateOfRows() -> GateOfRows {
        guard let execution, execution.held == nil, !execution.rowsAreCommitted else { return .none }
        self.execution?.rowsAreCommitted = true
        if execution.sawOverlay, !(self.snapshotIsCommitted && execution.wasInTransaction),
            let sequence = self.overlay?.gate
        {
            guard self.database.isApplied(sequence) else {
                execution.awaitsSnapshot = self.isInTransaction
                return .commit(sequence)
            }
            if self.isInTransaction { self.snapshotIsCommitted = true }
        }
        return self.isCurrent(execution) ? .none : .leadership
    }

    /// Whether what this node shows is new enough: it certainly leads, or the request is content with less.
    private func isCurrent(_ execution: Execution) -> Bool {
        execution.operation.isCurrent || self.database.parts.replicator.holdsLease
    }

    /// Whether an answer shows anything of the database, of which it is not known that it is the newest.
    private func needsProof(_ answer: Answer, _ execution: Execution) -> Bool {
        switch answer {
        case .failure, .statement, .empty: return false
        case .result, .rows, .heldRows: return !execution.rowsAreCommitted && !self.isCurrent(execution)
        }
    }

    /// What was waited for is committed: if that was all that the open transaction sees, it need not wait again.
    func noteCommittedSnapshot() {
        if self.execution?.awaitsSnapshot ?? false, self.isInTransaction, !self.overlayIsVoid {
            self.snapshotIsCommitted = true
        }
        self.execution?.awaitsSnapshot = false
    }

    /// What the answer shows is committed, or lost; or the operation is to end before it is known.
    private func answerCommitted(_ answer: Answer, _ session: EngineSession) -> SliceEnd {
        let hasWritten = self.execution?.hasCommitted ?? false
        switch session.takeCommitOutcome() {
        case .committed:
            self.noteCommittedSnapshot()
            return self.finish(answer)
        case .dropped(let loss):
            // The newest that the answer shows was dropped; what the request committed first need not be.
            let outcome = self.execution?.firstCommit.map {
                self.database.outcome(of: $0.sequence, in: $0.generation)
            }
            return self.lost(loss, outcome: outcome ?? (hasWritten ? .unknown : .notCommitted), session)
        case .unknown(let loss): return self.lost(loss, outcome: hasWritten ? .unknown : .notCommitted, session)
        case nil:
            var error = EngineError(session.stopReason ?? .interrupted)
            error.message += "; it waited for its commit"
            error.outcome = hasWritten ? .unknown : .notCommitted
            return self.finish(.failure(error))
        }
    }

    /// The overlay was thrown away with what the answer shows, and with the transaction that is open.
    private func lost(_ loss: OverlayLoss, outcome: WriteOutcome, _ session: EngineSession) -> SliceEnd {
        self.checkOverlay(session)
        self.abort = nil
        return self.finish(.failure(loss.error(outcome: outcome)))
    }

    private func finish(_ answer: Answer) -> SliceEnd {
        if case .heldRows(let held) = answer {
            self.execution?.stage = .replay(held, 0)
            return .moves(.pool)
        }
        return .finished(answer)
    }

    /// Hands out what was held, as its reader takes it.
    private func replay(_ held: HeldResult, from start: Int, _ session: EngineSession) -> SliceEnd {
        guard let sink = self.execution?.operation.sink else { preconditionFailure("nobody to tell") }
        var part = start
        while true {
            if self.stopFlag.isSet {
                var error = EngineError(session.stopReason ?? .interrupted)
                error.code = FailureCode.interrupted
                error.message += "; the statement was complete and is committed"
                error.outcome = .committed
                return .finished(.failure(error))
            }
            session.willAsk()
            let limit = sink.partLimit
            let bytes = held.parts[part]
            guard bytes.count <= limit else {
                sink.blocked(bytesNeeded: bytes.count)
                self.execution?.stage = .replay(held, part)
                return .paused
            }
            session.wasTold()
            if !bytes.isEmpty {
                sink.write(atLeast: bytes.count) { memory in
                    memory.copyBytes(from: bytes)
                    return bytes.count
                }
            }
            part += 1
            if part == held.parts.count { return .finished(.rows) }
            session.willAsk()
            guard sink.endPart(more: true) else {
                self.execution?.stage = .replay(held, part)
                return .paused
            }
            session.wasTold()
        }
    }

    /// Ends the operation.
    func tell(_ answer: Answer) {
        guard let sink = self.execution?.operation.sink else { preconditionFailure("nobody to tell") }
        self.execution = nil
        switch answer {
        case .result(let response): sink.result(response)
        case .statement(let response): sink.statement(response)
        case .empty: sink.empty()
        case .rows: _ = sink.endPart(more: false)
        case .heldRows: preconditionFailure("held rows are handed out before the end is told")
        case .failure(let error): sink.failure(error)
        }
    }

    func rollsBack(_ reason: StopReason) -> Bool {
        if case .resultNotRead = reason { return self.holdsTurn }
        return reason.endsTransaction
    }

    /// Ends what holds while a statement runs.
    private func allowChanges() {
        self.reader?.connection.authorizer.deniesChanges = false
        self.overlay?.authorizer.deniesChanges = false
    }

    /// Takes back what a statement has done that has not come to its end.
    func abandonStatement(_ execution: Execution) {
        self.allowChanges()
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
        self.overlay?.rollBack()
        self.abort = EngineError(reason)
        self.transactionEnd = self.abort?.message
        self.snapshotIsCommitted = false
        self.leaveTurnUnlessWriting(session)
        self.checkOverlay(session)
    }

    func close(session: EngineSession) {
        self.execution = nil
        self.overlayCache.removeAll()
        self.registry.removeAll()
        self.overlay?.rollBack()
        self.database.leaveTurn(session)
        self.holdsTurn = false
        // A statement may be in the middle of it.
        self.reader = nil
        self.dropOverlay(session)
    }

    /// The last line of defence: a statement that has locked the database although it did not seem to write has no
    /// place in the order of writers.
    func checkTurn() throws(EngineError) {
        guard !self.holdsTurn, let overlay = self.overlay, overlay.isWriting else { return }
        overlay.rollBack()
        throw EngineError(
            code: FailureCode.abortRollback,
            message: "the transaction was rolled back: the statement changed the database in a way that could not be "
                + "foreseen; begin with BEGIN IMMEDIATE")
    }

    func leaveTurnUnlessWriting(_ session: EngineSession) {
        guard self.holdsTurn, self.overlayIsVoid || !(self.overlay?.isWriting ?? false) else { return }
        self.holdsTurn = false
        self.database.leaveTurn(session)
    }
}
