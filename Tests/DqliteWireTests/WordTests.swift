import DqliteWire
import Testing

@Suite struct WordTests {
    /// Writes into memory of exactly `size` bytes, filled with something else first.
    static func written(_ size: Int, _ body: (inout WordWriter) -> Void) -> [UInt8] {
        var bytes = [UInt8](repeating: 0xaa, count: size)
        let count = bytes.withUnsafeMutableBytes { memory in
            var writer = WordWriter(memory)
            body(&writer)
            return writer.count
        }
        #expect(count == size)
        return bytes
    }

    static func read<Result>(_ bytes: [UInt8], _ body: (inout WordReader) throws -> Result) rethrows -> Result {
        try bytes.withUnsafeBytes { memory in
            var reader = WordReader(memory, message: "Test")
            return try body(&reader)
        }
    }

    @Test func integersAreLittleEndian() throws {
        let bytes = Self.written(15) { writer in
            writer.word(0x0807_0605_0403_0201)
            writer.half(0x0403_0201)
            writer.short(0x0201)
            writer.byte(1)
        }
        #expect(bytes == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 1, 2, 1])
        try Self.read(bytes) { (reader) throws in
            #expect(try reader.word() == 0x0807_0605_0403_0201)
            #expect(reader.offset == 8)
            #expect(try reader.half() == 0x0403_0201)
            #expect(try reader.short() == 0x0201)
            #expect(try reader.peekByte() == 1)
            #expect(try reader.byte() == 1)
            #expect(reader.isAtEnd)
        }
    }

    @Test(arguments: 0...17)
    func textIsPaddedToWords(_ count: Int) throws {
        let text = String(repeating: "x", count: count)
        let size = try dqliteTextSize(text, field: "Test.text")
        #expect(size == (count + 8) / 8 * 8)
        let bytes = Self.written(size) { $0.text(text) }
        #expect(bytes == Array(text.utf8) + Array(repeating: 0, count: size - count))
        try Self.read(bytes) { (reader) throws in
            #expect(try reader.text() == text)
            #expect(reader.isAtEnd)
        }
    }

    @Test(arguments: 0...17)
    func blobIsPaddedToWords(_ count: Int) throws {
        let blob = (0..<count).map { UInt8($0 + 1) }
        let size = 8 + roundedUpToWord(count)
        let bytes = Self.written(size) { writer in blob.withUnsafeBytes { writer.blob($0) } }
        #expect(bytes == [UInt8(count), 0, 0, 0, 0, 0, 0, 0] + blob + Array(repeating: 0, count: size - 8 - count))
        try Self.read(bytes) { (reader) throws in
            #expect(try Array(reader.blobBytes()) == blob)
            #expect(reader.isAtEnd)
        }
    }

    @Test func unpaddedText() throws {
        #expect(try dqliteUnpaddedTextSize("abc", field: "Test.text") == 4)
        let bytes = Self.written(8) { writer in
            writer.unpaddedText("abc")
            writer.align(from: 0)
        }
        #expect(bytes == [97, 98, 99, 0, 0, 0, 0, 0])
        try Self.read(bytes) { (reader) throws in
            #expect(try reader.unpaddedText() == "abc")
            #expect(reader.offset == 4)
            try reader.align(from: 0)
            #expect(reader.isAtEnd)
        }
    }

    @Test func nulInTextIsRefused() {
        #expect(throws: WireEncodingError(.textContainsNUL, field: "Test.text")) {
            try dqliteTextSize("a\0b", field: "Test.text")
        }
    }

    @Test func foreignStringsAreCopied() throws {
        // Not stored as UTF-8 where strings of another kind exist; on Linux the same as any other.
        let text = String(decoding: Array("ä€😀".utf16), as: UTF16.self)
        #expect(text.withUTF8Bytes { Array($0) } == Array("ä€😀".utf8))
    }

    @Test func truncation() throws {
        let cases: [(size: Int, read: (inout WordReader) throws(WireError) -> Void)] = [
            (7, { (reader) throws(WireError) in _ = try reader.word() }),
            (3, { (reader) throws(WireError) in _ = try reader.half() }),
            (1, { (reader) throws(WireError) in _ = try reader.short() }),
            (0, { (reader) throws(WireError) in _ = try reader.byte() }),
            (0, { (reader) throws(WireError) in _ = try reader.peekByte() }),
            (4, { (reader) throws(WireError) in try reader.skip(5) }),
            (4, { (reader) throws(WireError) in try reader.skip(-1) }),
        ]
        for (size, read) in cases {
            #expect(throws: WireError(.truncated, offset: 0, message: "Test")) {
                try Self.read(Array(repeating: 0, count: size)) { try read(&$0) }
            }
        }
    }

    @Test func textWithoutNUL() {
        #expect(throws: WireError(.unterminatedText, offset: 0, message: "Test")) {
            try Self.read(Array("abcdefgh".utf8)) { try $0.text() }
        }
        #expect(throws: WireError(.unterminatedText, offset: 0, message: "Test")) {
            try Self.read([]) { try $0.text() }
        }
        // The NUL is there, its padding is not.
        #expect(throws: WireError(.truncated, offset: 0, message: "Test")) {
            try Self.read(Array("abc\0".utf8)) { try $0.text() }
        }
        #expect(throws: WireError.self) { try Self.read([0xff, 0, 0, 0, 0, 0, 0, 0]) { try $0.text() } }
    }

    @Test(arguments: [9, UInt64.max, UInt64(Int64.max), 1 << 63])
    func impossibleLengths(_ length: UInt64) {
        let bytes = Self.written(16) { writer in
            writer.word(length)
            writer.word(0)
        }
        #expect(throws: WireError(.impossibleLength, offset: 8, message: "Test")) {
            try Self.read(bytes) { try $0.blobBytes() }
        }
        #expect(throws: WireError(.impossibleLength, offset: 8, message: "Test")) {
            try Self.read(bytes) { try $0.count(elementSize: 1) }
        }
    }

    @Test func countsAreBoundedByWhatRemains() throws {
        let bytes = Self.written(16) { writer in
            writer.word(2)
            writer.word(0)
        }
        #expect(try Self.read(bytes) { try $0.count(elementSize: 4) } == 2)
        #expect(throws: WireError.self) { try Self.read(bytes) { try $0.count(elementSize: 8) } }
    }

    @Test func restAndReserve() throws {
        let bytes = Self.written(5) { writer in
            writer.reserve(2)
            writer.zeros(1)
            writer.short(0x0807)
        }
        #expect(bytes == [0xaa, 0xaa, 0, 7, 8])
        try Self.read(bytes) { (reader) throws in
            #expect(Array(reader.rest()) == bytes)
            #expect(reader.rest().isEmpty)
        }
    }

    @Test func errorsReadWell() {
        #expect(
            WireError(.truncated, offset: 3, message: "OpenRequest").description
                == "OpenRequest ends too early, at byte 3")
        #expect(
            WireEncodingError(.textContainsNUL, field: "OpenRequest.name").description
                == "OpenRequest.name contains NUL, which the dqlite encoding cannot carry")
    }
}
