import DqliteProtocol
import DqliteWire
import Testing

/// Recorded frames between go-dqlite and dqlite: requests and responses.
@Suite struct ClientFrameTests {
    @Test func handshake() throws {
        #expect(try Fixtures.frame("9.01") == [1, 0, 0, 0, 0, 0, 0, 0])
    }

    @Test func leader() throws {
        try expectRequest("9.02", is: LeaderRequest())
        try expectResponse("9.03", is: ServerResponse(serverID: 1, address: "127.0.0.1:19010"))
        try expectResponse("9.04", is: ServerResponse(serverID: 0, address: ""))
    }

    @Test func cluster() throws {
        try expectRequest("9.05", is: ClusterRequest(format: 1))
        try expectResponse(
            "9.06",
            is: ServersResponse(servers: [
                Server(serverID: 1, address: "127.0.0.1:19010", role: .voter),
                Server(serverID: 2, address: "127.0.0.1:19020", role: .voter),
                Server(serverID: 3, address: "127.0.0.1:19030", role: .standby),
            ]), revision: 1)
    }

    @Test func describe() throws {
        try expectRequest("9.07", is: DescribeRequest(format: 0))
        try expectResponse("9.08", is: MetadataResponse(failureDomain: 101, weight: 7))
        try expectRequest("9.09", is: WeightRequest(weight: 7))
    }

    @Test func membership() throws {
        try expectRequest("9.10", is: AddRequest(serverID: 2, address: "127.0.0.1:19020"))
        try expectRequest("9.11", is: AssignRequest(serverID: 2, role: .voter))
        try expectResponse("9.12", is: EmptyResponse())
        try expectRequest("9.37", is: TransferRequest(serverID: 2))
        try expectRequest("9.38", is: RemoveRequest(serverID: 3))
        try expectRequest("9.43", is: ConnectRequest(serverID: 1, address: "127.0.0.1:19010"))
    }

    /// Assign without a role is the older Promote.
    @Test func promote() throws {
        let frame = try Fixtures.frame("9.11")
        #expect(try AssignRequest.decode(dqlite: Array(frame[8..<16])) == AssignRequest(serverID: 2, role: .voter))
    }

    @Test func failures() throws {
        try expectResponse("9.13", is: FailureResponse(code: FailureCode.notLeader, message: "not leader"))
        try expectResponse("9.32", is: FailureResponse(code: FailureCode.emptyStatement, message: "empty statement"))
        try expectResponse("9.33", is: FailureResponse(code: 2067, message: "UNIQUE constraint failed: k.v"))
        try expectResponse("9.34", is: FailureResponse(code: FailureCode.busy, message: "database is locked"))
    }

    @Test func failureAfterPartialRows() throws {
        let expected = FailureResponse(code: 1, message: "integer overflow")
        let body = try Fixtures.frame("9.42")[8...]
        #expect(try body.withUnsafeBytes { (bytes) throws in try FailureResponse(afterPartialRows: bytes) } == expected)
        // From the front it is something else.
        #expect(try FailureResponse.decode(dqlite: Array(body), all: false) == FailureResponse(code: 1, message: "q"))

        // Before the first row; with no columns; and without anything in front.
        for front in [body[8..<24], [0, 0, 0, 0, 0, 0, 0, 0], []] {
            let bytes = front + body[56...]
            #expect(
                try bytes.withUnsafeBytes { (bytes) throws in try FailureResponse(afterPartialRows: bytes) } == expected
            )
        }
        // Cut off inside a word it is nothing, and nothing worse.
        for count in 0..<body.count where count % 8 != 0 {
            let bytes = body.prefix(count)
            #expect(throws: WireError.self) {
                try bytes.withUnsafeBytes { (bytes) throws in try FailureResponse(afterPartialRows: bytes) }
            }
        }
    }

    @Test func open() throws {
        try expectRequest("9.14", is: ClientRequest(clientID: 0))
        try expectResponse("9.15", is: WelcomeResponse(heartbeatTimeout: 15000))
        try expectRequest("9.16", is: OpenRequest(name: "test.db", flags: 0, vfs: "volatile"))
        try expectResponse("9.17", is: DatabaseResponse(databaseID: 0))
    }

    @Test func sql() throws {
        try expectRequest(
            "9.18",
            is: ExecSQLRequest(
                databaseID: 0, sql: "INSERT INTO t VALUES (?,?,?,?,?,?,?)",
                parameters: [
                    .integer(-2), .real(1.5), .text("hello"), .blob([1, 2, 3]),
                    .iso8601("2020-01-02 03:04:05.6+00:00"), .boolean(true), .integer(1_577_934_245),
                ]))
        try expectResponse("9.19", is: ResultResponse(lastInsertRowID: 1, rowsAffected: 1))
        try expectRequest(
            "9.20",
            is: QuerySQLRequest(
                databaseID: 0, sql: "SELECT i, s FROM t WHERE i = ? AND s = ?",
                parameters: [.integer(-2), .text("hello")]))
        try expectRequest(
            "9.41",
            is: ExecSQLRequest(
                databaseID: 0, sql: "INSERT INTO t VALUES(?,?)", parameters: [.integer(5), .text("v1")]), revision: 1)
        try expectRequest("9.31", is: InterruptRequest(databaseID: 0))
    }

    @Test func rows() throws {
        try expectResponse("9.21", is: RowsResponse(columns: ["i", "s"], values: [.integer(-2), .text("hello")]))
        try expectResponse(
            "9.22",
            is: RowsResponse(
                columns: ["i", "f", "s", "b", "d", "o", "u"],
                values: [
                    .integer(-2), .real(1.5), .text("hello"), .blob([1, 2, 3]),
                    .iso8601("2020-01-02 03:04:05.6+00:00"), .boolean(true), .unixTime(1_577_934_245),
                    .null, .null, .null, .null, .iso8601(""), .boolean(false), .iso8601(""),
                ]))
        try expectResponse("9.23", is: RowsResponse(columns: ["i"]))
        try expectResponse(
            "9.24",
            is: RowsResponse(columns: ["x"], values: ([1, 2, 3, 42, 100] + (1...250)).map { .integer($0) }, more: true))
        try expectResponse("9.25", is: RowsResponse(columns: ["x"], values: (1781...2000).map { .integer($0) }))
    }

    @Test func preparedStatements() throws {
        try expectRequest("9.26", is: PrepareRequest(databaseID: 0, sql: "INSERT INTO m VALUES (?)"))
        try expectResponse("9.27", is: StatementResponse(databaseID: 0, statementID: 0, parameterCount: 1))
        // go-dqlite does not clear what pads the type codes.
        try expectRequest(
            "9.28", is: ExecRequest(databaseID: 0, statementID: 0, parameters: [.integer(42)]), junk: 0x12..<0x18)
        try expectRequest(
            "9.29", is: QueryRequest(databaseID: 0, statementID: 0, parameters: [.integer(1)]), junk: 0x12..<0x18)
        try expectRequest("9.30", is: FinalizeRequest(databaseID: 0, statementID: 0))
        try expectRequest("9.39", is: PrepareRequest(databaseID: 0, sql: "SELECT 1; SELECT 2"), revision: 1)
        try expectResponse(
            "9.40", is: StatementResponse(databaseID: 0, statementID: 1, parameterCount: 0, tailOffset: 9), revision: 1)
    }

    @Test func dump() throws {
        try expectRequest("9.35", is: DumpRequest(name: "test.db"))
        let content = Array(try Fixtures.frame("9.36")[0x20..<0xa020])
        #expect(content.count == 40960 && content.starts(with: Array("SQLite format 3\0".utf8)))
        try expectResponse(
            "9.36",
            is: FilesResponse(files: [
                File(name: "test.db", content: content), File(name: "test.db-wal", content: []),
            ]))
    }
}
