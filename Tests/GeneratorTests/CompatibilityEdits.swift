// The edits of CompatibilityTests, each the least that brings its complaint.

extension CompatibilityTests {
    private static let vfs = "  string vfs = 3 [(schema.native) = { form: TEXT }];"
    private static let outcome = "  WriteOutcome outcome = 3;"
    private static let sequence = "  uint64 exactly_once_sequence = 9;"

    static let fieldsThatBreak = [
        SchemaEdit(
            what: "a changed type", edits: [(Self.vfs, "  bytes vfs = 3 [(schema.native) = { form: BLOB }];")],
            at: ("bytes vfs = 3", "bytes"),
            complaint:
                "field 3 of OpenRequest was `string vfs` (TEXT) in the lock, is `bytes vfs` (BLOB): the type changed"),
        SchemaEdit(
            what: "a changed enumeration", edits: [(Self.outcome, "  ServerRole outcome = 3;")],
            at: ("ServerRole outcome = 3", "ServerRole"),
            complaint: "field 3 of FailureResponse was `WriteOutcome outcome` (protobuf only) in the lock, "
                + "is `ServerRole outcome` (protobuf only): the type changed"),
        SchemaEdit(
            what: "a changed label", file: "envelope.proto",
            edits: [("  uint64 bytes_needed = 1;", "  repeated uint64 bytes_needed = 1;")],
            at: ("repeated uint64 bytes_needed", "uint64"),
            complaint: "field 1 of BlockedResponse was `uint64 bytes_needed` (protobuf only) in the lock, "
                + "is `repeated uint64 bytes_needed` (protobuf only): the label changed"),
        SchemaEdit(
            what: "a number used again for a field of another type",
            edits: [(Self.outcome, "  string hint = 3;")], at: ("string hint = 3", "3"),
            complaint: "field 3 of FailureResponse was `WriteOutcome outcome` (protobuf only) in the lock, "
                + "is `string hint` (protobuf only): a number is used again"),
        SchemaEdit(
            what: "a number used again although the old field lives on", file: "envelope.proto",
            edits: [(Self.sequence, "  uint64 exactly_once_sequence = 18;\n  // New.\n  uint64 priority = 9;")],
            at: ("uint64 priority = 9", "9"),
            complaint: "field 9 of Request was `uint64 exactly_once_sequence` (protobuf only) in the lock, "
                + "is `uint64 priority` (protobuf only): a number is used again"),
        SchemaEdit(
            what: "a changed number", file: "envelope.proto",
            edits: [(Self.sequence, "  uint64 exactly_once_sequence = 18;")],
            at: ("exactly_once_sequence = 18", "18"),
            complaint: "`exactly_once_sequence` of Request was field 9 in the lock, is field 18"),
        SchemaEdit(
            what: "two fields that exchange their numbers",
            edits: [
                ("uint64 failure_domain = 1 [", "uint64 failure_domain = 2 ["),
                ("uint64 weight = 2 [", "uint64 weight = 1 ["),
            ],
            at: ("uint64 failure_domain = 2", "2"),
            complaint: "`failure_domain` of MetadataResponse was field 1 in the lock, is field 2"),
        SchemaEdit(
            what: "a field removed without reserved", file: "envelope.proto",
            edits: [
                ("  // Reserved for exactly-once writes: the number of the write in that session, from 1.\n", ""),
                (Self.sequence, ""),
            ],
            at: ("message Request {", "Request"),
            complaint: "field 9 of Request was `uint64 exactly_once_sequence` (protobuf only) in the lock, "
                + "is gone without `reserved 9`"),
        SchemaEdit(
            what: "a native field removed, even with reserved",
            edits: [("  // Ignored. go-dqlite sends \"volatile\".\n", ""), (Self.vfs, "  reserved 3;")],
            at: ("message OpenRequest {", "OpenRequest"),
            complaint:
                "field 3 of OpenRequest was `string vfs` (TEXT) in the lock, is gone: it has a place in the dqlite "
                + "encoding; keep it there, and say that it is unused"),
        SchemaEdit(
            what: "a field moved out of its oneof", file: "envelope.proto",
            edits: [
                ("    // Reserved for running several statements at once. Nodes answer Failure until they can.\n", ""),
                ("    BatchRequest batch = 13;\n", ""),
                ("  // What is asked. The", "  // Reserved.\n  BatchRequest batch = 13;\n  // What is asked. The"),
            ],
            at: ("  BatchRequest batch = 13;", "batch"),
            complaint: "field 13 of Request, `batch`, was in oneof `body` in the lock, is in none"),
        SchemaEdit(
            what: "reserved numbers given free", file: "value.proto",
            edits: [("reserved 6 to 8, 14, 15;", "reserved 6, 7, 14, 15;")], at: ("message Value {", "Value"),
            complaint: "Value had `reserved 6 to 8` in the lock, has it no longer"),
        SchemaEdit(
            what: "a reserved number used", file: "value.proto",
            edits: [
                ("reserved 6 to 8, 14, 15;", "reserved 6, 7, 14, 15;"),
                (
                    "    // SQLite NULL.",
                    "    // New.\n    bytes zone = 8 [(schema.native) = { form: BLOB }];\n    // SQLite NULL."
                ),
            ],
            at: ("bytes zone = 8", "8"), complaint: "number 8 of Value was reserved in the lock, is used"),
    ]

    static let layoutsThatBreak = [
        SchemaEdit(
            what: "a changed form",
            edits: [
                (
                    "uint32 database_id = 1 [(schema.native) = { form: HALF, padding: 4 }];",
                    "uint32 database_id = 1 [(schema.native) = { form: WORD }];"
                )
            ],
            at: ("uint32 database_id = 1 [(schema.native) = { form: WORD }];", "(schema.native)"),
            complaint: "field 1 of DatabaseResponse was `uint32 database_id` (HALF, padding 4) in the lock, "
                + "is `uint32 database_id` (WORD): the native layout changed"),
        SchemaEdit(
            what: "changed padding", file: "raft.proto",
            edits: [("{ form: BYTE, padding: 3 }", "{ form: BYTE, padding: 7 }")],
            at: ("EntryType type = 2", "(schema.native)"),
            complaint: "field 2 of LogEntry was `EntryType type` (BYTE, padding 3) in the lock, "
                + "is `EntryType type` (BYTE, padding 7): the native layout changed"),
        SchemaEdit(
            what: "trailing taken away", file: "raft.proto",
            edits: [
                (
                    "uint64 features = 4 [(schema.native) = { form: WORD, trailing: true }];",
                    "uint64 features = 4 [(schema.native) = { form: WORD }];"
                )
            ],
            at: ("uint64 features = 4", "(schema.native)"),
            complaint: "field 4 of AppendEntriesResult was `uint64 features` (WORD, trailing) in the lock, "
                + "is `uint64 features` (WORD): the native layout changed"),
        SchemaEdit(
            what: "a changed constant", file: "command.proto",
            edits: [("{ form: WORD, constant: 1 }", "{ form: WORD, constant: 2 }")],
            at: ("uint64 format = 1", "(schema.native)"),
            complaint: "field 1 of SnapshotHeader was `uint64 format` (WORD, constant 1) in the lock, "
                + "is `uint64 format` (WORD, constant 2): the native layout changed"),
        SchemaEdit(
            what: "a changed since",
            edits: [("{ form: WORD, since: 1 }];\n}\n\n// Answers Exec", "{ form: WORD }];\n}\n\n// Answers Exec")],
            at: ("uint64 tail_offset = 4", "(schema.native)"),
            complaint: "field 4 of StatementResponse was `uint64 tail_offset` (WORD, since 1) in the lock, "
                + "is `uint64 tail_offset` (WORD): the native layout changed"),
        SchemaEdit(
            what: "a native form taken away",
            edits: [("  uint64 weight = 2 [(schema.native) = { form: WORD }];", "  uint64 weight = 2;")],
            at: ("uint64 weight = 2;", "weight"),
            complaint: "field 2 of MetadataResponse was `uint64 weight` (WORD) in the lock, "
                + "is `uint64 weight` (protobuf only): the native layout changed"),
        SchemaEdit(
            what: "native fields in another order",
            edits: [
                ("  // Ignored.\n  uint64 flags = 2 [(schema.native) = { form: WORD }];\n", ""),
                (Self.vfs, Self.vfs + "\n  // Ignored.\n  uint64 flags = 2 [(schema.native) = { form: WORD }];"),
            ],
            at: ("string vfs = 3", "(schema.native)"),
            complaint: "`vfs` of OpenRequest lay after `flags` in the lock, lies after `name`: "
                + "fields of the dqlite encoding keep their order"),
        SchemaEdit(
            what: "a new native field in a released revision",
            edits: [(Self.vfs, Self.vfs + "\n  // New.\n  uint64 priority = 4 [(schema.native) = { form: WORD }];")],
            at: ("uint64 priority = 4", "(schema.native)"),
            complaint: "`priority` is new in the dqlite encoding of OpenRequest; revision 0 is released without it: "
                + "give it `since: 1`, or make it trailing"),
        SchemaEdit(
            what: "a new field since a released revision",
            edits: [
                (
                    "uint64 tail_offset = 4 [(schema.native) = { form: WORD, since: 1 }];",
                    "uint64 tail_offset = 4 [(schema.native) = { form: WORD, since: 1 }];\n"
                        + "  // New.\n  uint64 priority = 5 [(schema.native) = { form: WORD, since: 1 }];"
                )
            ],
            at: ("uint64 priority = 5", "(schema.native)"),
            complaint:
                "`priority` is new in the dqlite encoding of StatementResponse; revision 1 is released without it: "
                + "give it `since: 2`, or make it trailing"),
        SchemaEdit(
            what: "a new field in a structure that lies in a released message",
            edits: [
                (
                    "  string address = 2 [(schema.native) = { form: TEXT }];\n  // What it does.\n",
                    "  string address = 2 [(schema.native) = { form: TEXT }];\n"
                        + "  // New.\n  uint64 weight = 4 [(schema.native) = { form: WORD, since: 1 }];\n  // What it does.\n"
                )
            ],
            at: ("uint64 weight = 4", "(schema.native)"),
            complaint: "`weight` is new in the dqlite encoding of Server; revision 1 is released without it: "
                + "give it `since: 2`, or make it trailing"),
        SchemaEdit(
            what: "a new field in a message between nodes", file: "raft.proto",
            edits: [
                (
                    "  uint64 last_index = 2 [(schema.native) = { form: WORD }];\n  // Term of that entry.\n  uint64 last_term = 3 [(schema.native) = { form: WORD }];\n}\n\n// Between nodes of ours",
                    "  uint64 last_index = 2 [(schema.native) = { form: WORD }];\n  // Term of that entry.\n  uint64 last_term = 3 [(schema.native) = { form: WORD }];\n  // New.\n  uint64 reason = 4 [(schema.native) = { form: WORD }];\n}\n\n// Between nodes of ours"
                )
            ],
            at: ("uint64 reason = 4", "(schema.native)"),
            complaint: "`reason` is new in the dqlite encoding of TimeoutNow; released peers do not have it: "
                + "make it trailing, at the end, or make a new message"),
        SchemaEdit(
            what: "a field that becomes native",
            edits: [(Self.outcome, "  WriteOutcome outcome = 3 [(schema.native) = { form: WORD }];")],
            at: ("WriteOutcome outcome = 3", "(schema.native)"),
            complaint: "`outcome` is new in the dqlite encoding of FailureResponse; revision 0 is released without it: "
                + "give it `since: 1`, or make it trailing"),
    ]

    static let messagesThatBreak = [
        SchemaEdit(
            what: "a lowered revision", edits: [("{ request: 4, revision: 1, answers", "{ request: 4, answers")],
            at: ("{ request: 4, answers", "option"),
            complaint: "the revision of PrepareRequest was 1 in the lock, is 0"),
        SchemaEdit(
            what: "another answer",
            edits: [("{ request: 14, answers: \"EmptyResponse\" }", "{ request: 14, answers: \"ResultResponse\" }")],
            at: ("request: 14", "option"),
            complaint: "the answer of RemoveRequest was EmptyResponse in the lock, is ResultResponse"),
        SchemaEdit(
            what: "revision_by_request taken away", edits: [(", revision_by_request: true", "")],
            at: ("{ response: 3, revision: 1 }", "option"),
            complaint: "revision_by_request of ServersResponse was true in the lock, is false"),
        SchemaEdit(
            what: "other slack", file: "raft.proto", edits: [("slack: 8", "slack: 16")],
            at: ("slack: 16", "option"), complaint: "slack of AppendEntries was 8 in the lock, is 16"),
        SchemaEdit(
            what: "padding at the end taken away", file: "raft.proto", edits: [("{ padded: true }", "{}")],
            at: ("native_message) = {}", "option"),
            complaint: "padded of RaftConfiguration was true in the lock, is false"),
        SchemaEdit(
            what: "another number", file: "command.proto", edits: [("{ command: 4 }", "{ command: 5 }")],
            at: ("{ command: 5 }", "option"),
            complaint: "CheckpointCommand was command 4 in the lock, is command 5"),
        SchemaEdit(
            what: "a number given to another message", file: "raft.proto",
            edits: [
                ("{ raft: 6 }", "{ raft: 7 }"),
                (
                    "// One server in a configuration.",
                    "// New.\nmessage Ping {\n  option (schema.native_message) = { raft: 6 };\n\n  // Any.\n"
                        + "  uint64 token = 1 [(schema.native) = { form: WORD }];\n}\n\n// One server in a configuration."
                ),
            ],
            at: ("{ raft: 6 }", "option"),
            complaint: "raft message 6 was TimeoutNow in the lock, is Ping: a number is used again"),
        SchemaEdit(
            what: "a frame taken away", file: "command.proto",
            edits: [("  option (schema.native_message) = { command: 3 };\n\n", "")],
            at: ("message UndoCommand {", "UndoCommand"),
            complaint: "UndoCommand was command 3 in the lock, is a plain structure"),
        SchemaEdit(
            what: "a command removed", file: "command.proto",
            edits: [(undoCommand, "")], at: nil,
            complaint: "UndoCommand (command 3) is in the lock, but no longer in the schema: released peers send it"),
        SchemaEdit(
            what: "a file's structure removed", file: "storage.proto", edits: [(entriesRecord, "")], at: nil,
            complaint: "EntriesRecord is in the lock, but no longer in the schema"),
        SchemaEdit(
            what: "the dqlite encoding taken away", file: "storage.proto",
            edits: [
                (
                    "  option (schema.native_message) = {};\n\n  // Index of the first entry.",
                    "  // Index of the first entry."
                ),
                (
                    "  uint64 first_index = 1 [(schema.native) = { form: WORD }];\n  // How many",
                    "  uint64 first_index = 1;\n  // How many"
                ),
                ("uint64 entry_count = 2 [(schema.native) = { form: WORD }];", "uint64 entry_count = 2;"),
            ],
            at: ("message EntriesRecord {", "EntriesRecord"),
            complaint: "EntriesRecord had a place in the dqlite encoding in the lock (a plain structure), has none"),
    ]

    static let enumerationsThatBreak = [
        SchemaEdit(
            what: "a changed number", edits: [("SERVER_ROLE_SPARE = 2", "SERVER_ROLE_SPARE = 3")],
            at: ("SERVER_ROLE_SPARE = 3", "SERVER_ROLE_SPARE"),
            complaint: "SERVER_ROLE_SPARE of ServerRole was 2 in the lock, is 3"),
        SchemaEdit(
            what: "values that exchange their numbers",
            edits: [
                ("SERVER_ROLE_SPARE = 2", "SERVER_ROLE_SPARE = 1"),
                ("SERVER_ROLE_STANDBY = 1", "SERVER_ROLE_STANDBY = 2"),
            ],
            at: ("SERVER_ROLE_SPARE = 1", "SERVER_ROLE_SPARE"),
            complaint:
                "value 1 of ServerRole was SERVER_ROLE_STANDBY in the lock, is SERVER_ROLE_SPARE: a number is used again"
        ),
        SchemaEdit(
            what: "a value removed",
            edits: [("  // Receives nothing until it is promoted.\n  SERVER_ROLE_SPARE = 2;\n", "")],
            at: ("enum ServerRole {", "ServerRole"),
            complaint: "value 2 of ServerRole was SERVER_ROLE_SPARE in the lock, is gone without `reserved 2`"),
        SchemaEdit(
            what: "an enumeration removed",
            edits: [
                (Self.outcome, "  uint32 outcome = 3;"), (writeOutcome, ""),
            ], at: nil, complaint: "WriteOutcome is in the lock, but no longer in the schema"),
    ]

    static let renames = [
        SchemaEdit(
            what: "a field", edits: [("string vfs = 3", "string file_system = 3")],
            at: ("string file_system = 3", "file_system"),
            complaint: "field 3 of OpenRequest was `string vfs` (TEXT) in the lock, is called `file_system`: "
                + "this breaks source only"),
        SchemaEdit(
            what: "a field that counts another", file: "command.proto",
            edits: [
                ("uint32 page_count = 5", "uint32 number_of_pages = 5"),
                ("count: \"page_count\"", "count: \"number_of_pages\""),
            ],
            at: ("uint32 number_of_pages = 5", "number_of_pages"),
            complaint:
                "field 5 of FramesCommand was `uint32 page_count` (HALF) in the lock, is called `number_of_pages`: "
                + "this breaks source only"),
        SchemaEdit(
            what: "a message, by its number", file: "command.proto",
            edits: [("message UndoCommand", "message RevertCommand")],
            at: ("message RevertCommand", "RevertCommand"),
            complaint: "UndoCommand, as the lock has it, is called RevertCommand: this breaks source only"),
        SchemaEdit(
            what: "a message, by its use",
            edits: [
                ("message File {", "message DatabaseFile {"), ("repeated File files", "repeated DatabaseFile files"),
            ],
            at: ("message DatabaseFile {", "DatabaseFile"),
            complaint: "File, as the lock has it, is called DatabaseFile: this breaks source only"),
        SchemaEdit(
            what: "a message, by its shape", file: "storage.proto", edits: [("message TermAndVote", "message Ballot")],
            at: ("message Ballot", "Ballot"),
            complaint: "TermAndVote, as the lock has it, is called Ballot: this breaks source only"),
        SchemaEdit(
            what: "an enumeration", file: "storage.proto",
            edits: [
                ("enum RecordType", "enum RecordKind"), ("RecordType type", "RecordKind type"),
                ("RECORD_TYPE_NONE", "RECORD_KIND_NONE"), ("RECORD_TYPE_ENTRIES", "RECORD_KIND_ENTRIES"),
                ("RECORD_TYPE_CHECKPOINT", "RECORD_KIND_CHECKPOINT"), ("RECORD_TYPE_CUT", "RECORD_KIND_CUT"),
                ("RECORD_TYPE_MARK", "RECORD_KIND_MARK"), ("RECORD_TYPE_CONFIGURATION", "RECORD_KIND_CONFIGURATION"),
            ],
            at: ("enum RecordKind", "RecordKind"),
            complaint: "RecordType, as the lock has it, is called RecordKind: this breaks source only"),
        SchemaEdit(
            what: "a value", edits: [("SERVER_ROLE_SPARE = 2", "SERVER_ROLE_IDLE = 2")],
            at: ("SERVER_ROLE_IDLE = 2", "SERVER_ROLE_IDLE"),
            complaint: "value 2 of ServerRole was SERVER_ROLE_SPARE in the lock, is called SERVER_ROLE_IDLE: "
                + "this breaks source only"),
        SchemaEdit(
            what: "a oneof", file: "value.proto", edits: [("oneof kind {", "oneof content {")],
            at: ("oneof content {", "content"),
            complaint: "oneof `kind` of Value, as the lock has it, is called `content`: this breaks source only"),
    ]

    static let additions = [
        SchemaEdit(
            what: "a field of the protobuf encoding",
            edits: [(Self.outcome, Self.outcome + "\n  // New.\n  uint64 line = 5;")],
            at: ("uint64 line = 5", "line"), complaint: "field 5 of FailureResponse, `line`, is new"),
        SchemaEdit(
            what: "a native field since a new revision",
            edits: [
                ("{ response: 2 }", "{ response: 2, revision: 1 }"),
                (
                    "uint64 heartbeat_timeout = 1 [(schema.native) = { form: WORD }];",
                    "uint64 heartbeat_timeout = 1 [(schema.native) = { form: WORD }];\n"
                        + "  // New.\n  uint64 version = 2 [(schema.native) = { form: WORD, since: 1 }];"
                ),
            ],
            at: ("uint64 version = 2", "version"), complaint: "field 2 of WelcomeResponse, `version`, is new"),
        SchemaEdit(
            what: "a new revision", edits: [("{ response: 2 }", "{ response: 2, revision: 1 }")],
            at: ("{ response: 2, revision: 1 }", "option"),
            complaint: "revision 1 of WelcomeResponse is new"),
        SchemaEdit(
            what: "a trailing native field",
            edits: [
                (
                    Self.vfs,
                    Self.vfs + "\n  // New.\n  uint64 priority = 4 [(schema.native) = { form: WORD, trailing: true }];"
                )
            ],
            at: ("uint64 priority = 4", "priority"), complaint: "field 4 of OpenRequest, `priority`, is new"),
        SchemaEdit(
            what: "a message with a number", file: "command.proto",
            edits: [
                (
                    "// Begins a snapshot of all",
                    "// New.\nmessage VacuumCommand {\n  option (schema.native_message) = { command: 5 };\n\n"
                        + "  // Name.\n  string name = 1 [(schema.native) = { form: TEXT }];\n}\n\n// Begins a snapshot of all"
                )
            ],
            at: ("message VacuumCommand", "VacuumCommand"), complaint: "VacuumCommand, command 5, is new"),
        SchemaEdit(
            what: "a value of an enumeration",
            edits: [("  SERVER_ROLE_SPARE = 2;", "  SERVER_ROLE_SPARE = 2;\n  // New.\n  SERVER_ROLE_WITNESS = 3;")],
            at: ("SERVER_ROLE_WITNESS = 3", "SERVER_ROLE_WITNESS"),
            complaint: "SERVER_ROLE_WITNESS of ServerRole is new"),
        SchemaEdit(
            what: "a type code", file: "value.proto",
            edits: [
                (
                    "    // SQLite NULL.",
                    "    // New.\n    bytes zone = 12 [(schema.native) = { form: BLOB }];\n    // SQLite NULL."
                )
            ],
            at: ("bytes zone = 12", "zone"),
            complaint: "field 12 of Value, `zone`, is new; released peers cannot read it: "
                + "send it only to those that ask for it"),
    ]

    static let retirements = [
        SchemaEdit(
            what: "a field of the protobuf encoding, with reserved", file: "envelope.proto",
            edits: [
                ("  // Reserved for exactly-once writes: the number of the write in that session, from 1.\n", ""),
                (Self.sequence, "  reserved 9;\n  reserved \"exactly_once_sequence\";"),
            ],
            complaint: "field 9 of Request was `uint64 exactly_once_sequence` (protobuf only) in the lock, is gone, "
                + "reserved: no released peer may need it"),
        SchemaEdit(
            what: "a message of the protobuf encoding, with the field that held it", file: "envelope.proto",
            edits: [
                ("    // Reserved for running several statements at once. Nodes answer Failure until they can.\n", ""),
                ("    BatchRequest batch = 13;\n", ""),
                (
                    "message BatchRequest {\n  // Run in order.\n  repeated ExecSQLRequest statements = 1;\n"
                        + "  // Whether they are one transaction.\n  bool atomic = 2;\n}\n", ""
                ),
                ("  // What is asked. The", "  reserved 13;\n  // What is asked. The"),
            ],
            complaint: "field 13 of Request was `BatchRequest batch` (protobuf only) in the lock, is gone, reserved: "
                + "no released peer may need it"),
        SchemaEdit(
            what: "a value of an enumeration, with reserved",
            edits: [("  // Receives nothing until it is promoted.\n  SERVER_ROLE_SPARE = 2;\n", "  reserved 2;\n")],
            complaint: "value 2 of ServerRole was SERVER_ROLE_SPARE in the lock, is gone, reserved: "
                + "no released peer may need it"),
        SchemaEdit(
            what: "another comment", edits: [("// Opens a database on", "// Opens the database on")], complaint: ""),
    ]

    private static let writeOutcome = """
        // What became of a write that was answered with a failure.
        enum WriteOutcome {
          // The node does not say. A node that speaks the dqlite encoding only never says.
          WRITE_OUTCOME_UNSPECIFIED = 0;
          // Nothing was changed, and nothing will be.
          WRITE_OUTCOME_NOT_COMMITTED = 1;
          // The change is committed; only what came after it failed.
          WRITE_OUTCOME_COMMITTED = 2;
          // The change may be committed or may yet become so: leadership was lost while it was on its way.
          WRITE_OUTCOME_UNKNOWN = 3;
        }
        """
    private static let undoCommand = """
        // Drops pages of an unfinished transaction. Accepted from old leaders, does nothing.
        message UndoCommand {
          option (schema.native_message) = { command: 3 };

          // Number of the transaction.
          uint64 transaction_id = 1 [(schema.native) = { form: WORD }];
        }
        """
    private static let entriesRecord = """
        message EntriesRecord {
          option (schema.native_message) = {};

          // Index of the first entry.
          uint64 first_index = 1 [(schema.native) = { form: WORD }];
          // How many entries there are.
          uint64 entry_count = 2 [(schema.native) = { form: WORD }];
        }
        """
}
