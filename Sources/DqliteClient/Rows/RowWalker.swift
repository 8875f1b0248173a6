import DqliteProtocol
import DqliteWire
import NIOCore

/// Goes through the cells of a row that is known to be well formed, one after the other, without allocating.
struct RowWalker {
    private let row: DqliteRow
    /// Where the next value lies, from the beginning of the part.
    private var offset: Int
    private(set) var column = 0

    init(_ row: DqliteRow) {
        self.row = row
        self.offset = row.offset
        // The type codes of the row come first: 4 bits each, filled up to words.
        if row.encoding == .dqlite { self.offset += roundedUpToWord((row.columns.count + 1) / 2) }
    }

    /// The next cell. There must be one.
    mutating func next() -> DqliteCell {
        precondition(self.column < self.row.columns.count, "the row has \(self.row.columns.count) columns")
        let content = self.row.part.withUnsafeReadableBytes { bytes in
            do throws(WireError) { return try self.content(bytes) } catch {
                preconditionFailure("the row was checked when it arrived: \(error)")
            }
        }
        defer { self.column += 1 }
        return DqliteCell(columns: self.row.columns, columnIndex: self.column, content: content)
    }

    private mutating func content(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> DqliteCell.Content {
        let rest = UnsafeRawBufferPointer(rebasing: bytes[self.offset...])
        switch self.row.encoding {
        case .dqlite:
            let types = bytes[self.row.offset + self.column / 2]
            var reader = WordReader(rest, message: "RowsResponse")
            let view = try ValueView(dqlite: &reader, typeCode: self.column % 2 == 0 ? types & 0xf : types >> 4)
            self.offset += reader.offset
            return self.content(view, in: bytes)
        case .protobuf:
            var reader = ProtobufReader(rest, message: "RowsResponse")
            while let key = try reader.nextKey() {
                // Key of RowsResponse.values.
                if key == 2 << 3 | 2 { break }
                try reader.skip(key)
            }
            var value = try reader.nested("Value")
            self.offset += reader.offset
            return self.content(try ValueView(protobuf: &value), in: bytes)
        }
    }

    private func content(_ view: ValueView, in bytes: UnsafeRawBufferPointer) -> DqliteCell.Content {
        func slice(_ memory: UnsafeRawBufferPointer) -> ByteBuffer {
            guard let start = memory.baseAddress, !memory.isEmpty else { return ByteBuffer() }
            let offset = self.row.part.readerIndex + (start - bytes.baseAddress!)
            return self.row.part.getSlice(at: offset, length: memory.count)!
        }
        switch view {
        case .null: return .null
        case .integer(let value), .unixTime(let value): return .integer(value)
        case .real(let value): return .real(value)
        case .text(let memory): return .text(slice(memory))
        case .blob(let memory): return .blob(slice(memory))
        case .boolean(let value): return .integer(value ? 1 : 0)
        case .iso8601(let memory):
            // dqlite sends NULL in a column of dates as an empty text, which go-dqlite takes for NULL again.
            return memory.isEmpty ? .null : .text(slice(memory))
        }
    }
}
