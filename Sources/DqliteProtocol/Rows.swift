public import DqliteWire

// The form ROWS: for each row a type code of 4 bits per column, the low nibble first, zeros up to a multiple of 8, then the
// values. The rows end before a word that begins with 0xff or 0xee, which no type codes do.

/// The word after the last row of a result.
@usableFromInline let dqliteRowsDone: UInt64 = 0xffff_ffff_ffff_ffff
/// The word after the last row of a part that another follows.
@usableFromInline let dqliteRowsPart: UInt64 = 0xeeee_eeee_eeee_eeee

/// Size of rows in bytes, without the word that ends them. `values` holds row after row.
///
/// - Throws: ``WireEncodingError`` when the encoding cannot carry them; `field` is named in it.
@inlinable
public func dqliteRowsSize(
    _ values: [Value], columnCount: Int, field: StaticString
) throws(WireEncodingError) -> Int {
    if values.isEmpty { return 0 }
    guard columnCount > 0, values.count % columnCount == 0 else {
        throw WireEncodingError(.countMismatch, field: field)
    }
    var size = values.count / columnCount &* dqliteRowHeaderSize(columnCount: columnCount)
    for value in values { size &+= try value.dqliteSize(field: field) }
    return size
}

/// Writes rows, in as many bytes as ``dqliteRowsSize(_:columnCount:field:)`` says.
@inlinable
public func encodeDqliteRows(_ values: [Value], columnCount: Int, into writer: inout WordWriter) {
    if values.isEmpty { return }
    var first = 0
    while first < values.count {
        let next = first &+ columnCount
        var word: UInt64 = 0
        var shift: UInt64 = 0
        for index in first..<next {
            word |= UInt64(values[index].typeCode) &<< shift
            shift &+= 4
            if shift == 64 {
                writer.word(word)
                word = 0
                shift = 0
            }
        }
        if shift > 0 { writer.word(word) }
        for index in first..<next { values[index].encodeDqlite(into: &writer) }
        first = next
    }
}

/// Reads rows up to the word that ends them, which stays unread.
@inlinable
public func decodeDqliteRows(from reader: inout WordReader, columnCount: Int) throws(WireError) -> [Value] {
    var values: [Value] = []
    let start = reader.offset
    while let types = try nextDqliteRow(from: &reader, columnCount: columnCount) {
        if values.count == columnCount {
            // Room for as many rows like the first as the bytes can hold. It took 8 bytes a value at least, so this is no
            // more than a few times what arrived.
            let rowSize = reader.offset &- start &- dqliteRowHeaderSize(columnCount: columnCount)
            values.reserveCapacity(columnCount &* (reader.remaining / rowSize &+ 2))
        }
        for column in 0..<columnCount {
            values.append(try Value(dqlite: &reader, typeCode: dqliteTypeCode(types, column: column)))
        }
    }
    return values
}

@inlinable @inline(__always)
func dqliteRowHeaderSize(columnCount: Int) -> Int { roundedUpToWord((columnCount &+ 1) / 2) }

/// The type codes of the next row, or nil before the word that ends the rows, which stays unread.
@inlinable @inline(__always)
func nextDqliteRow(
    from reader: inout WordReader, columnCount: Int
) throws(WireError) -> UnsafeRawPointer? {
    let first = try reader.peekByte()
    if first == 0xff || first == 0xee { return nil }
    // Rows without columns would take no bytes: there would be no end of them.
    guard columnCount > 0 else { throw reader.error(.invalidValue) }
    return try reader.bytes(dqliteRowHeaderSize(columnCount: columnCount)).baseAddress
}

@inlinable @inline(__always)
func dqliteTypeCode(_ types: UnsafeRawPointer, column: Int) -> UInt8 {
    (types.load(fromByteOffset: column &>> 1, as: UInt8.self) &>> UInt8((column & 1) &<< 2)) & 0xf
}
