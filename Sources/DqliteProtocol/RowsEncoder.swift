/// Writes the body of a Rows response straight into memory, value by value, without building a ``Value`` or allocating.
///
/// A body is written in one piece or in several: each encoder writes where the one before it ended. Who writes asks the static
/// functions first how much memory it takes; release builds rely on it. In order: ``beginColumns()``, a
/// ``columnName(_:)`` per column; for each row ``beginRow()``, a value per column, ``endRow()``; ``finish(more:)``.
public protocol RowsEncoder {
    /// An encoder that writes to the beginning of `memory`, which must not be empty.
    init(_ memory: UnsafeMutableRawBufferPointer, columnCount: Int)

    /// Bytes that have been written.
    var count: Int { get }

    /// Bytes that ``beginColumns()`` writes.
    static var columnsSize: Int { get }
    /// Bytes that the name of a column takes.
    static func columnNameSize(byteCount: Int) -> Int
    /// Bytes that a row takes besides its values.
    static func rowSize(columnCount: Int) -> Int
    /// Bytes that an INTEGER takes.
    static func integerSize(_ value: Int64) -> Int
    /// Bytes that a REAL takes.
    static var realSize: Int { get }
    /// Bytes that a TEXT takes.
    static func textSize(byteCount: Int) -> Int
    /// Bytes that a BLOB takes.
    static func blobSize(byteCount: Int) -> Int
    /// Bytes that a NULL takes.
    static var nullSize: Int { get }
    /// Bytes that a time in seconds takes.
    static func unixTimeSize(_ value: Int64) -> Int
    /// Bytes that a time as text takes.
    static func iso8601Size(byteCount: Int) -> Int
    /// Bytes that a boolean takes.
    static var booleanSize: Int { get }
    /// Bytes that ``finish(more:)`` writes.
    static func finishSize(more: Bool) -> Int

    /// Whether the encoding can carry the text: the dqlite encoding cannot when there is a NUL in it.
    static func canCarry(text: UnsafeRawBufferPointer) -> Bool

    /// Begins the body. On the protobuf encoding only the first part of a result has columns.
    mutating func beginColumns()
    /// The name of the next column, without NUL.
    mutating func columnName(_ utf8: UnsafeRawBufferPointer)
    /// Begins a row.
    mutating func beginRow()
    /// An INTEGER.
    mutating func integer(_ value: Int64)
    /// A REAL.
    mutating func real(_ value: Double)
    /// A TEXT that the encoding can carry: see ``canCarry(text:)``.
    mutating func text(_ utf8: UnsafeRawBufferPointer)
    /// A BLOB.
    mutating func blob(_ bytes: UnsafeRawBufferPointer)
    /// A NULL.
    mutating func null()
    /// A time, in seconds since 1970.
    mutating func unixTime(_ seconds: Int64)
    /// A time as text that the encoding can carry.
    mutating func iso8601(_ utf8: UnsafeRawBufferPointer)
    /// A boolean.
    mutating func boolean(_ value: Bool)
    /// Ends a row, of which every column has been written.
    mutating func endRow()
    /// Ends the body.
    mutating func finish(more: Bool)
}
