import DqliteFuzzing
import DqliteProtocol
import DqliteWire
import Testing

/// Rows of results, through cursors and from encoders.
@Suite struct RowTests {
    /// A result that has every type, columns enough for two words of type codes, and names of all lengths.
    static func result(columns: Int, rows: Int, more: Bool = false) -> RowsResponse {
        let kinds: [Value] = [
            .null, .integer(.min), .real(-0.0), .text("häß"), .blob([1, 2, 3]), .unixTime(-1), .iso8601("2020-01-02"),
            .boolean(true), .boolean(false), .text(""), .blob([]), .integer(.max),
        ]
        return RowsResponse(
            columns: (0..<columns).map { String(repeating: "n", count: $0 % 20) },
            values: (0..<columns * rows).map { kinds[$0 % kinds.count] }, more: more)
    }

    @Test(arguments: [1, 2, 7, 15, 16, 17, 32, 33, 2000], [0, 1, 3])
    func structsCursorsAndEncodersAgree(_ columns: Int, _ rows: Int) throws {
        for more in [false, true] {
            let result = Self.result(columns: columns, rows: rows, more: more)
            for (target, bytes) in [
                (FuzzTarget.responses, try result.dqliteBytes()), (.protobuf, result.protobufBytes()),
            ] {
                // The fuzz target compares them all.
                let input = try #require(target.input(RowsResponse.self, revision: 0, bytes: bytes))
                try input.withUnsafeBytes { try target.run($0) }
            }
            #expect(try RowsResponse.decode(dqlite: result.dqliteBytes()) == result)
            #expect(try RowsResponse.decode(protobuf: result.protobufBytes()) == result)
        }
    }

    @Test func resumesBetweenRows() throws {
        let result = Self.result(columns: 5, rows: 4, more: true)
        for (encoding, bytes) in [(WireEncoding.dqlite, try result.dqliteBytes()), (.protobuf, result.protobufBytes())]
        {
            try bytes.withUnsafeBytes { (memory) throws in
                let first = encoding == .dqlite ? try RowCursor(dqlite: memory) : try RowCursor(protobuf: memory)
                var place = (columnCount: first.columnCount, offset: first.offset)
                #expect(place.columnCount == 5)
                for row in 0..<4 {
                    var cursor = try RowCursor(
                        resuming: memory, encoding: encoding, columnCount: place.columnCount, offset: place.offset)
                    #expect(try cursor.nextRow())
                    // Not all values are read: the rest is passed over.
                    for column in 0..<row { #expect(same(try cursor.nextValue(), result.values[row * 5 + column])) }
                    try cursor.skipRow()
                    place = (cursor.columnCount, cursor.offset)
                }
                var cursor = try RowCursor(
                    resuming: memory, encoding: encoding, columnCount: place.columnCount, offset: place.offset)
                #expect(try !cursor.nextRow())
                #expect(cursor.more)
                #expect(throws: WireError.self) {
                    try RowCursor(resuming: memory, encoding: encoding, columnCount: 5, offset: memory.count + 1)
                }
            }
        }
    }

    /// In the protobuf encoding only the first part has the names.
    @Test func partsWithoutNames() throws {
        let part = RowsResponse(columns: [], values: [.integer(1), .integer(2), .integer(3), .integer(4)])
        try part.protobufBytes().withUnsafeBytes { (memory) throws in
            var cursor = try RowCursor(protobuf: memory, columnCount: 2)
            for row in 0..<2 {
                #expect(try cursor.nextRow())
                #expect(same(try cursor.nextValue(), .integer(Int64(row * 2 + 1))))
            }
            #expect(try !cursor.nextRow())
            #expect(!cursor.more)
            // Values and no columns to put them in.
            var lost = try RowCursor(protobuf: memory)
            #expect(throws: WireError.self) { try lost.nextRow() }
            // A row that is not whole.
            var odd = try RowCursor(protobuf: memory, columnCount: 3)
            #expect(try odd.nextRow())
            #expect(try odd.nextRow())
            #expect(throws: WireError.self) { try odd.nextRow() }
        }
    }

    @Test func namesMustMatchTheFirstPart() throws {
        try RowsResponse(columns: ["a", "b"]).protobufBytes().withUnsafeBytes { (memory) throws in
            #expect(throws: WireError.self) { try RowCursor(protobuf: memory, columnCount: 3) }
            #expect(try RowCursor(protobuf: memory, columnCount: 2).columnCount == 2)
        }
    }

    /// dqlite answers a statement without columns like this; rows without columns would have no end.
    @Test func noColumns() throws {
        let bytes: [UInt8] = Array(repeating: 0, count: 8) + Array(repeating: 0xff, count: 8)
        #expect(try RowsResponse.decode(dqlite: bytes) == RowsResponse())
        try bytes.withUnsafeBytes { (memory) throws in
            var cursor = try RowCursor(dqlite: memory)
            #expect(try !cursor.nextRow())
        }
        let endless = Array(repeating: UInt8(0), count: 64)
        #expect(throws: WireError.self) { try RowsResponse.decode(dqlite: endless) }
        _ = endless.withUnsafeBytes { memory in
            #expect(throws: WireError.self) {
                var cursor = try RowCursor(dqlite: memory)
                _ = try cursor.nextRow()
            }
        }
        #expect(throws: WireEncodingError.self) { try RowsResponse(values: [.null]).dqliteBytes() }
        #expect(throws: WireEncodingError.self) {
            try RowsResponse(columns: ["a", "b"], values: [.null]).dqliteBytes()
        }
    }

    @Test func textThatOneEncodingCannotCarry() {
        for (text, fits) in [("abc", true), ("", true), ("a\0", false), ("\0", false)] {
            text.withUTF8Bytes { bytes in
                #expect(DqliteRowsEncoder.canCarry(text: bytes) == fits)
                #expect(ProtobufRowsEncoder.canCarry(text: bytes))
            }
        }
    }

    @Test func rowsWithoutTheirEnd() throws {
        let bytes = try Self.result(columns: 2, rows: 2).dqliteBytes()
        for count in 0..<bytes.count {
            #expect(throws: WireError.self) { try RowsResponse.decode(dqlite: Array(bytes[..<count])) }
        }
    }
}

private func same(_ view: ValueView, _ value: Value) -> Bool {
    switch (view, value) {
    case (.null, .null): true
    case (.integer(let a), .integer(let b)), (.unixTime(let a), .unixTime(let b)): a == b
    case (.real(let a), .real(let b)): a.bitPattern == b.bitPattern
    case (.text(let a), .text(let b)), (.iso8601(let a), .iso8601(let b)): Array(a) == Array(b.utf8)
    case (.blob(let a), .blob(let b)): Array(a) == b
    case (.boolean(let a), .boolean(let b)): a == b
    default: false
    }
}
