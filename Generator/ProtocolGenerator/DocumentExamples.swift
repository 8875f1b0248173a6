/// The conversations that the reference shows.
struct DocumentExample {
    enum Direction: String {
        case toNode = "Client"
        case fromNode = "Node"
    }

    /// What the parts are made of.
    enum Content {
        /// The first 8 bytes of a connection.
        case preface(UInt64, String)
        /// A request or response of the dqlite encoding.
        case dqlite(String, Sample, revision: Int = 0)
        /// An envelope of the protobuf encoding.
        case protobuf(String, Sample)
    }

    let direction: Direction
    let title: String
    let content: Content

    init(_ direction: Direction, _ title: String, _ content: Content) {
        self.direction = direction
        self.title = title
        self.content = content
    }

    func parts(_ schema: Schema) -> [AnnotatedBytes] {
        let encoder = DocumentEncoder(schema: schema)
        switch self.content {
        case .preface(let word, let note):
            let bytes = (0..<8).map { UInt8(truncatingIfNeeded: word >> UInt64(8 * $0)) }
            return [AnnotatedBytes(bytes: bytes, note: note)]
        case .dqlite(let name, let sample, let revision): return encoder.dqliteFrame(name, sample, revision: revision)
        case .protobuf(let name, let sample): return encoder.protobufFrame(name, sample)
        }
    }

    /// The first words of a connection.
    static let dqlitePreface: UInt64 = 1
    static let legacyPreface: UInt64 = 0x8610_4dd7_6043_3fe5
    static let protobufPreface: UInt64 = 0x3170_6574_696c_7164

    static let conversations: [String: [DocumentExample]] = [
        "prefaces": [
            .init(.toNode, "the dqlite encoding", .preface(Self.dqlitePreface, "1")),
            .init(.toNode, "the dqlite encoding, legacy", .preface(Self.legacyPreface, "0x86104dd760433fe5")),
            .init(.toNode, "the protobuf encoding", .preface(Self.protobufPreface, "the characters \"dqlitep1\"")),
        ],
        "dqlite": Self.dqlite,
        "protobuf": Self.protobuf,
        "flow": Self.flow,
        "tuple-0": [.init(.toNode, "revision 0", .dqlite("ExecRequest", Self.sevenParameters))],
        "tuple-1": [.init(.toNode, "revision 1", .dqlite("ExecRequest", Self.sevenParameters, revision: 1))],
        "rows": [
            .init(
                .fromNode, "two rows of three columns",
                .dqlite(
                    "RowsResponse",
                    [
                        "columns": ["id", "name", "photo"],
                        "values": [
                            .value(1), .value("Ann"), ["blob": .bytes([0xff, 0xd8, 0xff])],
                            .value(2), .null, .null,
                        ],
                    ]))
        ],
    ]

    private static let sevenParameters: Sample = [
        "database_id": 0, "statement_id": 3, "parameters": [.value(-1), ["real": 0.5], .value("eight ch"), .null],
    ]

    private static let dqlite: [DocumentExample] = [
        .init(.toNode, "chooses the encoding", .preface(Self.dqlitePreface, "1")),
        .init(.toNode, "opens a database", .dqlite("OpenRequest", ["name": "demo.db"])),
        .init(.fromNode, "it is number 0", .dqlite("DatabaseResponse", ["database_id": 0])),
        .init(
            .toNode, "inserts a row",
            .dqlite(
                "ExecSQLRequest",
                [
                    "database_id": 0, "sql": "INSERT INTO book VALUES (?, ?)",
                    "parameters": [.value(7), .value("Dune")],
                ])),
        .init(.fromNode, "done", .dqlite("ResultResponse", ["last_insert_rowid": 7, "rows_affected": 1])),
        .init(
            .toNode, "asks for rows",
            .dqlite("QuerySQLRequest", ["database_id": 0, "sql": "SELECT id, title FROM book"])),
        .init(
            .fromNode, "the whole result",
            .dqlite(
                "RowsResponse",
                ["columns": ["id", "title"], "values": [.value(7), .value("Dune")], "more": false])),
        .init(
            .toNode, "asks for what is not there",
            .dqlite("QuerySQLRequest", ["database_id": 0, "sql": "SELECT x FROM none"])),
        .init(.fromNode, "says so", .dqlite("FailureResponse", ["code": 1, "message": "no such table: none"])),
    ]

    private static let protobuf: [DocumentExample] = [
        .init(.toNode, "chooses the encoding", .preface(Self.protobufPreface, "the characters \"dqlitep1\"")),
        .init(
            .toNode, "opens a database in session 1",
            .protobuf("Request", ["request_id": 1, "session_id": 1, "open": ["name": "demo.db"]])),
        .init(
            .toNode, "inserts a row, without waiting for the answer",
            .protobuf(
                "Request",
                [
                    "request_id": 2, "session_id": 1, "timeout_ms": 5000,
                    "exec_sql": [
                        "sql": "INSERT INTO book VALUES (?, ?)", "parameters": [.value(7), .value("Dune")],
                    ],
                ])),
        .init(
            .fromNode, "the database is open",
            .protobuf("Response", ["request_id": 1, "database": ["database_id": 0]])),
        .init(
            .fromNode, "the row is there",
            .protobuf("Response", ["request_id": 2, "result": ["last_insert_rowid": 7, "rows_affected": 1]])),
        .init(
            .toNode, "asks for what is not there",
            .protobuf(
                "Request",
                ["request_id": 3, "session_id": 1, "window": 65536, "query_sql": ["sql": "SELECT x FROM none"]])),
        .init(
            .fromNode, "says so",
            .protobuf("Response", ["request_id": 3, "failure": ["code": 1, "message": "no such table: none"]])),
    ]

    private static let flow: [DocumentExample] = [
        .init(
            .toNode, "asks for rows, and takes 32 bytes of them for now",
            .protobuf(
                "Request",
                ["request_id": 4, "session_id": 1, "window": 32, "query_sql": ["sql": "SELECT title FROM book"]])),
        .init(
            .fromNode, "a part of 23 bytes, with its length",
            .protobuf(
                "Response",
                ["request_id": 4, "rows": ["columns": ["title"], "values": [.value("Dune")], "more": true]])),
        .init(
            .fromNode, "the next part has 36 bytes, more than the 9 that are left",
            .protobuf("Response", ["request_id": 4, "blocked": ["bytes_needed": 36]])),
        .init(
            .toNode, "takes 65,536 bytes more",
            .protobuf("Request", ["request_id": 5, "grant": ["request_id": 4, "bytes": 65536]])),
        .init(
            .fromNode, "the last part, without the names of the columns",
            .protobuf("Response", ["request_id": 4, "rows": ["values": [.value("A Wizard of Earthsea, 1968")]]])),
        .init(
            .toNode, "takes the request back, too late: nothing comes of it",
            .protobuf("Request", ["request_id": 6, "cancel": ["request_id": 4]])),
    ]
}
