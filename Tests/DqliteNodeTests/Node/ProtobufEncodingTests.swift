import DqliteFraming
import DqliteNode
import DqliteProtocol
import NIOCore
import Testing

/// A whole node over sockets, in the protobuf encoding.
@Suite(.timeLimit(.minutes(2)))
struct ProtobufEncodingTests {
    private func opened(_ node: RunningNode, _ body: (TestConnection) async throws -> Void) async throws {
        try await node.connected(Preface.protobuf) { connection in
            let answer = try await connection.call(Request(requestID: 1, body: .open(OpenRequest(name: "test"))))
            #expect(answer == .database(DatabaseResponse()))
            try await body(connection)
        }
    }

    private func exec(_ id: UInt64, session: UInt64 = 0, timeout: UInt64 = 0, _ sql: String) -> Request {
        Request(
            requestID: id, sessionID: session, timeoutMilliseconds: timeout, body: .execSQL(ExecSQLRequest(sql: sql)))
    }

    private func query(_ id: UInt64, session: UInt64 = 0, window: UInt64 = 1 << 30, _ sql: String) -> Request {
        Request(requestID: id, sessionID: session, window: window, body: .querySQL(QuerySQLRequest(sql: sql)))
    }

    /// The values of the rest of one result, when nothing else is on its way.
    private func values(_ connection: TestConnection, of id: UInt64) async throws -> [Value] {
        var values: [Value] = []
        while true {
            let response = try await connection.response()
            #expect(response.requestID == id)
            guard case .rows(let rows) = response.body else { throw Unexpected() }
            values += rows.values
            if !rows.more { return values }
        }
    }

    private func failure(_ body: Response.Body?) throws -> FailureResponse {
        guard case .failure(let failure) = body else { throw Unexpected() }
        return failure
    }

    @Test func statelessRequests() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                _ = try await connection.call(self.exec(2, "CREATE TABLE t (x)"))
                let answer = try await connection.call(self.exec(3, "INSERT INTO t VALUES (1)"))
                guard case .result(let result) = answer else { throw Unexpected() }
                #expect(result.rowsAffected == 1)
                try await connection.send(self.query(4, "SELECT x FROM t"))
                #expect(try await self.values(connection, of: 4) == [.integer(1)])
                #expect(try self.failure(try await connection.call(self.exec(5, "BEGIN"))).outcome == .notCommitted)
                let prepare = Request(requestID: 6, body: .prepare(PrepareRequest(sql: "SELECT 1")))
                _ = try self.failure(try await connection.call(prepare))
            }
        }
    }

    @Test func manyAtOnce() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                _ = try await connection.call(self.exec(2, "CREATE TABLE t (x)"))
                for id: UInt64 in 100..<400 { try await connection.send(self.exec(id, "INSERT INTO t VALUES (\(id))")) }
                var answered: Set<UInt64> = []
                while answered.count < 300 {
                    let response = try await connection.response()
                    guard case .result = response.body else { throw Unexpected() }
                    answered.insert(response.requestID)
                }
                try await connection.send(self.query(3, "SELECT count(*) FROM t"))
                #expect(try await self.values(connection, of: 3) == [.integer(300)])
            }
        }
    }

    @Test func sessionsAreSeparate() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                _ = try await connection.call(self.exec(2, "CREATE TABLE t (x)"))
                _ = try await connection.call(self.exec(3, session: 1, "BEGIN"))
                _ = try await connection.call(self.exec(4, session: 1, "INSERT INTO t VALUES (1)"))
                try await connection.send(self.query(5, session: 1, "SELECT count(*) FROM t"))
                #expect(try await self.values(connection, of: 5) == [.integer(1)])
                try await connection.send(self.query(6, session: 2, "SELECT count(*) FROM t"))
                #expect(try await self.values(connection, of: 6) == [.integer(0)])
                let close = Request(requestID: 7, sessionID: 1, body: .closeSession(CloseSessionRequest()))
                #expect(try await connection.call(close) == .empty(EmptyResponse()))
                try await connection.send(self.query(8, session: 1, "SELECT count(*) FROM t"))
                #expect(try await self.values(connection, of: 8) == [.integer(0)])
            }
        }
    }

    @Test func longQueryDelaysNoOtherSession() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                try await connection.send(self.query(2, session: 1, DqliteEncodingTests.endless))
                for id: UInt64 in 10..<30 {
                    try await connection.send(self.query(id, session: 2, "SELECT \(id)"))
                    #expect(try await self.values(connection, of: id) == [.integer(Int64(id))])
                }
                let interrupt = Request(requestID: 3, sessionID: 1, body: .interrupt(InterruptRequest()))
                try await connection.send(interrupt)
                let first = try await connection.response()
                #expect(first.requestID == 2)
                #expect(try self.failure(first.body).code == FailureCode.interrupted)
                #expect(try await connection.response() == Response(requestID: 3, body: .empty(EmptyResponse())))
            }
        }
    }

    @Test func cancelAndDeadline() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                try await connection.send(self.query(2, session: 1, DqliteEncodingTests.endless))
                try await connection.send(self.query(3, session: 1, "SELECT 1"))
                try await connection.send(Request(body: .cancel(CancelRequest(requestID: 3))))
                let waiting = try await connection.response()
                #expect(waiting.requestID == 3)
                #expect(try self.failure(waiting.body).code == FailureCode.interrupted)
                try await connection.send(Request(body: .cancel(CancelRequest(requestID: 2))))
                let running = try await connection.response()
                #expect(running.requestID == 2)
                #expect(try self.failure(running.body).code == FailureCode.interrupted)

                var late = self.query(4, session: 1, DqliteEncodingTests.endless)
                late.timeoutMilliseconds = 20
                let answer = try await connection.call(late)
                #expect(try self.failure(answer).code == FailureCode.interrupted)
                // Session 0 too.
                late.requestID = 5
                late.sessionID = 0
                #expect(try self.failure(try await connection.call(late)).code == FailureCode.interrupted)
            }
        }
    }

    /// Whatever windows a reader grants, never more than they allow is sent, and all rows arrive.
    @Test(arguments: [0, 1, 100, 5_000, 70_000, 200_000] as [UInt64])
    func windows(window: UInt64) async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                let count: Int64 = 5_000
                let sql = "\(DqliteEncodingTests.manyRows) LIMIT \(count)"
                try await connection.send(self.query(2, session: 1, window: window, sql))
                var granted = Int(window)
                var used = 0
                var blocks = 0
                var keys: [Int64] = []
                var isBlocked = false
                while true {
                    let (response, size) = try #require(try await connection.envelope())
                    #expect(response.requestID == 2)
                    switch response.body {
                    case .blocked(let blocked):
                        #expect(!isBlocked)
                        isBlocked = true
                        #expect(used + Int(blocked.bytesNeeded) > granted)
                        blocks += 1
                        // Just what is needed, and every other time a little more, so that parts have all sizes.
                        let grant = used + Int(blocked.bytesNeeded) - granted + blocks % 2 * 10_000
                        granted += grant
                        try await connection.send(
                            Request(body: .grant(GrantRequest(requestID: 2, bytes: UInt64(grant)))))
                    case .rows(let rows):
                        isBlocked = false
                        used += size
                        #expect(used <= granted)
                        for (index, value) in rows.values.enumerated() where index % 2 == 0 {
                            if case .integer(let key) = value { keys.append(key) }
                        }
                        guard !rows.more else { continue }
                        #expect(keys == Array(1...count))
                        return
                    default: throw Unexpected()
                    }
                }
            }
        }
    }

    /// A reader that grants nothing keeps its result waiting, and nothing else.
    @Test func blockedResultDelaysNobody() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                try await connection.send(self.query(2, session: 1, window: 0, DqliteEncodingTests.manyRows))
                guard case .blocked = try await connection.response().body else { throw Unexpected() }
                _ = try await connection.call(self.exec(3, "CREATE TABLE t (x)"))
                for id: UInt64 in 10..<30 {
                    _ = try await connection.call(self.exec(id, session: 2, "INSERT INTO t VALUES (1)"))
                }
                try await connection.send(Request(body: .cancel(CancelRequest(requestID: 2))))
                #expect(try self.failure(try await connection.response().body).code == FailureCode.interrupted)
            }
        }
    }

    @Test func emptyResult() async throws {
        try await withNode { node in
            try await self.opened(node) { connection in
                try await connection.send(self.query(2, "SELECT 1 AS a WHERE 0"))
                #expect(
                    try await connection.response() == Response(requestID: 2, body: .rows(RowsResponse(columns: ["a"])))
                )
            }
        }
    }
}
