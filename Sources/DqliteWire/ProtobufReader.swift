/// Reads the protobuf encoding from memory that somebody else owns: valid no longer than the memory is.
///
/// Every read is checked against what remains; none traps, none allocates by a length it has not checked.
public struct ProtobufReader {
    @usableFromInline var position: UnsafeRawPointer
    @usableFromInline let start: UnsafeRawPointer
    @usableFromInline let end: UnsafeRawPointer
    @usableFromInline let message: StaticString
    @usableFromInline let depth: Int

    /// A reader of `bytes`. `message` is named in errors.
    @inlinable @inline(__always)
    public init(_ bytes: UnsafeRawBufferPointer, message: StaticString) {
        self.init(bytes, message: message, depth: 0)
    }

    @inlinable @inline(__always)
    init(_ bytes: UnsafeRawBufferPointer, message: StaticString, depth: Int) {
        self.start = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        self.position = self.start
        self.end = self.start + bytes.count
        self.message = message
        self.depth = depth
    }

    /// Bytes that have been read.
    @inlinable public var offset: Int { self.position - self.start }
    /// Bytes that remain.
    @inlinable public var remaining: Int { self.end - self.position }
    /// Whether nothing remains.
    @inlinable public var isAtEnd: Bool { self.position == self.end }

    /// An error at this place.
    @inlinable
    public func error(_ reason: WireError.Reason) -> WireError {
        WireError(reason, offset: self.offset, message: self.message)
    }

    /// The next key: number of the field times 8 plus its wire type. nil at the end.
    @inlinable @inline(__always)
    public mutating func nextKey() throws(WireError) -> UInt32? {
        guard !self.isAtEnd else { return nil }
        let key = try self.varint()
        guard key >= 8, key <= UInt64(UInt32.max) else { throw self.error(.malformedField) }
        return UInt32(truncatingIfNeeded: key)
    }

    /// An unsigned integer of variable length.
    @inlinable @inline(__always)
    public mutating func varint() throws(WireError) -> UInt64 {
        if self.position < self.end {
            let first = self.position.load(as: UInt8.self)
            if first < 0x80 {
                self.position += 1
                return UInt64(first)
            }
        }
        return try self.longVarint()
    }

    @usableFromInline
    mutating func longVarint() throws(WireError) -> UInt64 {
        var result: UInt64 = 0
        var shift: UInt64 = 0
        while self.position < self.end, shift < 70 {
            let byte = self.position.load(as: UInt8.self)
            self.position += 1
            result |= UInt64(byte & 0x7f) << shift
            if byte < 0x80 { return result }
            shift += 7
        }
        throw self.error(shift < 70 ? .truncated : .malformedField)
    }

    /// A signed integer, zigzag (`sint64`).
    @inlinable @inline(__always)
    public mutating func zigzag() throws(WireError) -> Int64 {
        let value = try self.varint()
        return Int64(bitPattern: value >> 1) ^ -Int64(bitPattern: value & 1)
    }

    /// 64 bits.
    @inlinable @inline(__always)
    public mutating func fixed64() throws(WireError) -> UInt64 {
        guard self.remaining >= 8 else { throw self.error(.truncated) }
        defer { self.position += 8 }
        return UInt64(littleEndian: self.position.loadUnaligned(as: UInt64.self))
    }

    /// 32 bits.
    @inlinable
    public mutating func fixed32() throws(WireError) -> UInt32 {
        guard self.remaining >= 4 else { throw self.error(.truncated) }
        defer { self.position += 4 }
        return UInt32(littleEndian: self.position.loadUnaligned(as: UInt32.self))
    }

    /// Bytes preceded by their length.
    @inlinable @inline(__always)
    public mutating func bytes() throws(WireError) -> UnsafeRawBufferPointer {
        let count = try self.varint()
        guard count <= UInt64(self.remaining) else { throw self.error(.impossibleLength) }
        defer { self.position += Int(count) }
        return UnsafeRawBufferPointer(start: self.position, count: Int(count))
    }

    /// A string preceded by its length. Refuses what is not UTF-8.
    @inlinable
    public mutating func string() throws(WireError) -> String {
        let bytes = try self.bytes()
        guard let string = String(validatedUTF8: bytes) else { throw self.error(.invalidUTF8) }
        return string
    }

    /// The bytes of a string preceded by its length. Refuses what is not UTF-8.
    @inlinable
    public mutating func utf8Bytes() throws(WireError) -> UnsafeRawBufferPointer {
        let bytes = try self.bytes()
        guard isUTF8(bytes) else { throw self.error(.invalidUTF8) }
        return bytes
    }

    /// A reader of the message that lies here, preceded by its length.
    @inlinable @inline(__always)
    public mutating func nested(_ message: StaticString) throws(WireError) -> ProtobufReader {
        let bytes = try self.bytes()
        // No message of the schema contains itself; 16 levels are more than any has.
        guard self.depth < 16 else { throw self.error(.nestedTooDeeply) }
        return ProtobufReader(bytes, message: message, depth: self.depth &+ 1)
    }

    /// Passes over `count` bytes.
    @inlinable
    public mutating func skip(bytes count: Int) throws(WireError) {
        guard count >= 0, self.remaining >= count else { throw self.error(.truncated) }
        self.position += count
    }

    /// How many fields of this key, preceded by their length, follow one another without a gap: the one whose key has just
    /// been read and those after it. So that memory can be reserved for as many as there really are.
    @inlinable
    public func countOfNeighbours(_ key: UInt32) -> Int {
        var ahead = self
        var count = 0
        do throws(WireError) {
            repeat {
                _ = try ahead.bytes()
                count &+= 1
            } while try ahead.nextKey() == key
        } catch {
            // Whoever reads the fields will meet the same error.
        }
        return count
    }

    /// Passes over the value that belongs to `key`.
    public mutating func skip(_ key: UInt32) throws(WireError) {
        switch key & 7 {
        case 0: _ = try self.varint()
        case 1: _ = try self.fixed64()
        case 2: _ = try self.bytes()
        case 5: _ = try self.fixed32()
        default: throw self.error(.malformedField)  // groups, which proto3 does not have
        }
    }
}
