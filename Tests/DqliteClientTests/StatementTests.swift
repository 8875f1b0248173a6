import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteClient

@Suite struct StatementTests {
    @Test(arguments: bothEncodings)
    func `A statement is prepared, run and forgotten`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let sum = test.connection.withPreparedStatement("SELECT ?, ?") { statement in
            #expect(statement.parameterCount == 2)
            let error = await #expect(throws: DqliteError.self) { try await statement.execute(1) }
            #expect(error?.code == .invalidQuery)
            let result = try await statement.execute(1, "a")
            let rows = try await statement.query(2, nil as String?).decode((Int, String?).self).collect()
            return Int(result.changes) + rows[0].0
        }
        try await test.expect(
            "SELECT ?, ?", .statement(StatementResponse(statementID: 3, parameterCount: 2)))
        let exec = try await test.next()
        #expect(exec.body == .exec(ExecRequest(statementID: 3, parameters: [.integer(1), .text("a")])))
        try await test.answer(exec, .result(ResultResponse(rowsAffected: 40)))
        let query = try await test.next()
        #expect(query.body == .query(QueryRequest(statementID: 3, parameters: [.integer(2), .null])))
        try await test.answer(query, .rows(RowsResponse(columns: ["a", "b"], values: [.integer(2), .null])))
        let finalize = try await test.next()
        #expect(finalize.body == .finalize(FinalizeRequest(statementID: 3)))
        try await test.answer(finalize, .empty(EmptyResponse()))
        #expect(try await sum == 42)
    }

    @Test(arguments: bothEncodings)
    func `A statement is forgotten when its closure throws, and of no use then`(_ encoding: WireEncoding) async throws {
        struct Whim: Error {}
        let test = try await TestConnection(encoding)
        let task = Task {
            try await test.connection.withPreparedStatement("SELECT 1") { statement in
                withUnsafeCurrentTask { $0?.cancel() }
                try await statement.close()
                let error = await #expect(throws: DqliteError.self) { try await statement.execute() }
                #expect(error?.code == .connectionClosed)
                throw Whim()
            }
        }
        try await test.expect("SELECT 1", .statement(StatementResponse()))
        let finalize = try await test.next()
        try await test.answer(finalize, .empty(EmptyResponse()))
        await #expect(throws: Whim.self) { try await task.value }
        #expect(try await test.sent().isEmpty)
    }

    @Test(arguments: bothEncodings)
    func `A statement that is prepared for nobody is forgotten`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let task = Task { _ = try await test.connection.prepare("SELECT 1") }
        let prepare = try await test.next()
        task.cancel()
        await #expect(throws: DqliteError.self) { try await task.value }
        if encoding == .protobuf { #expect(try await test.next().isTakingBack) }
        try await test.answer(prepare, .statement(StatementResponse(statementID: 7)))
        #expect(try await test.next().body == .finalize(FinalizeRequest(statementID: 7)))
    }

    @Test func `More than 255 parameters need the later revision`() async throws {
        let test = try await TestConnection(.dqlite)
        let bindings = DqliteBindings((0..<256).map { .integer(Int64($0)) })
        async let result = test.connection.execute(DqliteQuery(unsafeSQL: "SELECT 1", bindings: bindings))
        let request = try await test.next()
        guard case .execSQL(let message) = request.body else {
            Issue.record("\(request)")
            return
        }
        #expect(message.parameters.count == 256)
        try await test.answer(request, done)
        _ = try await result
    }

    @Test(arguments: bothEncodings)
    func `What a node tells about the cluster`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let leader = test.connection.leader()
        var request = try await test.next()
        #expect(request.sessionID == 0)
        try await test.answer(request, .server(ServerResponse(serverID: 1, address: "a:1")))
        #expect(try await leader == DqliteServer(id: 1, address: "a:1", role: nil))

        async let nobody = test.connection.leader()
        request = try await test.next()
        try await test.answer(request, .server(ServerResponse()))
        #expect(try await nobody == nil)

        async let cluster = test.connection.cluster()
        request = try await test.next()
        #expect(request.body == .cluster(ClusterRequest(format: 1)))
        try await test.answer(
            request, .servers(ServersResponse(servers: [Server(serverID: 2, address: "b:1", role: .spare)])))
        #expect(try await cluster == [DqliteServer(id: 2, address: "b:1", role: .spare)])

        async let metadata = test.connection.describe()
        request = try await test.next()
        try await test.answer(request, .metadata(MetadataResponse(failureDomain: 4, weight: 5)))
        #expect(try await metadata == DqliteNodeMetadata(failureDomain: 4, weight: 5))

        async let files = test.connection.dump()
        request = try await test.next()
        #expect(request.body == .dump(DumpRequest(name: "test")))
        let content = [UInt8](repeating: 7, count: 64)
        try await test.answer(
            request, .files(FilesResponse(files: [File(name: "test", content: content), File(name: "test-wal")])))
        #expect(
            try await files == [
                DqliteFile(name: "test", content: ByteBuffer(bytes: content)),
                DqliteFile(name: "test-wal", content: ByteBuffer()),
            ])
    }
}
