import Testing

@testable import ProtocolGenerator

/// Names follow Swift's guidelines.
@Suite struct NamingTests {
    @Test(arguments: [
        ("name", "name"), ("database_id", "databaseID"), ("id", "id"), ("last_insert_rowid", "lastInsertRowID"),
        ("exec_sql", "execSQL"), ("sql", "sql"), ("vfs", "vfs"), ("wal_size", "walSize"), ("main_wal", "mainWAL"),
        ("timeout_ms", "timeoutMilliseconds"), ("iso8601", "iso8601"), ("default", "`default`"), ("in", "`in`"),
    ])
    func properties(_ name: String, _ expected: String) { #expect(Naming.property(name) == expected) }

    @Test(arguments: [
        ("SERVER_ROLE_VOTER", "ServerRole", "voter"),
        ("READ_CONSISTENCY_DEFAULT", "ReadConsistency", "`default`"),
        ("RECORD_TYPE_CHECKPOINT_INTENT", "RecordType", "checkpointIntent"),
    ])
    func cases(_ name: String, _ enumeration: String, _ expected: String) {
        #expect(Naming.enumerationCase(name, of: enumeration) == expected)
    }

    @Test(arguments: [("Exec", "exec"), ("ExecSQL", "execSQL"), ("SQLText", "sqlText"), ("Default", "`default`")])
    func members(_ type: String, _ expected: String) { #expect(Naming.member(type) == expected) }

    @Test(arguments: [
        ("ExecSQLRequest", ["Exec", "SQL", "Request"]), ("SQLText", ["SQL", "Text"]), ("A", ["A"]), ("AB", ["AB"]),
    ])
    func words(_ type: String, _ expected: [String]) { #expect(Naming.words(ofType: type) == expected) }

    @Test(
        arguments: [
            (0, "0"), (65535, "65535"), (65536, "0x0001_0000"), (0x676f_6c74_696c_7164, "0x676f_6c74_696c_7164"),
        ] as [(UInt64, String)])
    func literals(_ number: UInt64, _ expected: String) { #expect(number.swiftLiteral == expected) }

    @Test func commentsAreFilledToTheLineAndKeepTheirParagraphs() {
        var writer = SourceWriter()
        writer.block("struct A") { writer in
            writer.documentation(
                "\(String(repeating: "word ", count: 30))\nend.\n\nSecond:\n- one\n- two")
        }
        let lines = writer.text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.allSatisfy { $0.count <= 120 })
        #expect(lines[1].count > 110)
        #expect(lines.suffix(6) == ["    ///", "    /// Second:", "    /// - one", "    /// - two", "}", ""])
    }
}
