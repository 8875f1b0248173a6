#if os(Linux)
    import DqliteFraming
    import DqliteNode
    import DqliteProtocol
    import NIOCore
    import Testing

    /// A result of 100 MB and a reader that takes its time. The node is a process of its own, for its memory is measured.
    @Suite(.timeLimit(.minutes(3)), .serialized)
    struct SlowReaderTests {
        private static let rowCount = 100_000

        /// Rows of about 1 KiB.
        private static let sql = """
            WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT \(rowCount)) \
            SELECT x, printf('%01000d', x) FROM n
            """

        /// What the node may have more than before: parts of 64 KiB that wait, and what the allocator keeps.
        private static let bound = 8 << 20

        /// The reader takes a part now and then; the node holds no more than it may, whatever the reader does.
        @Test func dqliteEncoding() async throws {
            try await Tool.withNode { node in
                try await self.opened(node) { connection in
                    let before = try await self.sizeInUse(node)
                    try await connection.send(QuerySQLRequest(sql: Self.sql))
                    var rows = 0
                    var frames = 0
                    var largest = 0
                    var more = true
                    while more {
                        if frames % 200 == 0 { largest = max(largest, try await self.sizeInUse(node) - before) }
                        let part: RowsResponse = try await connection.answer()
                        rows += part.values.count / 2
                        frames += 1
                        more = part.more
                    }
                    #expect(rows == Self.rowCount)
                    #expect(largest < Self.bound)
                }
            }
        }

        /// The reader grants everything and then does not read.
        @Test func protobufEncoding() async throws {
            try await Tool.withNode { node in
                try await TestConnection.with(node.address) { connection in
                    try await connection.send(ByteBuffer(integer: Preface.protobuf, endianness: .little))
                    let open = Request(requestID: 1, body: .open(OpenRequest(name: "test")))
                    #expect(try await connection.call(open) == .database(DatabaseResponse()))
                    let before = try await self.sizeInUse(node)
                    try await connection.send(
                        Request(
                            requestID: 2, sessionID: 1, window: .max, body: .querySQL(QuerySQLRequest(sql: Self.sql))))
                    var rows = 0
                    var parts = 0
                    var largest = 0
                    var more = true
                    while more {
                        if parts % 200 == 0 { largest = max(largest, try await self.sizeInUse(node) - before) }
                        guard case .rows(let part) = try await connection.response().body else { throw Unexpected() }
                        rows += part.values.count / 2
                        parts += 1
                        more = part.more
                    }
                    #expect(rows == Self.rowCount)
                    #expect(largest < Self.bound)
                }
            }
        }

        private func opened(_ node: NodeProcess, _ body: (TestConnection) async throws -> Void) async throws {
            try await TestConnection.with(node.address) { connection in
                try await connection.send(ByteBuffer(integer: Preface.dqlite, endianness: .little))
                #expect(try await connection.call(OpenRequest(name: "test")) == DatabaseResponse())
                try await body(connection)
            }
        }

        /// The node's memory after somebody else's requests: nobody reads the result for as long as they take.
        private func sizeInUse(_ node: NodeProcess) async throws -> Int {
            try await self.opened(node) { other in
                for _ in 0..<100 { _ = try await other.query("SELECT 1") }
            }
            return try node.residentSize()
        }
    }
#endif
