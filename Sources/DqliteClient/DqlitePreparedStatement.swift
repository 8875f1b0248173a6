import DqliteProtocol
import Synchronization

/// A statement that the node has prepared, to be run with different values.
///
/// It belongs to its connection and is forgotten with it; ``close()`` makes the node forget it earlier.
public final class DqlitePreparedStatement: Sendable {
    /// The connection that it is on.
    public let connection: DqliteConnection
    /// Its SQL.
    public let sql: String
    /// How many parameters it takes.
    public let parameterCount: Int
    /// The transaction that it was prepared in. Others run in whatever is open on the connection.
    private let transaction: TransactionState?
    private let statementID: UInt32
    private let isClosed = Atomic(false)

    init(
        connection: DqliteConnection, sql: String, transaction: TransactionState?, response: StatementResponse
    ) {
        self.connection = connection
        self.transaction = transaction
        self.sql = sql
        self.parameterCount = Int(clamping: response.parameterCount)
        self.statementID = response.statementID
    }

    /// Runs the statement and returns its rows as they arrive.
    ///
    /// - Parameters:
    ///   - values: The values of its parameters, in order.
    ///   - options: What this call wants to have otherwise.
    /// - Throws: ``DqliteError``.
    public func query<each Parameter: DqliteEncodable>(
        _ values: repeat each Parameter, options: DqliteCallOptions = .defaults, file: String = #fileID,
        line: Int = #line
    ) async throws(DqliteError) -> DqliteRowSequence {
        var bindings = DqliteBindings()
        repeat bindings.append(each values)
        return try await self.query(bindings: bindings, options: options, file: file, line: line)
    }

    /// Runs the statement and returns its rows as they arrive.
    public func query(
        bindings: DqliteBindings, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteRowSequence {
        do throws(DqliteError) {
            let parameters = try self.check(bindings)
            let message = QueryRequest(
                databaseID: self.connection.databaseID, statementID: self.statementID, parameters: parameters)
            let transaction = self.transaction ?? self.connection.transactionPlace.current
            return try await self.connection.run(self.sql, in: transaction) { () async throws(DqliteError) in
                try await self.connection.requester(inTransaction: transaction != nil).rows(
                    message, as: Request.Body.query, revision: parameters.revision, options: options,
                    origin: RowOrigin(sql: self.sql, transaction: transaction, file: file, line: line))
            }
        } catch {
            throw error.at(file: file, line: line, sql: self.sql)
        }
    }

    /// Runs the statement, of which the rows, if any, are not wanted.
    ///
    /// - Parameters:
    ///   - values: The values of its parameters, in order.
    ///   - options: What this call wants to have otherwise.
    /// - Throws: ``DqliteError``.
    @discardableResult
    public func execute<each Parameter: DqliteEncodable>(
        _ values: repeat each Parameter, options: DqliteCallOptions = .defaults, file: String = #fileID,
        line: Int = #line
    ) async throws(DqliteError) -> DqliteExecuteResult {
        var bindings = DqliteBindings()
        repeat bindings.append(each values)
        return try await self.execute(bindings: bindings, options: options, file: file, line: line)
    }

    /// Runs the statement, of which the rows, if any, are not wanted.
    @discardableResult
    public func execute(
        bindings: DqliteBindings, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteExecuteResult {
        do throws(DqliteError) {
            let parameters = try self.check(bindings)
            let message = ExecRequest(
                databaseID: self.connection.databaseID, statementID: self.statementID, parameters: parameters)
            let transaction = self.transaction ?? self.connection.transactionPlace.current
            return try await self.connection.run(self.sql, in: transaction) { () async throws(DqliteError) in
                let response = try await self.connection.requester(inTransaction: transaction != nil).call(
                    message, as: Request.Body.exec, for: ResultResponse.self, revision: parameters.revision,
                    options: options)
                return DqliteExecuteResult(response)
            }
        } catch {
            throw error.at(file: file, line: line, sql: self.sql)
        }
    }

    /// Makes the node forget the statement, also if the task is cancelled. Closing again does nothing.
    ///
    /// - Throws: ``DqliteError`` when the node did not answer as it should. The statement cannot be used all the same.
    public func close(file: String = #fileID, line: Int = #line) async throws(DqliteError) {
        guard !self.isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        do throws(DqliteError) {
            try self.connection.checkOpen()
            _ = try await self.connection.requester.call(
                FinalizeRequest(databaseID: self.connection.databaseID, statementID: self.statementID),
                as: Request.Body.finalize, for: EmptyResponse.self, ignoringCancellation: true)
        } catch {
            if error.code == .connectionClosed { return }
            throw error.at(file: file, line: line, sql: self.sql)
        }
    }

    private func check(_ bindings: DqliteBindings) throws(DqliteError) -> [Value] {
        if self.isClosed.load(ordering: .acquiring) {
            throw DqliteError(.connectionClosed, message: "the statement was closed")
        }
        try self.connection.checkOpen()
        // dqlite takes missing values for NULL, and leaves surplus ones aside: both hide a mistake.
        guard bindings.count == self.parameterCount else {
            throw DqliteError(
                .invalidQuery,
                message: "the statement takes \(self.parameterCount) parameters and was given \(bindings.count)")
        }
        return try bindings.protocolValues()
    }
}

extension DqliteConnection {
    /// Prepares a statement. It has to be closed, or keeps memory of the node until the connection is closed; see
    /// ``withPreparedStatement(_:options:file:line:_:)``.
    ///
    /// - Parameters:
    ///   - sql: One statement; its parameters are `?`.
    ///   - options: What this call wants to have otherwise.
    /// - Throws: ``DqliteError``.
    public func prepare(
        _ sql: String, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqlitePreparedStatement {
        try await self.prepare(sql, options: options, in: nil, file: file, line: line)
    }

    fileprivate func prepare(
        _ sql: String, options: DqliteCallOptions, in transaction: TransactionState?, file: String, line: Int
    ) async throws(DqliteError) -> DqlitePreparedStatement {
        do throws(DqliteError) {
            try self.checkOpen()
            let requester = self.requester
            let databaseID = self.databaseID
            let response = try await requester.call(
                PrepareRequest(databaseID: UInt64(databaseID), sql: sql), as: Request.Body.prepare,
                for: StatementResponse.self, options: options,
                // Nobody would ever close a statement that is prepared for a task which no longer waits.
                onLate: { statement in
                    requester.post(
                        FinalizeRequest(databaseID: databaseID, statementID: statement.statementID),
                        as: Request.Body.finalize, for: EmptyResponse.self)
                })
            return DqlitePreparedStatement(connection: self, sql: sql, transaction: transaction, response: response)
        } catch {
            throw error.at(file: file, line: line, sql: sql)
        }
    }

    /// Prepares a statement, lets `body` use it, and closes it.
    @discardableResult
    public func withPreparedStatement<Value>(
        _ sql: String, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line,
        _ body: (DqlitePreparedStatement) async throws -> Value
    ) async throws -> Value {
        try await self.withPreparedStatement(sql, options: options, in: nil, file: file, line: line, body)
    }

    fileprivate func withPreparedStatement<Value>(
        _ sql: String, options: DqliteCallOptions, in transaction: TransactionState?, file: String, line: Int,
        _ body: (DqlitePreparedStatement) async throws -> Value
    ) async throws -> Value {
        let statement = try await self.prepare(sql, options: options, in: transaction, file: file, line: line)
        let result: Value
        do {
            result = try await body(statement)
        } catch {
            // What `body` threw is what counts.
            try? await statement.close(file: file, line: line)
            throw error
        }
        try await statement.close(file: file, line: line)
        return result
    }
}

extension DqliteTransaction {
    /// Prepares a statement, lets `body` use it in the transaction, and closes it.
    @discardableResult
    public func withPreparedStatement<Value>(
        _ sql: String, options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line,
        _ body: (DqlitePreparedStatement) async throws -> Value
    ) async throws -> Value {
        do throws(DqliteError) { try self.state.check() } catch { throw error.at(file: file, line: line, sql: sql) }
        return try await self.connection.withPreparedStatement(
            sql, options: options, in: self.state, file: file, line: line, body)
    }
}
