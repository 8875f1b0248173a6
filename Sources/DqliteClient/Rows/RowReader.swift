import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// Reads the parts of a result, row after row. Each row is checked as a whole before it is given out.
struct RowReader {
    let encoding: WireEncoding
    /// The columns, once the first part is there.
    private(set) var columns: DqliteColumns?
    private var part = ByteBuffer()
    private var offset = 0

    init(encoding: WireEncoding) { self.encoding = encoding }

    /// Goes on with the next part, from its first row.
    mutating func begin(_ part: ByteBuffer) throws(WireError) {
        let encoding = self.encoding
        let known = self.columns?.count
        let (names, offset) = try part.withReadableMemory { bytes throws(WireError) -> ([String]?, Int) in
            let cursor =
                switch encoding {
                case .dqlite: try RowCursor(dqlite: bytes)
                case .protobuf: try RowCursor(protobuf: bytes, columnCount: known)
                }
            if let known {
                guard cursor.columnCount == known else {
                    throw WireError(.invalidValue, offset: 0, message: "RowsResponse")
                }
                return (nil, cursor.offset)
            }
            var names: [String] = []
            try RowCursor.forEachColumnName(in: bytes, encoding: encoding) { name in
                names.append(String(decoding: name, as: UTF8.self))
            }
            return (names, cursor.offset)
        }
        if let names { self.columns = DqliteColumns(names: names) }
        self.part = part
        self.offset = offset
    }

    /// The next row of this part; nil: it has no more.
    mutating func next() throws(WireError) -> DqliteRow? {
        guard let columns = self.columns else { return nil }
        let (encoding, start) = (self.encoding, self.offset)
        let end = try self.part.withReadableMemory { bytes throws(WireError) -> Int? in
            var cursor = try RowCursor(
                resuming: bytes, encoding: encoding, columnCount: columns.count, offset: start)
            guard try cursor.nextRow() else { return nil }
            try cursor.skipRow()
            return cursor.offset
        }
        guard let end else {
            self.part = ByteBuffer()
            self.offset = 0
            return nil
        }
        self.offset = end
        return DqliteRow(columns: columns, part: self.part, offset: start, encoding: self.encoding)
    }
}
