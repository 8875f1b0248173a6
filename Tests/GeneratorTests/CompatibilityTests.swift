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
    @Test(arguments: additions) func anAdditionIsFine(edit: SchemaEdit) throws { try Self.check(edit, .addition) }
    @Test(arguments: retirements) func whatIsRetiredProperlyIsFine(edit: SchemaEdit) throws {
        let (_, findings) = try Self.findings(after: edit)
        #expect(!findings.contains { $0.severity == .breaksWire }, "\(findings.map(\.message))")
    }
}
