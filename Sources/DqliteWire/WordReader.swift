#if canImport(Glibc)
    public import Glibc
#elseif canImport(Musl)
    public import Musl
#else
    public import Darwin
#endif

/// Reads the dqlite encoding from memory that somebody else owns: valid no longer than the memory is.
///
/// Every read is checked against what remains; none traps, none allocates by a length it has not checked.
public struct WordReader {
    @usableFromInline var position: UnsafeRawPointer
    @usableFromInline let start: UnsafeRawPointer
    @usableFromInline let end: UnsafeRawPointer
    @usableFromInline let message: StaticString

    /// A reader of `bytes`. `message` is named in errors.
    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer, message: StaticString) {
        // An empty buffer may have no address; any address does for reading nothing.
        self.start = bytes.baseAddress ?? UnsafeRawPointer(bitPattern: 8)!
        self.position = self.start
        self.end = self.start + bytes.count
        self.message = message
    }

    @inlinable
    init(from start: UnsafeRawPointer, at position: UnsafeRawPointer, to end: UnsafeRawPointer, _ message: StaticString)
    {
        self.start = start
        self.position = position
        self.end = end
        self.message = message
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

    @inlinable @inline(__always)
    mutating func load<T: FixedWidthInteger>(_: T.Type) throws(WireError) -> T {
        guard self.remaining >= MemoryLayout<T>.size else { throw self.error(.truncated) }
        let value = T(littleEndian: self.position.loadUnaligned(as: T.self))
        self.position += MemoryLayout<T>.size
        return value
    }

    /// The next 64 bits.
    @inlinable @inline(__always)
    public mutating func word() throws(WireError) -> UInt64 { try self.load(UInt64.self) }
    /// The next 32 bits.
    @inlinable @inline(__always)
    public mutating func half() throws(WireError) -> UInt32 { try self.load(UInt32.self) }
    /// The next 16 bits.
    @inlinable @inline(__always)
    public mutating func short() throws(WireError) -> UInt16 { try self.load(UInt16.self) }
    /// The next 8 bits.
    @inlinable @inline(__always)
    public mutating func byte() throws(WireError) -> UInt8 { try self.load(UInt8.self) }

    /// The next 64 bits, of which only the low 32 may be used.
    @inlinable @inline(__always)
    public mutating func halfInWord() throws(WireError) -> UInt32 {
        guard let half = UInt32(exactly: try self.word()) else { throw self.error(.invalidValue) }
        return half
    }

    /// The byte at the position, which stays.
    @inlinable @inline(__always)
    public func peekByte() throws(WireError) -> UInt8 {
        guard !self.isAtEnd else { throw self.error(.truncated) }
        return self.position.load(as: UInt8.self)
    }

    /// The next `count` bytes.
    @inlinable @inline(__always)
    public mutating func bytes(_ count: Int) throws(WireError) -> UnsafeRawBufferPointer {
        guard count >= 0, self.remaining >= count else { throw self.error(.truncated) }
        defer { self.position += count }
        return UnsafeRawBufferPointer(start: self.position, count: count)
    }

    /// A reader of the next `count` bytes, over which this one passes.
    @inlinable
    public mutating func part(_ count: Int) throws(WireError) -> WordReader {
        let part = WordReader(
            from: self.start, at: self.position, to: self.position + max(0, min(count, self.remaining)), self.message)
        try self.skip(count)
        return part
    }

    /// All bytes that remain.
    @inlinable
    public mutating func rest() -> UnsafeRawBufferPointer {
        defer { self.position = self.end }
        return UnsafeRawBufferPointer(start: self.position, count: self.remaining)
    }

    /// Passes over `count` bytes.
    @inlinable @inline(__always)
    public mutating func skip(_ count: Int) throws(WireError) { _ = try self.bytes(count) }

    /// The bytes of a text, without its NUL; passes over its padding.
    @inlinable @inline(__always)
    public mutating func textBytes() throws(WireError) -> UnsafeRawBufferPointer {
        let count = try self.distanceToNUL()
        let padded = roundedUpToWord(count &+ 1)
        guard padded <= self.remaining else { throw self.error(.truncated) }
        defer { self.position += padded }
        return UnsafeRawBufferPointer(start: self.position, count: count)
    }

    /// The bytes of a text, without its NUL; passes over its padding. Refuses what is not UTF-8.
    @inlinable
    public mutating func utf8Bytes() throws(WireError) -> UnsafeRawBufferPointer {
        let bytes = try self.textBytes()
        guard isUTF8(bytes) else { throw self.error(.invalidUTF8) }
        return bytes
    }

    /// A text. Refuses what is not UTF-8.
    @inlinable
    public mutating func text() throws(WireError) -> String { try self.string(self.textBytes()) }

    /// A text that is not padded. Refuses what is not UTF-8.
    @inlinable
    public mutating func unpaddedText() throws(WireError) -> String {
        let count = try self.distanceToNUL()
        let bytes = try self.bytes(count)
        try self.skip(1)
        return try self.string(bytes)
    }

    /// The bytes of a blob: passes over its length and its padding.
    @inlinable @inline(__always)
    public mutating func blobBytes() throws(WireError) -> UnsafeRawBufferPointer {
        let count = try self.length()
        let padded = roundedUpToWord(count)
        guard padded <= self.remaining else { throw self.error(.impossibleLength) }
        defer { self.position += padded }
        return UnsafeRawBufferPointer(start: self.position, count: count)
    }

    /// The bytes of a blob that is not padded: passes over its length.
    @inlinable
    public mutating func unpaddedBlobBytes() throws(WireError) -> UnsafeRawBufferPointer {
        let count = try self.length()
        return try self.bytes(count)
    }

    /// A word that says how many bytes follow; checked against what remains.
    @inlinable @inline(__always)
    public mutating func length() throws(WireError) -> Int { try self.count(elementSize: 1) }

    /// A word that says how many elements follow, each of which takes at least `elementSize` bytes (at least 1); checked
    /// against what remains, so that reserving memory for as many is safe.
    @inlinable @inline(__always)
    public mutating func count(elementSize: Int) throws(WireError) -> Int {
        // Two statements: a receiver is read before its arguments.
        let count = try self.word()
        return try self.checked(count: count, elementSize: elementSize)
    }

    /// `count`, if as many elements can follow, each of which takes at least `elementSize` bytes (at least 1).
    @inlinable @inline(__always)
    public func checked(count: UInt64, elementSize: Int) throws(WireError) -> Int {
        guard count <= UInt64(self.remaining / elementSize) else { throw self.error(.impossibleLength) }
        return Int(count)
    }

    /// Passes over what is missing to a multiple of 8 bytes from `start`, an offset.
    @inlinable
    public mutating func align(from start: Int) throws(WireError) {
        let count = self.offset - start
        try self.skip(roundedUpToWord(count) - count)
    }

    @inlinable @inline(__always)
    func distanceToNUL() throws(WireError) -> Int {
        guard let nul = memchr(self.position, 0, self.remaining) else { throw self.error(.unterminatedText) }
        return UnsafeRawPointer(nul) - self.position
    }

    @inlinable
    func string(_ bytes: UnsafeRawBufferPointer) throws(WireError) -> String {
        guard let string = String(validatedUTF8: bytes) else { throw self.error(.invalidUTF8) }
        return string
    }
}

/// The next multiple of 8. `count` is at most `Int.max` less 7.
@inlinable @inline(__always)
public func roundedUpToWord(_ count: Int) -> Int { (count &+ 7) & ~7 }

/// Whether the bytes are UTF-8. ASCII is passed over 8 bytes at a time, without building a string.
@inlinable
func isUTF8(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var offset = 0
    while offset &+ 8 <= bytes.count,
        bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self) & 0x8080_8080_8080_8080 == 0
    {
        offset &+= 8
    }
    while offset < bytes.count, bytes[offset] < 0x80 { offset &+= 1 }
    return offset == bytes.count || String(validatedUTF8: UnsafeRawBufferPointer(rebasing: bytes[offset...])) != nil
}

extension String {
    /// The text that the bytes are; nil when they are not UTF-8.
    @inlinable @inline(__always)
    init?(validatedUTF8 bytes: UnsafeRawBufferPointer) {
        // `String(validating:)` takes about twice as long as this initializer, which repairs what is not UTF-8. Whether
        // it did, the comparison tells.
        self.init(decoding: bytes, as: UTF8.self)
        let isSame = self.withUTF8Bytes { utf8 in
            guard utf8.count == bytes.count else { return false }
            return utf8.isEmpty || memcmp(utf8.baseAddress!, bytes.baseAddress!, utf8.count) == 0
        }
        guard isSame else { return nil }
    }
}
