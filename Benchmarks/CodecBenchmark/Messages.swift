import CDqliteProtocol
import DqliteProtocol
import DqliteWire
import ProtobufOracle

/// The messages that are measured: a query with three parameters, and a result of 10 rows by 4 columns.
enum Messages {
    static let request = QuerySQLRequest(
        databaseID: 0, sql: "SELECT id, name, score, picture FROM users WHERE id > ? AND name <> ? AND score < ?",
        parameters: [.integer(123_456), .text("somebody@example.com"), .real(99.5)])

    static let rows = RowsResponse(
        columns: ["id", "name", "score", "picture"],
        values: (0..<10).flatMap { row -> [Value] in
            [
                .integer(Int64(row) * 1_000_003), .text("Customer Number \(1000 + row)"), .real(Double(row) * 1.25),
                .blob((0..<24).map { UInt8($0 * row & 0xff) }),
            ]
        })
}

/// Memory that is written again and again, as a connection's buffer is.
struct Scratch {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 16, alignment: 16)

    @inline(__always)
    func encodeDqlite(_ message: some DqliteEncodable) -> Int {
        guard let size = try? message.dqliteEncodedSize(revision: 0) else { return 0 }
        var writer = WordWriter(UnsafeMutableRawBufferPointer(rebasing: self.memory[..<size]))
        message.encodeDqlite(into: &writer, revision: 0)
        return writer.count
    }

    @inline(__always)
    func encodeProtobuf(_ message: some ProtobufEncodable) -> Int {
        let size = message.protobufEncodedSize
        var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(rebasing: self.memory[..<size]))
        message.encodeProtobuf(into: &writer)
        return writer.count
    }
}

/// Touches a value, so that it has to be there.
@inline(__always)
func touch(_ value: ValueView) -> Int {
    switch value {
    case .null: 1
    case .integer(let value), .unixTime(let value): Int(truncatingIfNeeded: value)
    case .real(let value): Int(truncatingIfNeeded: value.bitPattern)
    case .text(let bytes), .blob(let bytes), .iso8601(let bytes): bytes.isEmpty ? 0 : bytes.count &+ Int(bytes[0])
    case .boolean(let value): value ? 1 : 0
    }
}
