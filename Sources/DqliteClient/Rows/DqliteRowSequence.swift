/// The rows of a result, in order, as they arrive.
///
/// The node sends no more than fits into the window of the connection until the rows are read. The sequence can be read
/// once. When nobody reads it to its end, because its loop was left or the task was cancelled, the node is told to stop.
///
/// > Note: A connection, and in the protobuf encoding a session, goes on with its next request only when the result has
/// > arrived as a whole. In a loop over the rows of a large result use another connection, or ``collect()`` them first.
public struct DqliteRowSequence: AsyncSequence, Sendable {
    public typealias Element = DqliteRow
    public typealias Failure = DqliteError

    /// The columns of the result.
    public let columns: DqliteColumns
    private let source: RowSource

    init(columns: DqliteColumns, source: RowSource) {
        self.columns = columns
        self.source = source
    }

    /// Reads the rows.
    public struct AsyncIterator: AsyncIteratorProtocol {
        let rows: RowIterator

        /// The next row; nil at the end.
        ///
        /// - Throws: ``DqliteError`` when the query fails on the way, the connection is lost, or the task is cancelled.
        public mutating func next() async throws(DqliteError) -> DqliteRow? {
            if let row = try self.rows.nextHere() { return row }
            return try await self.rows.next()
        }

        /// The next row; nil at the end.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(DqliteError) -> DqliteRow? {
            if let row = try self.rows.nextHere() { return row }
            return try await self.rows.next()
        }
    }

    /// Begins to read. Once only.
    public func makeAsyncIterator() -> AsyncIterator { AsyncIterator(rows: self.source.makeIterator()) }

    /// All rows that are left.
    public func collect() async throws(DqliteError) -> [DqliteRow] {
        var iterator = self.makeAsyncIterator()
        var rows: [DqliteRow] = []
        while let row = try await iterator.next() { rows.append(row) }
        return rows
    }

    /// The rows as tuples.
    ///
    /// ```swift
    /// for try await (id, name) in try await connection.query("SELECT id, name FROM authors").decode((Int64, String).self) {
    /// ```
    public func decode<each Value: DqliteDecodable>(
        _ type: (repeat each Value).Type, file: String = #fileID, line: Int = #line
    ) -> DqliteDecodedRowSequence<(repeat each Value)> {
        DqliteDecodedRowSequence(rows: self) { row throws(DqliteDecodingError) in
            try row.decode((repeat each Value).self, file: file, line: line)
        }
    }

    /// The first cells of the rows as values.
    ///
    /// ```swift
    /// let names = try await connection.query("SELECT name FROM authors").decode(String.self).collect()
    /// ```
    public func decode<Value: DqliteDecodable>(
        _ type: Value.Type, file: String = #fileID, line: Int = #line
    ) -> DqliteDecodedRowSequence<Value> {
        DqliteDecodedRowSequence(rows: self) { row throws(DqliteDecodingError) in
            try row.decode(type, file: file, line: line)
        }
    }
}

@available(*, unavailable)
extension DqliteRowSequence.AsyncIterator: Sendable {}

/// The rows of a result, each made into a value as it is read.
public struct DqliteDecodedRowSequence<Element>: AsyncSequence, Sendable {
    public typealias Failure = DqliteError

    let rows: DqliteRowSequence
    let decode: @Sendable (DqliteRow) throws(DqliteDecodingError) -> Element

    /// Reads the rows.
    public struct AsyncIterator: AsyncIteratorProtocol {
        var rows: DqliteRowSequence.AsyncIterator
        let decode: @Sendable (DqliteRow) throws(DqliteDecodingError) -> Element

        /// The next value; nil at the end.
        ///
        /// - Throws: ``DqliteError``, with the code ``DqliteError/Code-swift.struct/decoding`` when a row holds something else.
        public mutating func next() async throws(DqliteError) -> Element? {
            guard let row = try await self.rows.next() else { return nil }
            return try self.decoded(row)
        }

        /// The next value; nil at the end.
        public mutating func next(isolation actor: isolated (any Actor)?) async throws(DqliteError) -> Element? {
            guard let row = try await self.rows.next(isolation: actor) else { return nil }
            return try self.decoded(row)
        }

        private func decoded(_ row: DqliteRow) throws(DqliteError) -> Element {
            do throws(DqliteDecodingError) {
                return try self.decode(row)
            } catch {
                throw DqliteError(
                    .decoding, message: error.description, underlyingError: error, file: error.file,
                    line: error.line)
            }
        }
    }

    /// Begins to read. Once only.
    public func makeAsyncIterator() -> AsyncIterator {
        AsyncIterator(rows: self.rows.makeAsyncIterator(), decode: self.decode)
    }

    /// All values that are left.
    public func collect() async throws(DqliteError) -> [Element] {
        var iterator = self.makeAsyncIterator()
        var values: [Element] = []
        while let value = try await iterator.next() { values.append(value) }
        return values
    }
}

@available(*, unavailable)
extension DqliteDecodedRowSequence.AsyncIterator: Sendable {}
