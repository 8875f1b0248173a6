import Foundation
import Testing

@testable import ProtocolGenerator

/// One edit of the released schema, and the complaint that it has to bring.
struct SchemaEdit: CustomTestStringConvertible, Sendable {
    var what: String
    var file = "client.proto"
    /// What is replaced by what, in the file.
    var edits: [(old: String, new: String)]
    /// Where the complaint points: the token in the only line that contains the line. nil: into the lock.
    var at: (line: String, token: String)?
    var complaint: String

    var testDescription: String { self.what }
}

@Suite struct CompatibilityTests {
    /// What the check finds when the released schema was edited so.
    static func findings(after edit: SchemaEdit) throws -> (SchemaCopy, [Compatibility.Finding]) {
        let copy = try SchemaCopy()
        let lock = try LockReader.schema(from: Lock.text(of: try copy.schema()), name: "schema/schema.lock")
        for (old, new) in edit.edits { try copy.replace(old, with: new, in: edit.file) }
        return (copy, Compatibility.findings(lock: lock, schema: try copy.schema()))
    }

    static func check(_ edit: SchemaEdit, _ severity: Compatibility.Finding.Severity) throws {
        let (copy, findings) = try Self.findings(after: edit)
        let found = try #require(findings.first { $0.message == edit.complaint }, "\(findings.map(\.message))")
        #expect(found.severity == severity)
        if let (line, token) = edit.at {
            #expect(found.position == (try copy.position(of: token, in: line, of: edit.file)))
        } else {
            #expect(found.position.file == "schema/schema.lock")
        }
        if severity != .breaksWire {
            #expect(!findings.contains { $0.severity == .breaksWire }, "\(findings.map(\.message))")
        }
    }

    @Test(arguments: fieldsThatBreak) func aFieldThatBreaksTheWire(edit: SchemaEdit) throws {
        try Self.check(edit, .breaksWire)
    }
    @Test(arguments: layoutsThatBreak) func aLayoutThatBreaksTheWire(edit: SchemaEdit) throws {
        try Self.check(edit, .breaksWire)
    }
    @Test(arguments: messagesThatBreak) func aMessageThatBreaksTheWire(edit: SchemaEdit) throws {
        try Self.check(edit, .breaksWire)
    }
    @Test(arguments: enumerationsThatBreak) func anEnumerationThatBreaksTheWire(edit: SchemaEdit) throws {
        try Self.check(edit, .breaksWire)
    }
    @Test(arguments: renames) func aRenameBreaksSourceOnly(edit: SchemaEdit) throws {
        try Self.check(edit, .breaksSource)
    }
    /// A trailing field where released peers send something else, or where its readers cannot see the end.
    @Test(arguments: [
        ("storage.proto", "  uint64 synced = 6 [(schema.native) = { form: WORD }];", 7),
        ("command.proto", "  uint64 wal_size = 3 [(schema.native) = { form: WORD }];", 4),
        ("raft.proto", "  repeated LogEntry entries = 5 [(schema.native) = { form: COUNTED }];", 6),
        ("raft.proto", "  repeated RaftServer servers = 2 [(schema.native) = { form: COUNTED }];", 3),
    ])
    func aTrailingFieldThatIsNotAtAnEndIsRefused(file: String, last: String, number: Int) throws {
        let copy = try SchemaCopy()
        let field = "  uint64 extra = \(number) [(schema.native) = { form: WORD, trailing: true }];"
        try copy.replace(last, with: "\(last)\n  // New.\n\(field)", in: file)
        let errors = #expect(throws: SchemaErrors.self) { try copy.schema() }
        #expect(errors?.errors.contains { $0.message.contains("cannot be trailing") } == true)
    }
    @Test(arguments: additions) func anAdditionIsFine(edit: SchemaEdit) throws { try Self.check(edit, .addition) }
    @Test(arguments: retirements) func whatIsRetiredProperlyIsFine(edit: SchemaEdit) throws {
        let (_, findings) = try Self.findings(after: edit)
        #expect(!findings.contains { $0.severity == .breaksWire }, "\(findings.map(\.message))")
        // It is fine, but not silent: whoever needs what is gone gets it no longer.
        #expect(findings.contains { $0.severity == .removal && $0.message == edit.complaint } || edit.complaint.isEmpty)
        if edit.complaint.isEmpty { #expect(findings.isEmpty, "\(findings.map(\.message))") }
    }

    // MARK: What one edit cannot show

    /// The findings after the lock was edited instead of the schema.
    private func findings(afterReplacing old: String, with new: String) throws -> [Compatibility.Finding] {
        let schema = try SchemaCopy().schema()
        let parts = Lock.text(of: schema).components(separatedBy: old)
        try #require(parts.count == 2)
        let lock = try LockReader.schema(from: parts.joined(separator: new), name: "schema/schema.lock")
        return Compatibility.findings(lock: lock, schema: schema)
    }

    @Test func aReservedNameGivenFreeBreaksTheWire() throws {
        let line = "    reserved 15\n"
        let findings = try self.findings(afterReplacing: line, with: line + "    reserved \"uuid\"\n")
        #expect(findings.map(\.severity) == [.breaksWire])
        #expect(findings.first?.message == "Value had `reserved \"uuid\"` in the lock, has it no longer")
    }

    @Test func bytesThatBecomeTextBreakSource() throws {
        let findings = try self.findings(
            afterReplacing: "3 bytes text in kind: TEXT, text\n", with: "3 bytes text in kind: TEXT\n")
        #expect(findings.map(\.severity) == [.breaksSource])
        #expect(
            findings.first?.message == "field 3 of Value, `text`, is another type in Swift: this breaks source only")
    }

    private static let weightField = "    WeightRequest weight = 39;\n"
    private static let weightRequest = """
        // Sets the weight of this node.
        message WeightRequest {
          option (schema.native_message) = { request: 19, answers: "EmptyResponse" };

          // The weight: of two candidates for a role the one with the lower weight is taken.
          uint64 weight = 1 [(schema.native) = { form: WORD }];
        }
        """

    /// The findings after the request Weight was removed, and the envelope edited so.
    private func findingsWithoutWeight(oneof: String, above: String) throws -> [Compatibility.Finding] {
        let copy = try SchemaCopy()
        let lock = try LockReader.schema(from: Lock.text(of: try copy.schema()), name: "schema/schema.lock")
        try copy.replace(Self.weightRequest, with: "", in: "client.proto")
        try copy.replace(Self.weightField, with: oneof, in: "envelope.proto")
        let body = "  // What is asked. The"
        try copy.replace(body, with: above + body, in: "envelope.proto")
        return Compatibility.findings(lock: lock, schema: try copy.schema())
    }

    @Test func aRequestRemovedWithoutReservedBreaksTheWire() throws {
        let findings = try self.findingsWithoutWeight(oneof: "", above: "").filter { $0.severity == .breaksWire }
        #expect(
            findings.map(\.message).sorted() == [
                "WeightRequest (request 19) is in the lock, but no longer in the schema: retire it with "
                    + "`reserved 39` in Request",
                "field 39 of Request was `WeightRequest weight` (protobuf only) in the lock, is gone without `reserved 39`",
            ])
    }

    @Test func aRequestThatIsReservedInItsEnvelopeIsRetired() throws {
        let findings = try self.findingsWithoutWeight(oneof: "", above: "  reserved 39;\n")
        #expect(findings.allSatisfy { $0.severity == .removal })
        #expect(
            findings.map(\.message).sorted() == [
                "WeightRequest (request 19) is in the lock, is gone from the schema, reserved: no released peer may need it",
                "field 39 of Request was `WeightRequest weight` (protobuf only) in the lock, is gone, reserved: "
                    + "no released peer may need it",
            ])
    }

    @Test func aRequestOfAnotherNumberBreaksTheWire() throws {
        let copy = try SchemaCopy()
        let lock = try LockReader.schema(from: Lock.text(of: try copy.schema()), name: "schema/schema.lock")
        try copy.replace("{ request: 19, ", with: "{ request: 21, ", in: "client.proto")
        try copy.replace(Self.weightField, with: "    WeightRequest weight = 41;\n", in: "envelope.proto")
        let findings = Compatibility.findings(lock: lock, schema: try copy.schema())
        let position = try copy.position(of: "option", in: "{ request: 21, ", of: "client.proto")
        #expect(
            findings.contains {
                $0.severity == .breaksWire && $0.position == position
                    && $0.message == "WeightRequest was request 19 in the lock, is request 21"
            })
        #expect(findings.contains { $0.message == "`weight` of Request was field 39 in the lock, is field 41" })
    }
}
