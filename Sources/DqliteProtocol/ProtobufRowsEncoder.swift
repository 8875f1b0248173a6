public import DqliteWire

/// Writes a Rows response of the protobuf encoding.
///
/// Each value is a message of one field: `key of values, length, key of the kind, what it holds`.
public struct ProtobufRowsEncoder: RowsEncoder {
    @usableFromInline var writer: ProtobufWriter
    @usableFromInline let columnCount: Int
    @usableFromInline var column = 0

    @inlinable @inline(__always)
    public init(_ memory: UnsafeMutableRawBufferPointer, columnCount: Int) {
        self.writer = ProtobufWriter(memory)
        self.columnCount = columnCount
    }

    @inlinable public var count: Int { self.writer.count }

    @inlinable public static var columnsSize: Int { 0 }
    @inlinable public static func columnNameSize(byteCount: Int) -> Int { 1 &+ lengthDelimitedSize(byteCount) }
    @inlinable public static func rowSize(columnCount: Int) -> Int { 0 }
    @inlinable public static func integerSize(_ value: Int64) -> Int { 3 &+ varintSize(zigzagged(value)) }
    @inlinable public static var realSize: Int { 11 }
    @inlinable public static func textSize(byteCount: Int) -> Int {
        1 &+ lengthDelimitedSize(1 &+ lengthDelimitedSize(byteCount))
    }
    @inlinable public static func blobSize(byteCount: Int) -> Int { Self.textSize(byteCount: byteCount) }
    @inlinable public static var nullSize: Int { 4 }
    @inlinable public static func unixTimeSize(_ value: Int64) -> Int { Self.integerSize(value) }
    @inlinable public static func iso8601Size(byteCount: Int) -> Int { Self.textSize(byteCount: byteCount) }
    @inlinable public static var booleanSize: Int { 4 }
    @inlinable public static func finishSize(more: Bool) -> Int { more ? 2 : 0 }

    @inlinable
    public static func canCarry(text: UnsafeRawBufferPointer) -> Bool { true }

    @inlinable
    public mutating func beginColumns() {}

    @inlinable
    public mutating func columnName(_ utf8: UnsafeRawBufferPointer) {
        self.writer.byte(UInt8(RowsKey.columns))
        self.writer.bytes(utf8)
    }

    @inlinable @inline(__always)
    public mutating func beginRow() { assert(self.column == 0) }

    /// Keys and length of a value of which `size` bytes follow, less than 127.
    @inlinable @inline(__always)
    mutating func value(_ key: UInt32, size: Int) {
        assert(self.column < self.columnCount)
        self.column &+= 1
        self.writer.byte(UInt8(RowsKey.values))
        self.writer.byte(UInt8(size &+ 1))
        self.writer.byte(UInt8(truncatingIfNeeded: key))
    }

    @inlinable @inline(__always)
    mutating func bytes(_ key: UInt32, _ bytes: UnsafeRawBufferPointer) {
        assert(self.column < self.columnCount)
        self.column &+= 1
        self.writer.byte(UInt8(RowsKey.values))
        self.writer.varint(UInt64(1 &+ lengthDelimitedSize(bytes.count)))
        self.writer.byte(UInt8(truncatingIfNeeded: key))
        self.writer.bytes(bytes)
    }

    @inlinable @inline(__always)
    mutating func zigzag(_ key: UInt32, _ value: Int64) {
        let bits = zigzagged(value)
        self.value(key, size: varintSize(bits))
        self.writer.varint(bits)
    }

    @inlinable @inline(__always)
    public mutating func integer(_ value: Int64) { self.zigzag(Value.ProtobufKey.integer, value) }

    @inlinable @inline(__always)
    public mutating func real(_ value: Double) {
        self.value(Value.ProtobufKey.real, size: 8)
        self.writer.fixed64(value.bitPattern)
    }

    @inlinable @inline(__always)
    public mutating func text(_ utf8: UnsafeRawBufferPointer) { self.bytes(Value.ProtobufKey.text, utf8) }

    @inlinable @inline(__always)
    public mutating func blob(_ bytes: UnsafeRawBufferPointer) { self.bytes(Value.ProtobufKey.blob, bytes) }

    @inlinable @inline(__always)
    public mutating func null() {
        self.value(Value.ProtobufKey.null, size: 1)
        self.writer.byte(1)
    }

    @inlinable @inline(__always)
    public mutating func unixTime(_ seconds: Int64) { self.zigzag(Value.ProtobufKey.unixTime, seconds) }

    @inlinable @inline(__always)
    public mutating func iso8601(_ utf8: UnsafeRawBufferPointer) { self.bytes(Value.ProtobufKey.iso8601, utf8) }

    @inlinable @inline(__always)
    public mutating func boolean(_ value: Bool) {
        self.value(Value.ProtobufKey.boolean, size: 1)
        self.writer.byte(value ? 1 : 0)
    }

    @inlinable @inline(__always)
    public mutating func endRow() {
        assert(self.column == self.columnCount)
        self.column = 0
    }

    @inlinable
    public mutating func finish(more: Bool) {
        assert(self.column == 0)
        if more {
            self.writer.byte(UInt8(RowsKey.more))
            self.writer.byte(1)
        }
    }
}
