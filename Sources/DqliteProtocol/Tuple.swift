public import DqliteWire

// The form TUPLE: parameters of a statement. A count of 8 bits (revision 0) or 32 bits (revision 1), a type code of 8 bits
// for each value, zeros up to a multiple of 8, then the values. No parameters are no bytes at all.

/// Size of a tuple in bytes.
///
/// - Throws: ``WireEncodingError`` when the encoding cannot carry it; `field` is named in it.
@inlinable
public func dqliteTupleSize(
    _ values: [Value], revision: UInt8, field: StaticString
) throws(WireEncodingError) -> Int {
    if values.isEmpty { return 0 }
    if revision == 0 {
        guard values.count <= 255 else { throw WireEncodingError(.tooManyParameters, field: field) }
    } else {
        guard values.count <= Int(UInt32.max) else { throw WireEncodingError(.valueTooLarge, field: field) }
    }
    var size = dqliteTupleHeaderSize(count: values.count, revision: revision)
    for value in values { size &+= try value.dqliteSize(field: field) }
    return size
}

/// Writes a tuple, in as many bytes as ``dqliteTupleSize(_:revision:field:)`` says.
@inlinable
public func encodeDqliteTuple(_ values: [Value], into writer: inout WordWriter, revision: UInt8) {
    if values.isEmpty { return }
    // The header is put together word by word.
    var word = UInt64(values.count)
    var shift: UInt64 = revision == 0 ? 8 : 32
    for value in values {
        word |= UInt64(value.typeCode) &<< shift
        shift &+= 8
        if shift == 64 {
            writer.word(word)
            word = 0
            shift = 0
        }
    }
    if shift > 0 { writer.word(word) }
    for value in values { value.encodeDqlite(into: &writer) }
}

/// Reads a tuple. At the end of the bytes there is none: no values.
@inlinable
public func decodeDqliteTuple(from reader: inout WordReader, revision: UInt8) throws(WireError) -> [Value] {
    let (count, types) = try decodeDqliteTupleHeader(from: &reader, revision: revision)
    var values: [Value] = []
    values.reserveCapacity(count)
    for index in 0..<count { values.append(try Value(dqlite: &reader, typeCode: types[index])) }
    return values
}

@inlinable @inline(__always)
func dqliteTupleHeaderSize(count: Int, revision: UInt8) -> Int {
    roundedUpToWord(count &+ (revision == 0 ? 1 : 4))
}

/// Reads the head of a tuple: how many values follow, and their type codes. The count is checked against what remains.
@inlinable @inline(__always)
func decodeDqliteTupleHeader(
    from reader: inout WordReader, revision: UInt8
) throws(WireError) -> (count: Int, types: UnsafeRawBufferPointer) {
    if reader.isAtEnd { return (0, UnsafeRawBufferPointer(start: nil, count: 0)) }
    let count = revision == 0 ? Int(try reader.byte()) : Int(try reader.half())
    let prefix = revision == 0 ? 1 : 4
    let codes = roundedUpToWord(count &+ prefix) &- prefix
    // Every value takes 8 bytes at least.
    guard codes &+ count &* 8 <= reader.remaining else { throw reader.error(.impossibleLength) }
    return (count, try reader.bytes(codes))
}
