import DqliteProtocol

/// A transaction on a connection, for the time of ``DqliteConnection/withTransaction(_:options:file:line:_:)``. Whoever keeps
/// it longer is told that it has ended.
public struct DqliteTransaction: DqliteQueryable {
    /// How a transaction begins.
    public enum Mode: String, Hashable, Sendable {
        /// It takes the turn to write at once, and waits for it: what it reads cannot change before it writes.
        case immediate = "BEGIN IMMEDIATE"
        /// It takes the turn to write with its first write, which fails if another transaction wrote since this one first read.
        case deferred = "BEGIN DEFERRED"
        /// As ``immediate`` for a database in WAL mode, which all databases of dqlite are.
        case exclusive = "BEGIN EXCLUSIVE"
    }

    /// The connection that it is on.
    public let connection: DqliteConnection
    let state: TransactionState

    public func query(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence {
        try await self.connection.query(query, options: options, in: self.state, file: file, line: line)
    }

    public func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        try await self.connection.execute(query, options: options, in: self.state, file: file, line: line)
    }
}

/// Why a transaction was not committed, or may not have been.
public struct DqliteTransactionError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// It could not begin.
    public var beginError: DqliteError?
    /// What the closure threw. The transaction was rolled back.
    public var closureError: (any Error)?
    /// It could not be committed. ``outcome`` tells what became of it.
    public var commitError: DqliteError?
    /// It could not be rolled back. The connection was closed, which does the same.
    public var rollbackError: DqliteError?
    /// Where the program asked for the transaction.
    public var file: String
    /// Where the program asked for the transaction.
    public var line: Int

    public init(
        beginError: DqliteError? = nil, closureError: (any Error)? = nil, commitError: DqliteError? = nil,
        rollbackError: DqliteError? = nil, file: String = #fileID, line: Int = #line
    ) {
        self.beginError = beginError
        self.closureError = closureError
        self.commitError = commitError
        self.rollbackError = rollbackError
        self.file = file
        self.line = line
    }

    /// Whether a part of it may be committed without a COMMIT of the client.
    var isDoubtful = false

    /// What became of the transaction.
    public var outcome: DqliteError.Outcome {
        self.commitError?.outcome ?? (self.isDoubtful ? .unknown : .notCommitted)
    }

    /// Which of its steps failed: no SQL, no data.
    public var description: String {
        let step =
            if let error = self.beginError {
                "begin: \(error)"
            } else if let error = self.commitError {
                "commit: \(error)"
            } else {
                "the closure threw"
            }
        let rollback = self.rollbackError.map { ", rollback: \($0)" } ?? ""
        return "DqliteTransactionError(\(step)\(rollback) at \(self.file):\(self.line))"
    }

    /// All there is.
    public var debugDescription: String {
        var parts: [String] = []
        if let error = self.beginError { parts.append("begin: \(error.debugDescription)") }
        if let error = self.closureError { parts.append("closure: \(String(reflecting: error))") }
        if let error = self.commitError { parts.append("commit: \(error.debugDescription)") }
        if let error = self.rollbackError { parts.append("rollback: \(error.debugDescription)") }
        parts.append("at: \(self.file):\(self.line)")
        return "DqliteTransactionError(\(parts.joined(separator: ", ")))"
    }
}

extension DqliteConnection {
    /// Runs `body` in a transaction: commits it when `body` returns, rolls it back when `body` throws or the task is
    /// cancelled. A COMMIT that was sent is waited for also when the task is cancelled meanwhile.
    ///
    /// A connection has one transaction at a time: a second one is refused with
    /// ``DqliteError/Code-swift.struct/transactionInProgress``. Statements that other tasks send on the same connection meanwhile
    /// become part of the transaction: give each task a connection of its own, or a session, see
    /// ``openSession(database:file:line:)``.
    ///
    /// Some failures make SQLite roll back by itself. Whatever is sent after one, also by a closure that has caught the error, is
    /// refused with ``DqliteError/Code-swift.struct/transactionEnded``, and the transaction is not committed. With the protobuf
    /// encoding the node sees to that. With the dqlite encoding the client goes by the result code and the SQL: it does not see
    /// what only the schema says, RAISE(ROLLBACK) in a trigger and ON CONFLICT ROLLBACK in a table.
    ///
    /// - Parameters:
    ///   - mode: How the transaction begins.
    ///   - options: For BEGIN and COMMIT.
    ///   - body: What is done in it. BEGIN, COMMIT and ROLLBACK are not for it.
    /// - Throws: ``DqliteTransactionError``, also for what `body` throws.
    @discardableResult
    public func withTransaction<Value>(
        _ mode: DqliteTransaction.Mode = .immediate, options: DqliteCallOptions = .defaults, file: String = #fileID,
        line: Int = #line, _ body: (DqliteTransaction) async throws -> Value
    ) async throws(DqliteTransactionError) -> Value {
        var failure = DqliteTransactionError(file: file, line: line)
        guard self.transactionPlace.take() else {
            failure.beginError = DqliteError(
                .transactionInProgress, message: "the connection has a transaction already: use openSession()",
                file: file, line: line)
            throw failure
        }
        defer { self.transactionPlace.leave() }
        do throws(DqliteError) {
            _ = try await self.send(DqliteQuery(unsafeSQL: mode.rawValue), options: options, file: file, line: line)
        } catch {
            failure.beginError = error
            // Only the node knows whether a BEGIN that was given up after it was sent has begun something.
            if error.server == nil, error.outcome != .notCommitted {
                failure.rollbackError = await self.rollBack(file: file, line: line)
            }
            throw failure
        }
        let state = TransactionState(encoding: self.link.encoding)
        self.transactionPlace.current = state
        let result: Value
        do {
            result = try await body(DqliteTransaction(connection: self, state: state))
            if Task.isCancelled { throw DqliteError(.cancelled, file: file, line: line) }
        } catch {
            let cause = self.finish(state)
            failure.closureError = error
            var wasOpen = true
            failure.rollbackError = await self.rollBack(wasOpen: &wasOpen, file: file, line: line)
            // A transaction that ended unnoticed may have been followed by statements on their own. The protobuf encoding does not
            // let that happen.
            let endedUnnoticed = !wasOpen && cause == nil && self.link.encoding == .dqlite
            failure.isDoubtful = state.isDoubtful || endedUnnoticed
            throw failure
        }
        do throws(DqliteError) {
            if let cause = self.finish(state) {
                throw DqliteError(
                    .transactionEnded, outcome: state.isDoubtful ? .unknown : .notCommitted,
                    message: "a statement that failed has ended the transaction", underlyingError: cause)
            }
            _ = try await self.send(
                "COMMIT", options: options, inTransaction: true, ignoringCancellation: true, file: file, line: line)
        } catch {
            failure.commitError = self.commitError(error, state).at(file: file, line: line)
            // After some failures SQLite leaves the transaction open.
            failure.rollbackError = await self.rollBack(file: file, line: line)
            throw failure
        }
        return result
    }

    private func finish(_ state: TransactionState) -> DqliteError? {
        self.transactionPlace.current = nil
        return state.finish()
    }

    /// What a COMMIT that failed says about the transaction.
    private func commitError(_ error: DqliteError, _ state: TransactionState) -> DqliteError {
        switch error.server?.extendedResultCode {
        case FailureCode.abortRollback:
            // The node rolled it back, and has run nothing of it by itself since, unless the closure sent a COMMIT.
            error.with(outcome: state.isDoubtful ? .unknown : .notCommitted)
        case FailureCode.error:
            // To a COMMIT SQLite says so for one reason: no transaction is open. Nobody knows since when, or why.
            error.with(outcome: .unknown)
        default: error
        }
    }

    /// Ends the transaction of which the outcome is not wanted, also when the task is cancelled. When that fails the
    /// connection is closed, and the transaction with it.
    private func rollBack(file: String, line: Int) async -> DqliteError? {
        var wasOpen = true
        return await self.rollBack(wasOpen: &wasOpen, file: file, line: line)
    }

    private func rollBack(wasOpen: inout Bool, file: String, line: Int) async -> DqliteError? {
        do throws(DqliteError) {
            _ = try await self.send("ROLLBACK", options: .defaults, ignoringCancellation: true, file: file, line: line)
            return nil
        } catch {
            // To a ROLLBACK SQLite says so for one reason: no transaction is open, because it rolled back by itself.
            switch error.server?.extendedResultCode {
            case FailureCode.error, FailureCode.abortRollback:
                wasOpen = false
                return nil
            default: break
            }
            if error.code == .connectionClosed { return nil }
            await self.close()
            return error
        }
    }
}
