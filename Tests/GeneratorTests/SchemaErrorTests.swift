import FoundationEssentials
import Testing

@testable import ProtocolGenerator

/// Every mistake is reported where it is, in words that say what to do.
@Suite struct SchemaErrorTests {
    /// The head of a message that has a comment.
    private static func message(_ fields: String, _ option: String = "") -> String {
        "// A message.\nmessage M {\(option)\n\(fields)\n}"
    }

    private static let numbered = "// A number.\nuint64 a = 1 "

    struct Mistake: Sendable, CustomTestStringConvertible {
        var name: String
        var schema: String
        var error: String
        var testDescription: String { self.name }

        init(_ name: String, _ schema: String, _ error: String) {
            self.name = name
            self.schema = schema
            self.error = error
        }
    }

    @Test(arguments: Self.names + Self.features + Self.forms + Self.places + Self.frames + Self.ends)
    func isReported(_ mistake: Mistake) throws {
        #expect(try SchemaFixture(mistake.schema).errors().contains("schema/dqlite/test.proto:\(mistake.error)"))
    }

    static let names = [
        Mistake(
            "no comment on a message", "message M {}",
            "6:9: error: M has no comment above it: comments are the documentation"),
        Mistake(
            "no comment on a field", "// A message.\nmessage M {\n  uint64 a = 1;\n}",
            "8:10: error: M.a has no comment above it: comments are the documentation"),
        Mistake(
            "no comment on a value of an enumeration", "// E.\nenum E {\n  E_A = 0;\n}",
            "8:3: error: E_A has no comment above it: comments are the documentation"),
        Mistake(
            "a prefix that is missing", "// E.\nenum RaftRole {\n  // A.\n  VOTER = 0;\n}",
            "9:3: error: VOTER has to begin with RAFT_ROLE_"),
        Mistake(
            "fields that are one in Swift", Self.message("// A.\nuint64 a_ms = 1;\n// B.\nuint64 a_milliseconds = 2;"),
            "11:8: error: a_milliseconds and a_ms would both be aMilliseconds in Swift"),
        Mistake("a taken type", "// A message.\nmessage Array {}", "7:9: error: the name Array is taken in Swift"),
        Mistake(
            "a taken member", Self.message("// A.\nuint64 hash = 1;"), "9:8: error: the name hash is taken in Swift"),
        Mistake(
            "a type that does not look like one", "// A message.\nmessage my_message {}",
            "7:9: error: my_message is not a name of a type: write it like ExecSQLRequest"),
        Mistake(
            "a field that looks like a type", Self.message("// A.\nuint64 Name = 1;"),
            "9:8: error: Name is not a name of a field: write it like database_id"),
    ]

    /// Where a field cannot be missing at the end.
    static let ends = [
        Mistake(
            "a trailing field of a plain structure",
            Self.message("\(Self.numbered)[(schema.native) = { form: WORD, trailing: true }];"),
            "9:15: error: a field of a plain structure cannot be trailing: what follows the structure would be read as a"
        ),
        Mistake(
            "a trailing field before slack",
            Self.message(
                "\(Self.numbered)[(schema.native) = { form: WORD, trailing: true }];",
                "option (schema.native_message) = { raft: 1, slack: 8 };"),
            "9:15: error: a field before slack cannot be trailing: what peers send there would be read as a"),
        Mistake(
            "a trailing field before padding",
            Self.message(
                "\(Self.numbered)[(schema.native) = { form: WORD, trailing: true }];",
                "option (schema.native_message) = { raft: 1, padded: true };"),
            "9:15: error: a field before padding cannot be trailing: a would be read from it"),
        Mistake(
            "a value that does not fit into the place of its enumeration",
            Self.message("// A.\nE a = 1 [(schema.native) = { form: BYTE }];")
                + "\n// E.\nenum E {\n// A.\nE_A = 0;\n// B.\nE_B = 256;\n}",
            "16:1: error: E_B is 256, which does not fit into M.a: it is a BYTE"),
    ]

    static let features = [
        Mistake(
            "optional", Self.message("// A.\noptional uint64 a = 1;"),
            "9:1: error: `optional` is not supported, since protobuf-c does not know it: give zero or empty a meaning, or use a oneof"
        ),
        Mistake(
            "a map", Self.message("// A.\nmap<string, string> a = 1;"),
            "9:1: error: maps are not supported: use a repeated message with key and value"),
        Mistake(
            "a float", Self.message("// A.\nfloat a = 1;"),
            "9:1: error: float is not supported: use double, [u]int32, [u]int64, sint64 or fixed64"),
        Mistake(
            "a nested message", Self.message("message Inner {}"),
            "8:9: error: Inner is nested: declare messages at the top of the file"),
        Mistake(
            "a nested enumeration", Self.message("enum Inner { INNER_A = 0; }"),
            "8:6: error: Inner is nested: declare enumerations at the top of the file"),
        Mistake("a service", "service S {}", "6:1: error: services are not supported"),
        Mistake(
            "a message that contains itself", Self.message("// A.\nM a = 1;"), "9:1: error: M contains itself through a"
        ),
        Mistake(
            "numbers that are not packed", Self.message("// A.\nrepeated uint64 a = 1 [packed = false];"),
            "9:24: error: repeated numbers are always packed: remove the option"),
    ]

    static let forms = [
        Mistake(
            "text of a number", Self.message("\(Self.numbered)[(schema.native) = { form: TEXT }];"),
            "9:15: error: TEXT is for string, and bytes that are text; a is uint64"),
        Mistake(
            "a word of text", Self.message("// A.\nstring a = 1 [(schema.native) = { form: WORD }];"),
            "9:15: error: WORD is for integers of 64 bits or without a sign, enumerations, bool and double; a is string"
        ),
        Mistake(
            "a list of one", Self.message("\(Self.numbered)[(schema.native) = { form: COUNTED }];"),
            "9:15: error: COUNTED is for repeated fields"),
        Mistake(
            "one of a list", Self.message("// A.\nrepeated uint64 a = 1 [(schema.native) = { form: WORD }];"),
            "9:24: error: WORD is for a single value; a is repeated"),
        Mistake(
            "an array without a count",
            Self.message("// A.\nrepeated uint64 a = 1 [(schema.native) = { form: ARRAY }];"),
            "9:24: error: a is an ARRAY: say in `count` which field holds the number of elements"),
        Mistake(
            "an array whose count is nowhere",
            Self.message("// A.\nrepeated uint64 a = 1 [(schema.native) = { form: ARRAY, count: \"n\" }];"),
            "9:24: error: the count of a, n, is not a native field of the message"),
        Mistake(
            "an array before its count",
            Self.message(
                """
                // A.
                repeated uint64 a = 1 [(schema.native) = { form: ARRAY, count: "n" }];
                // N.
                uint64 n = 2 [(schema.native) = { form: WORD }];
                """),
            "9:24: error: the count of a, n, has to lie before it"),
        Mistake(
            "an array whose count is text",
            Self.message(
                """
                // N.
                string n = 1 [(schema.native) = { form: TEXT }];
                // A.
                repeated uint64 a = 2 [(schema.native) = { form: ARRAY, count: "n" }];
                """),
            "11:24: error: the count of a, n, has to be a uint32 or uint64 and no constant"),
        Mistake(
            "a constant text", Self.message("// A.\nstring a = 1 [(schema.native) = { form: TEXT, constant: 1 }];"),
            "9:15: error: a constant is for uint32, uint64 and fixed64 in WORD, HALF, SHORT or BYTE"),
        Mistake(
            "a constant that is too large",
            Self.message("\(Self.numbered)[(schema.native) = { form: BYTE, constant: 256 }];"),
            "9:15: error: the constant 256 does not fit into 8 bits"),
        Mistake(
            "rows without columns",
            Self.message("// A.\nrepeated uint64 a = 1 [(schema.native) = { form: ROWS }];"),
            "9:24: error: ROWS follows the COUNTED names of the columns and is followed by ROWS_END"),
    ]

    static let places = [
        Mistake(
            "a field after one that may be left out",
            Self.message(
                """
                \(Self.numbered)[(schema.native) = { form: WORD, trailing: true }];
                // B.
                uint64 b = 2 [(schema.native) = { form: WORD }];
                """),
            "11:15: error: b follows a, which may be left out: it has to be trailing too"),
        Mistake(
            "a field after one that the native wire does not have",
            Self.message("\(Self.numbered);\n// B.\nuint64 b = 2 [(schema.native) = { form: WORD }];"),
            "11:8: error: b has a native form but follows a, which has none: native fields come first"),
        Mistake(
            "a revision that does not exist",
            "// A message.\nmessage MRequest {\n  option (schema.native_message) = { request: 0 };\n"
                + "  \(Self.numbered)[(schema.native) = { form: WORD, since: 1 }];\n}",
            "10:15: error: a is there since revision 1, but MRequest has revisions up to 0"),
        Mistake(
            "something after all that remains",
            Self.message(
                """
                // A.
                bytes a = 1 [(schema.native) = { form: REST }];
                // B.
                uint64 b = 2 [(schema.native) = { form: WORD }];
                """),
            "9:14: error: a takes all bytes that remain: nothing can follow it"),
        Mistake(
            "a native field in a oneof",
            Self.message(
                "// A.\nuint64 b = 2;\n// O.\noneof o {\n// A.\nM2 a = 1 [(schema.native) = { form: INLINE }];\n}")
                + "\n// B.\nmessage M2 {}",
            "13:11: error: the native wire has no oneofs, unless a message is nothing but one"),
        Mistake(
            "a payload without a header",
            "// A message.\nmessage M {\n  option (schema.native_message) = { command: 1 };\n  // A.\n"
                + "  bytes a = 1 [(schema.native) = { form: PAYLOAD_WORD }];\n}",
            "10:16: error: only raft messages, and what lies in them, have a payload"),
    ]

    static let frames = [
        Mistake(
            "a number that is taken",
            """
            // A.
            message ARequest {
              option (schema.native_message) = { request: 7 };
            }
            // B.
            message BRequest {
              option (schema.native_message) = { request: 7 };
            }
            """,
            "12:3: error: request 7 is taken by ARequest"),
        Mistake(
            "a number that is no byte",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 256 };\n}",
            "8:3: error: the number of a request is one byte; 256 is not"),
        Mistake(
            "two numbers",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 1, raft: 1 };\n}",
            "8:3: error: a message has at most one of request, response, raft and command"),
        Mistake(
            "an answer that does not exist",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 1, answers: \"B\" };\n}",
            "8:3: error: answers names B, which is not a message"),
        Mistake(
            "an answer that is no response",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 1, answers: \"ARequest\" };\n}",
            "8:3: error: answers names ARequest, which is not a response"),
        Mistake(
            "a request that is called otherwise",
            "// A.\nmessage Ask {\n  option (schema.native_message) = { request: 1 };\n}",
            "7:9: error: the name of a request ends with Request"),
        Mistake(
            "slack outside of raft", "// A.\nmessage A {\n  option (schema.native_message) = { slack: 8 };\n}",
            "8:3: error: only a raft message has slack"),
        Mistake(
            "a request that the envelope forgot",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 1 };\n}\n// R.\nmessage Request {}",
            "7:9: error: ARequest is missing in the envelope Request, as field 21 of its oneof"),
        Mistake(
            "a request at another number in the envelope",
            "// A.\nmessage ARequest {\n  option (schema.native_message) = { request: 1 };\n}\n"
                + "// R.\nmessage Request {\n  // Body.\n  oneof body {\n    ARequest a = 22;\n  }\n}",
            "14:18: error: a has to be field 21: the number of ARequest, 1, plus 20"),
    ]

    @Test func allAreReportedInTheOrderOfTheSource() throws {
        let fixture = SchemaFixture("message B {\n  uint64 b = 1;\n}\nmessage A {}")
        #expect(
            try fixture.errors() == [
                "schema/dqlite/test.proto:6:9: error: B has no comment above it: comments are the documentation",
                "schema/dqlite/test.proto:7:10: error: B.b has no comment above it: comments are the documentation",
                "schema/dqlite/test.proto:9:9: error: A has no comment above it: comments are the documentation",
            ])
    }

    @Test func aFileNeedsACommentAndProto3() throws {
        var fixture = SchemaFixture("// A.\nmessage A {}")
        fixture.head = "syntax = \"proto3\";"
        #expect(
            try fixture.errors() == [
                "schema/dqlite/test.proto:1:1: error: the file has no comment above `syntax`: say what it is about"
            ])
        fixture.head = "// A file.\nsyntax = \"proto2\";"
        #expect(
            try fixture.errors() == ["schema/dqlite/test.proto:2:1: error: the schema is proto3; this file is proto2"])
    }

    @Test func theSchemaHasNone() throws {
        let folder = SchemaFixture.repository.appending(path: "schema")
        let files = ["client", "command", "envelope", "raft", "storage", "value"].map { "dqlite/\($0).proto" }
        let schema = try Schema(descriptorSet: SchemaFixture.descriptorSet(of: files, in: folder), root: "schema")
        #expect(schema.message("OpenRequest")?.native?.frame == .request(3))
    }

    @Test func damageIsAnError() throws {
        let bytes = try SchemaFixture("// A.\nmessage A {}").descriptorSet()
        #expect(throws: (any Error).self) { try Schema(descriptorSet: Array(bytes.dropLast(3)), root: "schema") }
    }
}
