public import DqliteWire

/// Walks a Rows response, in either encoding, without copying or allocating: valid no longer than the bytes are.
///
/// In the protobuf encoding the fields must come in the order of the schema, as every writer of protobuf puts them: the names of
/// the columns, the values, `more`.
///
/// Where to go on later is told by ``columnCount`` and, between two rows, ``offset``.
public struct RowCursor {
    /// How many columns a row has.
    public let columnCount: Int

    @usableFromInline var words: WordReader
    @usableFromInline var types: UnsafeRawPointer
    @usableFromInline var fields: ProtobufReader
    @usableFromInline let isProtobuf: Bool
    /// Column of the next value; ``columnCount`` between rows.
    @usableFromInline var column: Int
    /// Whether the key of the next value has been read already (protobuf).
    @usableFromInline var hasKey = false
    @usableFromInline var hasMore = false

    /// A cursor before the first row of a body in the dqlite encoding.
    @inlinable
    public init(dqlite body: UnsafeRawBufferPointer) throws(WireError) {
        var reader = WordReader(body, message: "RowsResponse")
        let count = try reader.count(elementSize: 8)
        for _ in 0..<count { _ = try reader.textBytes() }
        self.init(words: reader, columnCount: count)
    }

    /// A cursor before the first row of a message in the protobuf encoding.
    ///
    /// - Parameter columnCount: The number of columns of the first part, in parts after it, which do not repeat the names.
    @inlinable
    public init(protobuf message: UnsafeRawBufferPointer, columnCount: Int? = nil) throws(WireError) {
        var reader = ProtobufReader(message, message: "RowsResponse")
        var names = 0
        var next = reader
        while let key = try next.nextKey() {
            if key == RowsKey.values || key == RowsKey.more { break }
            if key == RowsKey.columns {
                _ = try next.bytes()
                names &+= 1
            } else {
                try next.skip(key)
            }
            reader = next
        }
        if let columnCount, names > 0, names != columnCount { throw reader.error(.invalidValue) }
        self.init(fields: reader, columnCount: columnCount ?? names)
    }

    /// A cursor that goes on where another one was between two rows of the same bytes.
    ///
    /// - Parameters:
    ///   - offset: ``offset`` of that cursor. At most the number of bytes.
    @inlinable
    public init(
        resuming bytes: UnsafeRawBufferPointer, encoding: WireEncoding, columnCount: Int, offset: Int
    ) throws(WireError) {
        switch encoding {
        case .dqlite:
            var reader = WordReader(bytes, message: "RowsResponse")
            try reader.skip(offset)
            self.init(words: reader, columnCount: columnCount)
        case .protobuf:
            var reader = ProtobufReader(bytes, message: "RowsResponse")
            try reader.skip(bytes: offset)
            self.init(fields: reader, columnCount: columnCount)
        }
    }

    @inlinable
    init(words: WordReader, columnCount: Int) {
        self.columnCount = columnCount
        self.column = columnCount
        self.words = words
        self.types = UnsafeRawPointer(bitPattern: 8)!
        self.fields = ProtobufReader(UnsafeRawBufferPointer(start: nil, count: 0), message: "")
        self.isProtobuf = false
    }

    @inlinable
    init(fields: ProtobufReader, columnCount: Int) {
        self.columnCount = columnCount
        self.column = columnCount
        self.words = WordReader(UnsafeRawBufferPointer(start: nil, count: 0), message: "")
        self.types = UnsafeRawPointer(bitPattern: 8)!
        self.fields = fields
        self.isProtobuf = true
    }

    /// Whether another part follows this one. Known when ``nextRow()`` has returned false.
    @inlinable public var more: Bool { self.hasMore }

    /// Where the next row begins, when the last value of a row has been read, or none yet.
    @inlinable public var offset: Int { self.isProtobuf ? self.fields.offset : self.words.offset }

    /// Goes to the next row, past what was not read of this one. False: there is none.
    @inlinable @inline(__always)
    public mutating func nextRow() throws(WireError) -> Bool {
        if self.column < self.columnCount { try self.skipRow() }
        return self.isProtobuf ? try self.nextProtobufRow() : try self.nextDqliteRow()
    }

    /// Passes over the values of this row that were not read.
    @inlinable
    public mutating func skipRow() throws(WireError) {
        while self.column < self.columnCount { _ = try self.nextValue() }
    }

    /// The next value of this row. There must be one: a row has as many as there are columns.
    @inlinable @inline(__always)
    public mutating func nextValue() throws(WireError) -> ValueView {
        precondition(self.column < self.columnCount, "a row has no more values than columns")
        if self.isProtobuf { return try self.nextProtobufValue() }
        let code = dqliteTypeCode(self.types, column: self.column)
        self.column &+= 1
        return try ValueView(dqlite: &self.words, typeCode: code)
    }

    @inlinable @inline(__always)
    mutating func nextDqliteRow() throws(WireError) -> Bool {
        if let types = try DqliteProtocol.nextDqliteRow(from: &self.words, columnCount: self.columnCount) {
            self.types = types
            self.column = 0
            return true
        }
        // A copy, so that the offset stays before what ends the rows.
        var reader = self.words
        let end = try reader.word()
        guard end == dqliteRowsDone || end == dqliteRowsPart else { throw self.words.error(.invalidValue) }
        self.hasMore = end == dqliteRowsPart
        return false
    }

    @inlinable
    mutating func nextProtobufRow() throws(WireError) -> Bool {
        // A copy, so that the offset stays before what ends the rows.
        var reader = self.fields
        while let key = try reader.nextKey() {
            switch key {
            case RowsKey.values:
                guard self.columnCount > 0, !self.hasMore else { throw reader.error(.invalidValue) }
                self.fields = reader
                self.hasKey = true
                self.column = 0
                return true
            case RowsKey.columns: throw reader.error(.invalidValue)
            case RowsKey.more: self.hasMore = try reader.varint() != 0
            default: try reader.skip(key)
            }
        }
        return false
    }

    @inlinable @inline(__always)
    mutating func nextProtobufValue() throws(WireError) -> ValueView {
        if self.hasKey {
            self.hasKey = false
        } else {
            while true {
                guard let key = try self.fields.nextKey() else { throw self.fields.error(.truncated) }
                if key == RowsKey.values { break }
                // A row must be complete before anything but unknown fields follows.
                guard key != RowsKey.columns, key != RowsKey.more else { throw self.fields.error(.invalidValue) }
                try self.fields.skip(key)
            }
        }
        self.column &+= 1
        var value = try self.fields.nested("Value")
        return try ValueView(protobuf: &value)
    }

    /// The names of the columns of a body in the dqlite encoding, or of a message in the protobuf encoding, in order.
    @inlinable
    public static func forEachColumnName(
        in bytes: UnsafeRawBufferPointer, encoding: WireEncoding, _ body: (UnsafeRawBufferPointer) -> Void
    ) throws(WireError) {
        switch encoding {
        case .dqlite:
            var reader = WordReader(bytes, message: "RowsResponse")
            for _ in 0..<(try reader.count(elementSize: 8)) { body(try reader.textBytes()) }
        case .protobuf:
            var reader = ProtobufReader(bytes, message: "RowsResponse")
            while let key = try reader.nextKey(), key != RowsKey.values, key != RowsKey.more {
                if key == RowsKey.columns { body(try reader.bytes()) } else { try reader.skip(key) }
            }
        }
    }
}

@usableFromInline typealias RowsKey = RowsResponse.ProtobufKey
