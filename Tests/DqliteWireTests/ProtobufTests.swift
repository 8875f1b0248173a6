import DqliteWire
import Testing

@Suite struct ProtobufTests {
    static func written(_ size: Int, _ body: (inout ProtobufWriter) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: size)
        let count = bytes.withUnsafeMutableBytes { memory in
            var writer = ProtobufWriter(memory)
            body(&writer)
            return writer.count
        }
        #expect(count == size)
        return bytes
    }

    static func read<Result>(_ bytes: [UInt8], _ body: (inout ProtobufReader) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBytes { memory in
            var reader = ProtobufReader(memory, message: "Test")
            return try body(&reader)
        }
    }

    /// Both sides of every place where a varint grows by a byte.
    static let edges: [UInt64] = [0, UInt64.max] + (1..<64).flatMap { [(1 << $0) - 1, 1 << $0] }

    @Test(arguments: edges)
    func varints(_ value: UInt64) throws {
        var expected: [UInt8] = []
        var rest = value
        repeat {
            expected.append(UInt8(rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
            rest >>= 7
        } while rest > 0
        #expect(varintSize(value) == expected.count)
        #expect(Self.written(expected.count) { $0.varint(value) } == expected)
        try Self.read(expected) { (reader) throws in
            #expect(try reader.varint() == value)
            #expect(reader.isAtEnd)
        }
        for count in 0..<expected.count {
            #expect(throws: WireError.self) { try Self.read(Array(expected[..<count])) { try $0.varint() } }
        }
    }

    @Test(arguments: [(0, 0), (-1, 1), (1, 2), (-2, 3), (Int64.max, UInt64.max - 1), (Int64.min, UInt64.max)])
    func zigzag(_ value: Int64, _ encoded: UInt64) throws {
        #expect(zigzagged(value) == encoded)
        let bytes = Self.written(varintSize(encoded)) { $0.zigzag(value) }
        #expect(try Self.read(bytes) { try $0.zigzag() } == value)
    }

    @Test func fixedAndDelimited() throws {
        let bytes = Self.written(8 + 4 + 3) { writer in
            writer.fixed64(0x0807_0605_0403_0201)
            writer.string("abc")
            [UInt8]([1, 2]).withUnsafeBytes { writer.bytes($0) }
        }
        #expect(bytes == [1, 2, 3, 4, 5, 6, 7, 8, 3, 97, 98, 99, 2, 1, 2])
        try Self.read(bytes) { (reader) throws in
            #expect(try reader.fixed64() == 0x0807_0605_0403_0201)
            #expect(try reader.string() == "abc")
            #expect(try Array(reader.bytes()) == [1, 2])
            #expect(reader.isAtEnd)
        }
        #expect(try Self.read([1, 2, 3, 4]) { try $0.fixed32() } == 0x0403_0201)
    }

    @Test func varintOfMoreThanTenBytesIsRefused() {
        let bytes = Array(repeating: UInt8(0x80), count: 10) + [1]
        #expect(throws: WireError(.malformedField, offset: 10, message: "Test")) {
            try Self.read(bytes) { try $0.varint() }
        }
    }

    @Test(arguments: [[0x00], [0x07], [0x80, 0x80, 0x80, 0x80, 0x10]] as [[UInt8]])
    func impossibleKeysAreRefused(_ bytes: [UInt8]) {
        #expect(throws: WireError.self) { try Self.read(bytes) { try $0.nextKey() } }
    }

    @Test func impossibleLengthsAreRefused() {
        for length: UInt64 in [3, UInt64(Int64.max), 1 << 63, .max] {
            let bytes = Self.written(varintSize(length) + 2) { writer in
                writer.varint(length)
                writer.byte(1)
                writer.byte(2)
            }
            #expect(throws: WireError.self) { try Self.read(bytes) { try $0.bytes() } }
        }
    }

    @Test func stringsAreUTF8() {
        #expect(throws: WireError(.invalidUTF8, offset: 2, message: "Test")) {
            try Self.read([1, 0xff]) { try $0.string() }
        }
    }

    @Test func skipsEveryWireType() throws {
        // Fields 1 to 4: varint, 64 bits, delimited, 32 bits.
        let bytes: [UInt8] = [8, 0x80, 1, 17, 1, 2, 3, 4, 5, 6, 7, 8, 26, 2, 9, 9, 37, 1, 2, 3, 4]
        try Self.read(bytes) { (reader) throws in
            var keys: [UInt32] = []
            while let key = try reader.nextKey() {
                keys.append(key)
                try reader.skip(key)
            }
            #expect(keys == [8, 17, 26, 37])
        }
        for group: UInt8 in [11, 12, 14, 15] {
            #expect(throws: WireError.self) {
                try Self.read([group]) { (reader) throws in
                    let key = try #require(try reader.nextKey())
                    try reader.skip(key)
                }
            }
        }
    }

    @Test func nestingIsBounded() throws {
        // 20 messages inside one another.
        var bytes: [UInt8] = []
        for _ in 0..<20 { bytes = [10, UInt8(bytes.count)] + bytes }
        #expect(throws: WireError.self) {
            try Self.read(bytes) { (reader) throws in
                var reader = reader
                while try reader.nextKey() != nil { reader = try reader.nested("Test") }
            }
        }
    }

    @Test func skipsBytes() throws {
        try Self.read([1, 2, 3]) { (reader) throws in
            try reader.skip(bytes: 2)
            #expect(reader.offset == 2)
            #expect(throws: WireError.self) { try reader.skip(bytes: 2) }
            #expect(throws: WireError.self) { try reader.skip(bytes: -1) }
        }
    }
}
