public import DqliteWire

#if canImport(Glibc)
    public import Glibc
#elseif canImport(Musl)
    public import Musl
#else
    public import Darwin
#endif

/// Writes the body of a Rows response of the dqlite encoding.
public struct DqliteRowsEncoder: RowsEncoder {
    @usableFromInline var writer: WordWriter
    @usableFromInline let memory: UnsafeMutableRawPointer
    @usableFromInline let columnCount: Int
    @usableFromInline var column = 0
    /// Where the next word of the row's type codes belongs.
    @usableFromInline var types: UnsafeMutableRawPointer
    /// The type codes that are not yet stored there.
    @usableFromInline var codes: UInt64 = 0

    @inlinable @inline(__always)
    public init(_ memory: UnsafeMutableRawBufferPointer, columnCount: Int) {
        self.writer = WordWriter(memory)
        self.memory = memory.baseAddress!
        self.types = self.memory
        self.columnCount = columnCount
    }

    @inlinable public var count: Int { self.writer.count }

    @inlinable public static var columnsSize: Int { 8 }
    @inlinable public static func columnNameSize(byteCount: Int) -> Int { roundedUpToWord(byteCount &+ 1) }
    @inlinable public static func rowSize(columnCount: Int) -> Int { dqliteRowHeaderSize(columnCount: columnCount) }
    @inlinable public static func integerSize(_ value: Int64) -> Int { 8 }
    @inlinable public static var realSize: Int { 8 }
    @inlinable public static func textSize(byteCount: Int) -> Int { roundedUpToWord(byteCount &+ 1) }
    @inlinable public static func blobSize(byteCount: Int) -> Int { 8 &+ roundedUpToWord(byteCount) }
    @inlinable public static var nullSize: Int { 8 }
    @inlinable public static func unixTimeSize(_ value: Int64) -> Int { 8 }
    @inlinable public static func iso8601Size(byteCount: Int) -> Int { roundedUpToWord(byteCount &+ 1) }
    @inlinable public static var booleanSize: Int { 8 }
    @inlinable public static func finishSize(more: Bool) -> Int { 8 }

    @inlinable
    public static func canCarry(text: UnsafeRawBufferPointer) -> Bool {
        text.isEmpty || memchr(text.baseAddress!, 0, text.count) == nil
    }

    @inlinable
    public mutating func beginColumns() { self.writer.word(UInt64(self.columnCount)) }

    @inlinable
    public mutating func columnName(_ utf8: UnsafeRawBufferPointer) {
        assert(Self.canCarry(text: utf8))
        self.writer.bytes(utf8, paddedTo: roundedUpToWord(utf8.count &+ 1))
    }

    @inlinable @inline(__always)
    public mutating func beginRow() {
        assert(self.column == 0)
        self.types = self.memory + self.writer.count
        self.codes = 0
        // Every word of the header is stored when its codes are known.
        self.writer.reserve(dqliteRowHeaderSize(columnCount: self.columnCount))
    }

    @inlinable @inline(__always)
    mutating func type(_ code: UInt8) {
        assert(self.column < self.columnCount)
        self.codes |= UInt64(code) &<< UInt64((self.column & 15) &<< 2)
        self.column &+= 1
        if self.column & 15 == 0 { self.storeTypes() }
    }

    @inlinable @inline(__always)
    mutating func storeTypes() {
        self.types.storeBytes(of: self.codes.littleEndian, as: UInt64.self)
        self.types += 8
        self.codes = 0
    }

    @inlinable @inline(__always)
    public mutating func integer(_ value: Int64) {
        self.type(Value.TypeCode.integer)
        self.writer.word(UInt64(bitPattern: value))
    }

    @inlinable @inline(__always)
    public mutating func real(_ value: Double) {
        self.type(Value.TypeCode.real)
        self.writer.word(value.bitPattern)
    }

    @inlinable @inline(__always)
    public mutating func text(_ utf8: UnsafeRawBufferPointer) {
        assert(Self.canCarry(text: utf8))
        self.type(Value.TypeCode.text)
        self.writer.bytes(utf8, paddedTo: roundedUpToWord(utf8.count &+ 1))
    }

    @inlinable @inline(__always)
    public mutating func blob(_ bytes: UnsafeRawBufferPointer) {
        self.type(Value.TypeCode.blob)
        self.writer.blob(bytes)
    }

    @inlinable @inline(__always)
    public mutating func null() {
        self.type(Value.TypeCode.null)
        self.writer.word(0)
    }

    @inlinable @inline(__always)
    public mutating func unixTime(_ seconds: Int64) {
        self.type(Value.TypeCode.unixTime)
        self.writer.word(UInt64(bitPattern: seconds))
    }

    @inlinable @inline(__always)
    public mutating func iso8601(_ utf8: UnsafeRawBufferPointer) {
        assert(Self.canCarry(text: utf8))
        self.type(Value.TypeCode.iso8601)
        self.writer.bytes(utf8, paddedTo: roundedUpToWord(utf8.count &+ 1))
    }

    @inlinable @inline(__always)
    public mutating func boolean(_ value: Bool) {
        self.type(Value.TypeCode.boolean)
        self.writer.word(value ? 1 : 0)
    }

    @inlinable @inline(__always)
    public mutating func endRow() {
        assert(self.column == self.columnCount)
        if self.column & 15 != 0 { self.storeTypes() }
        self.column = 0
    }

    @inlinable
    public mutating func finish(more: Bool) {
        assert(self.column == 0)
        self.writer.word(more ? dqliteRowsPart : dqliteRowsDone)
    }
}
