public import NIOCore

/// One value of a row, with the place that it comes from: a view over what was received.
public struct DqliteCell: Sendable {
    enum Content: Sendable {
        case null
        case integer(Int64)
        case real(Double)
        case text(ByteBuffer)
        case blob(ByteBuffer)
    }

    let columns: DqliteColumns
    let content: Content
    /// Where the program asked for the value, for errors.
    var file: String = #fileID
    var line: Int = #line

    /// Index of the column, from zero.
    public let columnIndex: Int

    init(columns: DqliteColumns, columnIndex: Int, content: Content) {
        self.columns = columns
        self.columnIndex = columnIndex
        self.content = content
    }

    /// Name of the column.
    public var columnName: String { self.columns.names[self.columnIndex] }

    /// What the cell holds.
    public var dataType: DqliteDataType {
        switch self.content {
        case .null: .null
        case .integer: .integer
        case .real: .real
        case .text: .text
        case .blob: .blob
        }
    }

    /// The bytes of a TEXT, which may be other than UTF-8, or of a BLOB; nil when the cell holds neither. Nothing is copied.
    public var bytes: ByteBuffer? {
        switch self.content {
        case .text(let bytes), .blob(let bytes): bytes
        case .null, .integer, .real: nil
        }
    }

    /// The value as the type `Value`.
    ///
    /// - Throws: ``DqliteDecodingError`` when the cell holds something else.
    public func decode<Value: DqliteDecodable>(
        _: Value.Type = Value.self, file: String = #fileID, line: Int = #line
    ) throws(DqliteDecodingError) -> Value {
        var cell = self
        cell.file = file
        cell.line = line
        return try Value.decode(from: cell)
    }

    /// The error that says that this cell does not hold a value of `type`.
    ///
    /// - Parameter code: What is wrong. A type mismatch is reported as an unexpected NULL when the cell holds NULL.
    public func mismatch<Value>(
        _ code: DqliteDecodingError.Code = .typeMismatch, as type: Value.Type
    ) -> DqliteDecodingError {
        let isNull = code == .typeMismatch && self.dataType == .null
        return DqliteDecodingError(
            isNull ? .unexpectedNull : code, columnName: self.columnName, columnIndex: self.columnIndex,
            targetType: "\(type)", valueType: self.dataType, file: self.file, line: self.line)
    }
}

/// The columns of a result.
public final class DqliteColumns: Sendable {
    /// Their names, in order. Names are not necessarily unique.
    public let names: [String]

    init(names: [String]) { self.names = names }

    /// How many there are.
    public var count: Int { self.names.count }

    /// Index of the first column of that name; nil when there is none.
    public func index(of name: String) -> Int? { self.names.firstIndex(of: name) }
}
