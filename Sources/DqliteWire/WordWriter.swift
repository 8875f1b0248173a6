#if canImport(Glibc)
    public import Glibc
#elseif canImport(Musl)
    public import Musl
#else
    public import Darwin
#endif

/// Writes the dqlite encoding into memory that is large enough for all of it: who writes has computed the size first.
///
/// Debug builds check every store against the end of the memory; release builds rely on the computed size.
public struct WordWriter {
    @usableFromInline var position: UnsafeMutableRawPointer
    @usableFromInline let start: UnsafeMutableRawPointer
    @usableFromInline let end: UnsafeMutableRawPointer

    /// A writer into `memory`, which must not be empty.
    @inlinable @inline(__always)
    public init(_ memory: UnsafeMutableRawBufferPointer) {
        self.start = memory.baseAddress!
        self.position = self.start
        self.end = self.start + memory.count
    }

    /// Bytes that have been written.
    @inlinable @inline(__always)
    public var count: Int { self.position - self.start }

    @inlinable @inline(__always)
    mutating func store<T: FixedWidthInteger>(_ value: T) {
        assert(self.end - self.position >= MemoryLayout<T>.size)
        self.position.storeBytes(of: value.littleEndian, as: T.self)
        self.position += MemoryLayout<T>.size
    }

    /// 64 bits.
    @inlinable @inline(__always) public mutating func word(_ value: UInt64) { self.store(value) }
    /// 32 bits.
    @inlinable @inline(__always) public mutating func half(_ value: UInt32) { self.store(value) }
    /// 16 bits.
    @inlinable @inline(__always) public mutating func short(_ value: UInt16) { self.store(value) }
    /// 8 bits.
    @inlinable @inline(__always) public mutating func byte(_ value: UInt8) { self.store(value) }

    /// `count` zero bytes.
    @inlinable @inline(__always)
    public mutating func zeros(_ count: Int) {
        assert(self.end - self.position >= count)
        memset(self.position, 0, count)
        self.position += count
    }

    /// Passes over `count` bytes, for the caller to fill in later.
    @inlinable @inline(__always)
    public mutating func reserve(_ count: Int) {
        assert(self.end - self.position >= count)
        self.position += count
    }

    /// Bytes as they are.
    @inlinable @inline(__always)
    public mutating func bytes(_ source: UnsafeRawBufferPointer) {
        assert(self.end - self.position >= source.count)
        if source.count > 0 {
            memcpy(self.position, source.baseAddress!, source.count)
            self.position += source.count
        }
    }

    /// Bytes, then zeros up to `size`, a multiple of 8 that is at least as large.
    @inlinable @inline(__always)
    public mutating func bytes(_ source: UnsafeRawBufferPointer, paddedTo size: Int) {
        assert(self.end - self.position >= size && size >= source.count && size % 8 == 0)
        guard size > 0 else { return }
        // The padding lies in the last word, so zeroing that word first leaves one copy to do.
        (self.position + (size &- 8)).storeBytes(of: 0, as: UInt64.self)
        if source.count > 0 { memcpy(self.position, source.baseAddress!, source.count) }
        self.position += size
    }

    /// A text. It must not contain NUL: see ``dqliteTextSize(_:field:)``.
    @inlinable @inline(__always)
    public mutating func text(_ string: String) {
        string.withUTF8Bytes { self.bytes($0, paddedTo: roundedUpToWord($0.count &+ 1)) }
    }

    /// A text without padding. It must not contain NUL.
    @inlinable
    public mutating func unpaddedText(_ string: String) {
        string.withUTF8Bytes { self.bytes($0) }
        self.byte(0)
    }

    /// A blob: length, bytes, padding.
    @inlinable @inline(__always)
    public mutating func blob(_ source: UnsafeRawBufferPointer) {
        self.word(UInt64(source.count))
        self.bytes(source, paddedTo: roundedUpToWord(source.count))
    }

    /// A blob without padding: length, bytes.
    @inlinable
    public mutating func unpaddedBlob(_ source: UnsafeRawBufferPointer) {
        self.word(UInt64(source.count))
        self.bytes(source)
    }

    /// Zeros up to a multiple of 8 bytes from `start`, an earlier ``count``.
    @inlinable
    public mutating func align(from start: Int) {
        let count = self.count - start
        self.zeros(roundedUpToWord(count) - count)
    }

    /// Leaves a word open for the length of what is written next, up to ``closeLength(_:)``.
    @inlinable
    public mutating func openLength() -> Int {
        self.word(0)
        return self.count
    }

    /// Stores the length of what was written since ``openLength()``, which gave `mark`.
    @inlinable
    public mutating func closeLength(_ mark: Int) {
        assert(mark >= 8 && mark <= self.count)
        (self.start + (mark &- 8)).storeBytes(of: UInt64(self.count &- mark).littleEndian, as: UInt64.self)
    }
}

/// Size of a text in the dqlite encoding, in bytes.
///
/// - Throws: ``WireEncodingError`` when the text contains NUL; `field` is named in it.
@inlinable @inline(__always)
public func dqliteTextSize(_ string: String, field: StaticString) throws(WireEncodingError) -> Int {
    roundedUpToWord(try dqliteUnpaddedTextSize(string, field: field))
}

/// Size of a text without padding in the dqlite encoding, in bytes.
///
/// - Throws: ``WireEncodingError`` when the text contains NUL; `field` is named in it.
@inlinable @inline(__always)
public func dqliteUnpaddedTextSize(_ string: String, field: StaticString) throws(WireEncodingError) -> Int {
    let (count, containsNUL) = string.withUTF8Bytes { bytes in
        (bytes.count, bytes.count > 0 && memchr(bytes.baseAddress!, 0, bytes.count) != nil)
    }
    guard !containsNUL else { throw WireEncodingError(.textContainsNUL, field: field) }
    return count &+ 1
}

extension String {
    /// The UTF-8 of the string, in place where the string is native (always on Linux), otherwise from a copy.
    @inlinable @inline(__always)
    public func withUTF8Bytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        if let result = self.utf8.withContiguousStorageIfAvailable({ body(UnsafeRawBufferPointer($0)) }) {
            return result
        }
        var copy = self
        return copy.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }
}
