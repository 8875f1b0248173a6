import DqliteProtocol
import NIOCore

/// A row of a result: a view over what was received.
///
/// Keeping a row keeps the part of the result alive that it arrived in; values that are decoded are copies (but for
/// `ByteBuffer`).
public struct DqliteRow: Sendable {
    /// The columns of the result.
    public let columns: DqliteColumns
    let part: ByteBuffer
    /// Where the row begins in the part.
    let offset: Int
    let encoding: WireEncoding

    /// The row as a tuple of the given types, column by column from the first.
    ///
    /// ```swift
    /// let (id, name) = try row.decode((Int64, String?).self)
    /// ```
    /// Columns beyond those of the tuple are ignored.
    ///
    /// - Throws: ``DqliteDecodingError`` when a cell holds something else, or there are too few of them.
    public func decode<each Value: DqliteDecodable>(
        _ type: (repeat each Value).Type = (repeat each Value).self, file: String = #fileID, line: Int = #line
    ) throws(DqliteDecodingError) -> (repeat each Value) {
        var count = 0
        for _ in repeat (each Value).self { count += 1 }
        guard count <= self.columns.count else {
            throw DqliteDecodingError(
                .columnCountMismatch, columnName: "", columnIndex: self.columns.count, targetType: "\(type)",
                valueType: nil, file: file, line: line)
        }
        var walker = RowWalker(self)
        return (repeat try walker.next().decode((each Value).self, file: file, line: line))
    }

    /// The first cell of the row as one value.
    ///
    /// - Throws: ``DqliteDecodingError`` when the cell holds something else, or there is none.
    public func decode<Value: DqliteDecodable>(
        _ type: Value.Type = Value.self, file: String = #fileID, line: Int = #line
    ) throws(DqliteDecodingError) -> Value {
        // Not left to the tuple of one: the compiler does not always take it for the value that it is.
        guard !self.columns.names.isEmpty else {
            throw DqliteDecodingError(
                .columnCountMismatch, columnName: "", columnIndex: 0, targetType: "\(type)", valueType: nil,
                file: file, line: line)
        }
        return try self[0].decode(type, file: file, line: line)
    }

    /// The cell of the first column of that name.
    ///
    /// - Throws: ``DqliteDecodingError`` when there is no such column.
    public subscript(name: String, file file: String = #fileID, line line: Int = #line) -> DqliteCell {
        get throws(DqliteDecodingError) {
            guard let index = self.columns.index(of: name) else {
                throw DqliteDecodingError(
                    .noSuchColumn, columnName: name, columnIndex: -1, targetType: "", valueType: nil, file: file,
                    line: line)
            }
            return self[index]
        }
    }
}

extension DqliteRow: RandomAccessCollection {
    public var startIndex: Int { 0 }
    public var endIndex: Int { self.columns.count }

    /// The cell of a column. Cells lie one after the other: reaching the last one passes over all others.
    public subscript(position: Int) -> DqliteCell {
        precondition(position >= 0 && position < self.columns.count, "the row has \(self.columns.count) columns")
        var walker = RowWalker(self)
        for _ in 0..<position { _ = walker.next() }
        return walker.next()
    }
}
