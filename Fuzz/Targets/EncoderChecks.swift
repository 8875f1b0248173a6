import DqliteProtocol
import DqliteWire

/// The encoders of rows must write what the struct writes, in as many bytes as they announce.
func compareEncoders(_ rows: RowsResponse) throws {
    guard rows.columns.count > 0, rows.values.count % rows.columns.count == 0 else { return }
    if let bytes = try? rows.dqliteBytes() {
        guard encode(rows, with: DqliteRowsEncoder.self) == bytes else {
            throw FuzzFinding("the encoder of rows writes other bytes than the struct, dqlite")
        }
    } else {
        // Only text that cannot be carried is a reason.
        guard rows.columns.contains(where: { !canCarry($0) }) || rows.values.contains(where: { !canCarry($0) }) else {
            throw FuzzFinding("rows are not encoded, though every text can be carried")
        }
    }
    guard encode(rows, with: ProtobufRowsEncoder.self) == rows.protobufBytes() else {
        throw FuzzFinding("the encoder of rows writes other bytes than the struct, protobuf")
    }
}

private func canCarry(_ text: String) -> Bool { text.withUTF8Bytes { DqliteRowsEncoder.canCarry(text: $0) } }

private func canCarry(_ value: Value) -> Bool {
    switch value {
    case .text(let text), .iso8601(let text): canCarry(text)
    default: true
    }
}

private func encode<Encoder: RowsEncoder>(_ rows: RowsResponse, with _: Encoder.Type) -> [UInt8] {
    let columnCount = rows.columns.count
    var size = Encoder.columnsSize + Encoder.finishSize(more: rows.more)
    for name in rows.columns { size += Encoder.columnNameSize(byteCount: name.utf8.count) }
    size += rows.values.count / columnCount * Encoder.rowSize(columnCount: columnCount)
    for value in rows.values { size += encodedSize(of: value, with: Encoder.self) }
    return [UInt8](unsafeUninitializedCapacity: size) { memory, count in
        // Exactly what was announced, so that debug builds see one byte too many.
        let announced = UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(memory)[..<size])
        var encoder = Encoder(announced, columnCount: columnCount)
        encoder.beginColumns()
        for name in rows.columns { name.withUTF8Bytes { encoder.columnName($0) } }
        for first in stride(from: 0, to: rows.values.count, by: columnCount) {
            encoder.beginRow()
            for value in rows.values[first..<first + columnCount] { store(value, in: &encoder) }
            encoder.endRow()
        }
        encoder.finish(more: rows.more)
        count = encoder.count
    }
}

private func encodedSize<Encoder: RowsEncoder>(of value: Value, with _: Encoder.Type) -> Int {
    switch value {
    case .null: Encoder.nullSize
    case .integer(let value): Encoder.integerSize(value)
    case .real: Encoder.realSize
    case .text(let text): Encoder.textSize(byteCount: text.utf8.count)
    case .blob(let bytes): Encoder.blobSize(byteCount: bytes.count)
    case .unixTime(let value): Encoder.unixTimeSize(value)
    case .iso8601(let text): Encoder.iso8601Size(byteCount: text.utf8.count)
    case .boolean: Encoder.booleanSize
    }
}

private func store(_ value: Value, in encoder: inout some RowsEncoder) {
    switch value {
    case .null: encoder.null()
    case .integer(let value): encoder.integer(value)
    case .real(let value): encoder.real(value)
    case .text(let text): text.withUTF8Bytes { encoder.text($0) }
    case .blob(let bytes): bytes.withUnsafeBytes { encoder.blob($0) }
    case .unixTime(let value): encoder.unixTime(value)
    case .iso8601(let text): text.withUTF8Bytes { encoder.iso8601($0) }
    case .boolean(let value): encoder.boolean(value)
    }
}
