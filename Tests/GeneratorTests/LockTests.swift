import Testing

@testable import ProtocolGenerator

@Suite struct LockTests {
    @Test func whatIsRecordedReadsAsWhatItWas() throws {
        let schema = try SchemaCopy().schema()
        let text = Lock.text(of: schema)
        let lock = try LockReader.schema(from: text, name: "schema.lock")
        #expect(Lock.text(of: lock) == text)
        #expect(Compatibility.findings(lock: lock, schema: schema) == [])
        #expect(lock.messages.count == schema.messages.count)
        #expect(lock.enumerations.count == schema.enumerations.count)
    }

    @Test func everythingNativeIsInALine() throws {
        let lines = Lock.text(of: try SchemaCopy().schema()).split(separator: "\n")
        for line in [
            "message StatementResponse: response 5, revision 1",
            "message ServersResponse: response 3, revision 1, revision by request",
            "message LegacyServerResponse: response 1, legacy",
            "message AppendEntries: raft 1, slack 8",
            "message FramesCommand: command 2",
            "message RaftConfiguration: plain, padded",
            "message Request",
            "    4 uint64 tail_offset: WORD, since 1",
            "    2 ServerRole role: WORD, trailing",
            "    6 uint32 page_size: SHORT, padding 2",
            "    7 repeated uint64 page_numbers: ARRAY, count page_count",
            "    1 fixed64 magic: WORD, constant 7453295155562180964",
            "    3 bytes text in kind: TEXT, text",
            "    10 CancelRequest cancel in body",
            "    reserved 6 to 8",
        ] {
            #expect(lines.contains(line[...]), "\(line)")
        }
    }

    @Test func movingATypeChangesNothing() throws {
        let copy = try SchemaCopy()
        let before = Lock.text(of: try copy.schema())
        let empty = "// Ends the session that the envelope names.\nmessage CloseSessionRequest {}\n\n"
        try copy.replace(empty, with: "", in: "envelope.proto")
        try copy.replace("// One request.\n", with: empty + "// One request.\n", in: "envelope.proto")
        #expect(Lock.text(of: try copy.schema()) == before)
    }

    @Test(arguments: [
        "message", "    1 uint64", "    x uint64 name", "table Name", "message A: unknown", "    reserved 3 to 1",
    ])
    func aDamagedLockIsRefusedWithItsLine(line: String) throws {
        let error = #expect(throws: SchemaErrors.self) {
            try LockReader.schema(from: "message Whole\n    1 uint64 name\n\(line)\n", name: "schema.lock")
        }
        #expect(error?.errors.first?.position.line == 3)
    }
}
