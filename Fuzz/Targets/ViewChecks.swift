import DqliteProtocol
import DqliteWire

// Views and cursors must see what the structs see.

func checkDqliteViews(
    _ message: any DqliteEncodable.Type, revision: UInt8, _ bytes: UnsafeRawBufferPointer
) throws {
    if message == ExecRequest.self {
        try compare(
            try? decodeDqlite(ExecRequest.self, revision: revision, bytes).message.parameters,
            with: (try? ExecRequestView(dqlite: bytes, revision: revision))?.parameters)
    } else if message == QueryRequest.self {
        try compare(
            try? decodeDqlite(QueryRequest.self, revision: revision, bytes).message.parameters,
            with: (try? QueryRequestView(dqlite: bytes, revision: revision))?.parameters)
    } else if message == ExecSQLRequest.self {
        try compare(
            try? decodeDqlite(ExecSQLRequest.self, revision: revision, bytes).message.parameters,
            with: (try? ExecSQLRequestView(dqlite: bytes, revision: revision))?.parameters)
    } else if message == QuerySQLRequest.self {
        try compare(
            try? decodeDqlite(QuerySQLRequest.self, revision: revision, bytes).message.parameters,
            with: (try? QuerySQLRequestView(dqlite: bytes, revision: revision))?.parameters)
    } else if message == RowsResponse.self {
        let rows = try? decodeDqlite(RowsResponse.self, revision: revision, bytes).message
        let cursor = try? RowCursor(dqlite: bytes)
        try compare(rows, with: cursor, of: bytes, encoding: .dqlite)
        if let rows {
            try compareEncoders(rows)
            try checkFailure(after: rows)
        }
    } else if message == FailureResponse.self {
        let failure = try? FailureResponse(afterPartialRows: bytes)
        if let whole = try? decodeDqlite(FailureResponse.self, revision: revision, bytes), whole.read == bytes.count {
            guard failure == whole.message else { throw FuzzFinding("a clean Failure is taken for one after rows") }
        }
    }
}

/// A Failure behind rows that were not taken back is found, whatever the rows are.
private func checkFailure(after rows: RowsResponse) throws {
    // The code has zeros in it, as every code has: that is what tells the message from a text in a row.
    let failure = FailureResponse(code: 5 << 8 | 10, message: "disk I/O error")
    guard let body = try? rows.dqliteBytes(), let end = try? failure.dqliteBytes() else { return }
    // What ends the rows is the last word.
    let found = (body.dropLast(8) + end).withUnsafeBytes { try? FailureResponse(afterPartialRows: $0) }
    guard found == failure else { throw FuzzFinding("a failure after rows is read as \(String(describing: found))") }
}

func checkProtobufViews(_ message: any ProtobufEncodable.Type, _ bytes: UnsafeRawBufferPointer) throws {
    if message == ExecRequest.self {
        try compare(
            try? decodeProtobuf(ExecRequest.self, bytes).parameters,
            with: (try? ExecRequestView(protobuf: bytes))?.parameters)
    } else if message == QueryRequest.self {
        try compare(
            try? decodeProtobuf(QueryRequest.self, bytes).parameters,
            with: (try? QueryRequestView(protobuf: bytes))?.parameters)
    } else if message == ExecSQLRequest.self {
        try compare(
            try? decodeProtobuf(ExecSQLRequest.self, bytes).parameters,
            with: (try? ExecSQLRequestView(protobuf: bytes))?.parameters)
    } else if message == QuerySQLRequest.self {
        try compare(
            try? decodeProtobuf(QuerySQLRequest.self, bytes).parameters,
            with: (try? QuerySQLRequestView(protobuf: bytes))?.parameters)
    } else if message == RowsResponse.self {
        // A cursor wants the fields in the order of the schema, and whole rows; a struct does not. So the struct is encoded
        // once more, which puts them in order.
        _ = try? walk(try RowCursor(protobuf: bytes))
        guard let rows = try? decodeProtobuf(RowsResponse.self, bytes),
            rows.columns.isEmpty ? rows.values.isEmpty : rows.values.count % rows.columns.count == 0
        else { return }
        try rows.protobufBytes().withUnsafeBytes { (bytes) throws in
            try compare(rows, with: try? RowCursor(protobuf: bytes), of: bytes, encoding: .protobuf)
        }
        try compareEncoders(rows)
    }
}

private func compare(_ values: [Value]?, with cursor: ParameterCursor?) throws {
    var seen: [Value]?
    if var cursor {
        var walked: [Value]? = []
        do throws(WireError) {
            while let view = try cursor.next() {
                guard let value = value(of: view) else {
                    walked = nil
                    break
                }
                walked?.append(value)
            }
        } catch { walked = nil }
        if let walked, walked.count != cursor.count {
            throw FuzzFinding("a cursor announces \(cursor.count) parameters and has \(walked.count)")
        }
        seen = walked
    }
    guard let values else { return }
    guard let seen, encoded(seen) == encoded(values) else {
        throw FuzzFinding("a view sees other parameters than the struct: \(values), \(String(describing: seen))")
    }
}

private func compare(
    _ rows: RowsResponse?, with cursor: RowCursor?, of bytes: UnsafeRawBufferPointer, encoding: WireEncoding
) throws {
    var walked: (values: [Value?], more: Bool)?
    if let cursor { walked = try? walk(cursor) }
    guard let rows else { return }
    guard let walked else { throw FuzzFinding("a cursor refuses rows that the struct accepts") }
    let values = walked.values.compactMap(\.self)
    guard values.count == walked.values.count, encoded(values) == encoded(rows.values), walked.more == rows.more else {
        throw FuzzFinding("a cursor sees other rows than the struct")
    }
    var names: [String] = []
    do throws(WireError) {
        try RowCursor.forEachColumnName(in: bytes, encoding: encoding) {
            names.append(String(decoding: $0, as: UTF8.self))
        }
    } catch { throw FuzzFinding("names of columns: \(error)") }
    guard names == rows.columns else { throw FuzzFinding("a cursor sees other names than the struct") }
}

/// All values, resuming before each row as a reader does that was interrupted there.
private func walk(_ cursor: RowCursor) throws(WireError) -> (values: [Value?], more: Bool) {
    var cursor = cursor
    var values: [Value?] = []
    while try cursor.nextRow() {
        for _ in 0..<cursor.columnCount { values.append(value(of: try cursor.nextValue())) }
    }
    return (values, cursor.more)
}

/// The value; nil when it is text that is not UTF-8, which only views accept.
func value(of view: ValueView) -> Value? {
    switch view {
    case .null: .null
    case .integer(let value): .integer(value)
    case .real(let value): .real(value)
    case .text(let bytes): String(validating: bytes, as: UTF8.self).map(Value.text)
    case .blob(let bytes): .blob([UInt8](bytes))
    case .unixTime(let value): .unixTime(value)
    case .iso8601(let bytes): String(validating: bytes, as: UTF8.self).map(Value.iso8601)
    case .boolean(let value): .boolean(value)
    }
}

private func encoded(_ values: [Value]) -> [[UInt8]] { values.map { $0.protobufBytes() } }
