#if canImport(Glibc)
    public import Glibc
#elseif canImport(Musl)
    public import Musl
#else
    public import Darwin
#endif

/// Writes the protobuf encoding into memory that is large enough for all of it: who writes has computed the size first.
///
/// Debug builds check every store against the end of the memory; release builds rely on the computed size.
public struct ProtobufWriter {
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

    /// One byte: a key below 16, or a boolean.
    @inlinable @inline(__always)
    public mutating func byte(_ value: UInt8) {
        assert(self.position < self.end)
        self.position.storeBytes(of: value, as: UInt8.self)
        self.position += 1
    }

    /// An unsigned integer of variable length.
    @inlinable @inline(__always)
    public mutating func varint(_ value: UInt64) {
        var value = value
        while value >= 0x80 {
            self.byte(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        self.byte(UInt8(truncatingIfNeeded: value))
    }

    /// A signed integer, zigzag (`sint64`).
    @inlinable @inline(__always)
    public mutating func zigzag(_ value: Int64) { self.varint(zigzagged(value)) }

    /// 64 bits.
    @inlinable @inline(__always)
    public mutating func fixed64(_ value: UInt64) {
        assert(self.end - self.position >= 8)
        self.position.storeBytes(of: value.littleEndian, as: UInt64.self)
        self.position += 8
    }

    /// Bytes preceded by their length.
    @inlinable @inline(__always)
    public mutating func bytes(_ source: UnsafeRawBufferPointer) {
        self.varint(UInt64(source.count))
        assert(self.end - self.position >= source.count)
        if source.count > 0 {
            memcpy(self.position, source.baseAddress!, source.count)
            self.position += source.count
        }
    }

    /// A string preceded by its length.
    @inlinable @inline(__always)
    public mutating func string(_ value: String) { value.withUTF8Bytes { self.bytes($0) } }
}

/// How many bytes a varint takes: 1 to 10.
@inlinable @inline(__always)
public func varintSize(_ value: UInt64) -> Int {
    // Seven bits a byte: (significant bits * 9 + 64) / 64 is the same as dividing by 7 and rounding up, for 1 to 64 bits.
    ((64 &- (value | 1).leadingZeroBitCount) &* 9 &+ 64) >> 6
}

/// How many bytes a length and that many bytes take.
@inlinable @inline(__always)
public func lengthDelimitedSize(_ count: Int) -> Int { varintSize(UInt64(count)) &+ count }

/// A signed integer as protobuf's `sint64` maps it: small absolute values become small numbers.
@inlinable @inline(__always)
public func zigzagged(_ value: Int64) -> UInt64 { UInt64(bitPattern: (value &<< 1) ^ (value &>> 63)) }
