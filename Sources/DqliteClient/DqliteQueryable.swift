/// What runs statements: a client, a connection, or a transaction on one.
public protocol DqliteQueryable: Sendable {
    /// Runs a statement and returns its rows as they arrive.
    ///
    /// - Returns: The rows, when the first of them are here or it is known that there are none.
    /// - Throws: ``DqliteError``.
    func query(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence

    /// Runs statements of which the rows, if any, are not wanted.
    ///
    /// - Throws: ``DqliteError``. Its ``DqliteError/outcome-swift.property`` tells whether the change was made.
    func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult
}

extension DqliteQueryable {
    /// Runs a statement and returns its rows as they arrive.
    ///
    /// ```swift
    /// let rows = try await connection.query("SELECT name FROM authors WHERE id = \(id)")
    /// for try await name in rows.decode(String.self) { print(name) }
    /// ```
    /// - Parameters:
    ///   - query: The statement. Interpolated values are its parameters.
    ///   - options: What this call wants to have otherwise.
    /// - Returns: The rows, when the first of them are here or it is known that there are none.
    /// - Throws: ``DqliteError``.
    public func query(
        _ query: DqliteQuery, options: DqliteCallOptions = .defaults, _ file: String = #fileID, _ line: Int = #line
    ) async throws(DqliteError) -> DqliteRowSequence {
        try await self.query(query, options: options, file: file, line: line)
    }

    /// Runs statements of which the rows, if any, are not wanted.
    ///
    /// ```swift
    /// try await connection.execute("INSERT INTO authors (name) VALUES (\(name))")
    /// ```
    /// - Parameters:
    ///   - query: The statement, or several separated by semicolons. Interpolated values are the parameters.
    ///   - options: What this call wants to have otherwise.
    /// - Throws: ``DqliteError``. Its ``DqliteError/outcome-swift.property`` tells whether the change was made.
    @discardableResult
    public func execute(
        _ query: DqliteQuery, options: DqliteCallOptions = .defaults, _ file: String = #fileID, _ line: Int = #line
    ) async throws(DqliteError) -> DqliteExecuteResult {
        try await self.execute(query, options: options, file: file, line: line)
    }
}

/// What a statement did.
public struct DqliteExecuteResult: Hashable, Sendable {
    /// `sqlite3_last_insert_rowid` of the session: of the last INSERT, which need not be this statement.
    public var lastInsertRowID: Int64
    /// `sqlite3_changes` of the session: rows that the last INSERT, UPDATE or DELETE changed, which need not be this statement.
    public var changes: Int64

    public init(lastInsertRowID: Int64, changes: Int64) {
        self.lastInsertRowID = lastInsertRowID
        self.changes = changes
    }
}
