import Synchronization

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
    private let end = End()

    /// Shared by the copies of a transaction.
    private final class End: Sendable {
        let hasCome = Atomic(false)
    }

    init(connection: DqliteConnection) { self.connection = connection }

    func finish() { self.end.hasCome.store(true, ordering: .releasing) }

    func checkOpen(file: String, line: Int) throws(DqliteError) {
        if self.end.hasCome.load(ordering: .acquiring) {
            throw DqliteError(.transactionEnded, message: "the transaction has ended", file: file, line: line)
        }
    }

    public func query(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence {
        try self.checkOpen(file: file, line: line)
        return try await self.connection.query(query, options: options, file: file, line: line)
    }

    public func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        try self.checkOpen(file: file, line: line)
        return try await self.connection.execute(query, options: options, file: file, line: line)
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

    /// What became of the transaction.
    public var outcome: DqliteError.Outcome { self.commitError?.outcome ?? .notCommitted }

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
    /// cancelled.
    ///
    /// Statements that other tasks send on the same connection meanwhile become part of the transaction: give each task a
    /// connection of its own, or a session, see ``openSession(database:file:line:)``.
    ///
    /// - Parameters:
    ///   - mode: How the transaction begins.
    ///   - options: For BEGIN and COMMIT.
    ///   - body: What is done in it.
    /// - Throws: ``DqliteTransactionError``, also for what `body` throws.
    @discardableResult
    public func withTransaction<Value>(
        _ mode: DqliteTransaction.Mode = .immediate, options: DqliteCallOptions = .defaults, file: String = #fileID,
        line: Int = #line, _ body: (DqliteTransaction) async throws -> Value
    ) async throws(DqliteTransactionError) -> Value {
        var failure = DqliteTransactionError(file: file, line: line)
        do throws(DqliteError) {
            _ = try await self.execute(
                DqliteQuery(unsafeSQL: mode.rawValue), options: options, file: file, line: line)
        } catch {
            failure.beginError = error
            // Only the node knows whether a BEGIN that was given up has begun something.
            if error.server == nil { failure.rollbackError = await self.rollBack(file: file, line: line) }
            throw failure
        }
        let transaction = DqliteTransaction(connection: self)
        let result: Value
        do {
            defer { transaction.finish() }
            result = try await body(transaction)
            if Task.isCancelled { throw DqliteError(.cancelled, file: file, line: line) }
        } catch {
            failure.closureError = error
            failure.rollbackError = await self.rollBack(file: file, line: line)
            throw failure
        }
        do throws(DqliteError) {
            _ = try await self.execute("COMMIT", options: options, file: file, line: line)
        } catch {
            failure.commitError = error
            // After some failures SQLite leaves the transaction open.
            failure.rollbackError = await self.rollBack(file: file, line: line)
            throw failure
        }
        return result
    }

    /// Ends the transaction of which the outcome is not wanted, also when the task is cancelled. When that fails the
    /// connection is closed, and the transaction with it.
    private func rollBack(file: String, line: Int) async -> DqliteError? {
        do throws(DqliteError) {
            _ = try await self.execute(
                "ROLLBACK", options: .defaults, ignoringCancellation: true, file: file, line: line)
            return nil
        } catch {
            // Some errors make SQLite roll back by itself: "cannot rollback - no transaction is active".
            if let server = error.server, server.message.contains("no transaction is active") { return nil }
            if error.code == .connectionClosed { return nil }
            await self.close()
            return error
        }
    }
}
