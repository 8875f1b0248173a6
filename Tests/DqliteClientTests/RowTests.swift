import DqliteProtocol
import DqliteWire
import NIOCore
import Testing

@testable import DqliteClient

/// The rows of a response, read as the client reads them.
func rows(_ response: RowsResponse, in encoding: WireEncoding) throws -> [DqliteRow] {
    var reader = RowReader(encoding: encoding)
    switch encoding {
    case .dqlite: try reader.begin(ByteBuffer(bytes: response.dqliteBytes()))
    case .protobuf: try reader.begin(ByteBuffer(bytes: response.protobufBytes()))
    }
    var rows: [DqliteRow] = []
    while let row = try reader.next() { rows.append(row) }
    return rows
}

/// The error that `body` throws, if it throws one.
func decodingError(_ body: () throws(DqliteDecodingError) -> Void) -> DqliteDecodingError? {
    do throws(DqliteDecodingError) {
        try body()
        return nil
    } catch {
        return error
    }
}

@Suite struct RowTests {
    static let all: [Value] = [
        .integer(.min), .real(-0.5), .text("naïve"), .blob([0, 255]), .null, .text(""), .blob([]), .integer(.max),
    ]
    static let names = ["i", "r", "t", "b", "n", "e", "z", "m"]

    @Test(arguments: bothEncodings)
    func `Rows decode into tuples`(_ encoding: WireEncoding) throws {
        let rows = try rows(RowsResponse(columns: Self.names, values: Self.all + Self.all), in: encoding)
        #expect(rows.count == 2)
        for row in rows {
            let (i, r, t, b, n, e, z, m) = try row.decode(
                (Int64, Double, String, [UInt8], Int?, String, ByteBuffer, Int64?).self)
            #expect(i == .min && r == -0.5 && t == "naïve" && b == [0, 255] && n == nil)
            #expect(e == "" && z == ByteBuffer() && m == .max)
            #expect(row.map(\.dataType) == [.integer, .real, .text, .blob, .null, .text, .blob, .integer])
            #expect(row.map(\.columnName) == Self.names)
            #expect(try row["t"].decode(String.self) == "naïve")
            #expect(try row[3].decode(DqliteValue.self) == .blob(ByteBuffer(bytes: [0, 255])))
            #expect(row[2].bytes == ByteBuffer(string: "naïve"))
            #expect(try row.decode(Int64.self) == .min)
        }
    }

    @Test func `More columns than a word has type codes`() throws {
        let names = (0..<35).map { "c\($0)" }
        let values = (0..<70).map { $0 % 3 == 0 ? Value.null : .integer(Int64($0)) }
        for encoding in bothEncodings {
            let rows = try rows(RowsResponse(columns: names, values: values), in: encoding)
            let decoded = try rows.flatMap { row in try row.map { try $0.decode(Int?.self) } }
            #expect(decoded == (0..<70).map { $0 % 3 == 0 ? nil : $0 })
        }
    }

    @Test func `Types that only the dqlite encoding has`() throws {
        let response = RowsResponse(
            columns: ["u", "d", "b", "x"],
            values: [.unixTime(1_700_000_000), .iso8601("2026-11-22"), .boolean(true), .iso8601("")])
        let row = try #require(try rows(response, in: .dqlite).first)
        let (time, date, flag, absent) = try row.decode((Int, String, Bool, String?).self)
        #expect(time == 1_700_000_000 && date == "2026-11-22" && flag && absent == nil)
    }

    @Test(arguments: bothEncodings)
    func `What a cell does not hold is an error that names it`(_ encoding: WireEncoding) throws {
        enum Color: String, DqliteCodable { case red }
        let response = RowsResponse(
            columns: ["i", "t", "n", "r"], values: [.integer(300), .text("blue"), .null, .real(1.5)])
        let row = try #require(try rows(response, in: encoding).first)

        func error<Value: DqliteDecodable>(_ column: Int, _ type: Value.Type) -> DqliteDecodingError? {
            decodingError { () throws(DqliteDecodingError) in _ = try row[column].decode(type) }
        }
        #expect(error(0, Int8.self)?.code == .outOfRange)
        #expect(error(0, UInt8.self)?.code == .outOfRange)
        #expect(error(0, Bool.self)?.code == .outOfRange)
        #expect(error(0, Int16.self) == nil)
        #expect(error(0, String.self)?.code == .typeMismatch)
        #expect(error(1, Color.self)?.code == .outOfRange)
        #expect(error(1, [UInt8].self)?.code == .typeMismatch)
        #expect(error(2, Int.self)?.code == .unexpectedNull)
        #expect(error(2, Int?.self) == nil)
        #expect(error(3, Int.self)?.code == .typeMismatch)

        let error = #expect(throws: DqliteDecodingError.self) {
            _ = try row.decode((Int, Int).self, file: "F.swift", line: 7)
        }
        #expect(error?.columnIndex == 1 && error?.columnName == "t" && error?.valueType == .text)
        #expect(error?.description == "column 1 \"t\" holds TEXT, not Int (F.swift:7)")
        #expect(throws: DqliteDecodingError.self) { try row["absent"] }
        let count = #expect(throws: DqliteDecodingError.self) {
            _ = try row.decode((Int, String, Int?, Double, Int).self)
        }
        #expect(count?.code == .columnCountMismatch)
    }

    @Test func `Numbers are converted only without loss`() throws {
        let response = RowsResponse(
            columns: ["a", "b", "c"], values: [.integer(2), .integer(1 << 53 + 1), .integer(-1)])
        let row = try #require(try rows(response, in: .protobuf).first)
        #expect(try row[0].decode(Double.self) == 2)
        #expect(try row[0].decode(Float.self) == 2)
        #expect(throws: DqliteDecodingError.self) { try row[1].decode(Double.self) }
        #expect(throws: DqliteDecodingError.self) { try row[2].decode(UInt64.self) }
        #expect(throws: DqliteDecodingError.self) { try row[2].decode(UInt.self) }
    }

    @Test func `Text that is not UTF-8 is an error, and its bytes are there`() throws {
        // "a\xff" as TEXT: column count 1, "n", type 3, text, end.
        var body = ByteBuffer()
        body.writeInteger(1, endianness: .little, as: UInt64.self)
        body.writeBytes([0x6e, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0x61, 0xff, 0, 0, 0, 0, 0, 0])
        body.writeRepeatingByte(0xff, count: 8)
        var reader = RowReader(encoding: .dqlite)
        try reader.begin(body)
        let row = try #require(try reader.next())
        let error = #expect(throws: DqliteDecodingError.self) { try row.decode(String.self) }
        #expect(error?.code == .invalidUTF8)
        #expect(row[0].bytes == ByteBuffer(bytes: [0x61, 0xff]))
    }

    @Test(arguments: bothEncodings)
    func `Every truncation of a part is an error or fewer rows, never a trap`(_ encoding: WireEncoding) throws {
        let response = RowsResponse(columns: Self.names, values: Self.all + Self.all)
        let bytes = encoding == .dqlite ? try response.dqliteBytes() : response.protobufBytes()
        for count in 0..<bytes.count {
            var reader = RowReader(encoding: encoding)
            var read = 0
            do {
                try reader.begin(ByteBuffer(bytes: bytes[..<count]))
                while let row = try reader.next() {
                    _ = try row.map { try $0.decode(DqliteValue.self) }
                    read += 1
                }
            } catch {}
            #expect(read <= 2)
            if encoding == .dqlite, count < bytes.count - 8 { #expect(read <= 1 || count >= bytes.count - 8) }
        }
    }

    @Test func `Parts of one result have the same columns`() throws {
        var reader = RowReader(encoding: .dqlite)
        try reader.begin(ByteBuffer(bytes: RowsResponse(columns: ["a"], values: [.null], more: true).dqliteBytes()))
        #expect(throws: (any Error).self) {
            try reader.begin(ByteBuffer(bytes: RowsResponse(columns: ["a", "b"], values: []).dqliteBytes()))
        }
    }
}
