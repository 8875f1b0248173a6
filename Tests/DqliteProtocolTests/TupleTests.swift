import DqliteFuzzing
import DqliteProtocol
import DqliteWire
import Testing

/// Parameters of statements: both revisions of the tuple, as arrays and through cursors.
@Suite struct TupleTests {
    static func integers(_ count: Int) -> [Value] { (0..<count).map { .integer(Int64($0)) } }

    /// Counts around the places where the type codes need another word, and where a byte can no longer count them.
    @Test(arguments: [0, 1, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 15, 16, 255], [0, 1] as [UInt8])
    func countsAtTheEdges(_ count: Int, _ revision: UInt8) throws {
        let request = QuerySQLRequest(databaseID: 1, sql: "SELECT", parameters: Self.integers(count))
        let bytes = try request.dqliteBytes(revision: revision)
        let prefix = revision == 0 ? 1 : 4
        #expect(bytes.count == 16 + (count == 0 ? 0 : (prefix + count + 7) / 8 * 8 + count * 8))
        #expect(try QuerySQLRequest.decode(dqlite: bytes, revision: revision) == request)
        try bytes.withUnsafeBytes { (memory) throws in
            var view = try QuerySQLRequestView(dqlite: memory, revision: revision)
            #expect(view.databaseID == 1)
            #expect(Array(view.sql) == Array("SELECT".utf8))
            #expect(view.parameters.count == count)
            for expected in 0..<count {
                guard case .integer(Int64(expected)) = try view.parameters.next() else {
                    Issue.record("parameter \(expected)")
                    return
                }
            }
            #expect(try view.parameters.next() == nil)
        }
    }

    @Test func moreThan255NeedRevision1() throws {
        let request = ExecSQLRequest(sql: "x", parameters: Self.integers(256))
        #expect(throws: WireEncodingError(.tooManyParameters, field: "ExecSQLRequest.parameters")) {
            try request.dqliteBytes(revision: 0)
        }
        let bytes = try request.dqliteBytes(revision: 1)
        #expect(try ExecSQLRequest.decode(dqlite: bytes, revision: 1) == request)
    }

    @Test func aCountOfZeroIsLegal() throws {
        let bytes = try ExecSQLRequest(sql: "x").dqliteBytes()
        #expect(try ExecSQLRequest.decode(dqlite: bytes + Array(repeating: 0, count: 8)).parameters.isEmpty)
        #expect(
            try ExecSQLRequest.decode(dqlite: bytes + Array(repeating: 0, count: 8), revision: 1).parameters.isEmpty)
    }

    @Test(arguments: [0, 6, 7, 8, 12, 255] as [UInt8])
    func unknownTypesAreRefused(_ type: UInt8) throws {
        var bytes = try ExecSQLRequest(sql: "x", parameters: [.integer(1)]).dqliteBytes()
        bytes[17] = type
        #expect(throws: WireError.self) { try ExecSQLRequest.decode(dqlite: bytes) }
    }

    @Test func countsBeyondTheBodyAreRefused() throws {
        var bytes = try ExecSQLRequest(sql: "x", parameters: [.integer(1)]).dqliteBytes(revision: 1)
        for count: [UInt8] in [[3, 0, 0, 0], [0xff, 0xff, 0xff, 0xff], [0, 0, 0, 0x80]] {
            bytes.replaceSubrange(16..<20, with: count)
            #expect(throws: WireError(.impossibleLength, offset: 20, message: "ExecSQLRequest")) {
                try ExecSQLRequest.decode(dqlite: bytes, revision: 1)
            }
        }
    }

    @Test func nulInATextParameterIsRefused() throws {
        let request = ExecSQLRequest(sql: "x", parameters: [.text("a\0b")])
        #expect(throws: WireEncodingError(.textContainsNUL, field: "ExecSQLRequest.parameters")) {
            try request.dqliteBytes()
        }
        #expect(try ExecSQLRequest.decode(protobuf: request.protobufBytes()) == request)
    }
}

private func == (view: ValueView?, nothing: _OptionalNilComparisonType) -> Bool {
    if case .none = view { true } else { false }
}
