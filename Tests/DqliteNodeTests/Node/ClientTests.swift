import DqliteClient
import DqliteNode
import Logging
import ServiceLifecycle
import Testing

/// A client that finds the leader, and a node.
@Suite(.timeLimit(.minutes(2)))
struct ClientTests {
    private func client(
        _ encoding: DqliteConnectionConfiguration.Encoding, _ node: RunningNode,
        _ body: (DqliteClient) async throws -> Void
    ) async throws {
        var configuration = DqliteClientConfiguration(
            seeds: [.hostname(node.address.host, port: node.address.port)], database: "test")
        configuration.connection.encoding = encoding
        configuration.callTimeout = .seconds(60)
        configuration.probeTimeout = .seconds(30)
        try await DqliteClient.withClient(configuration: configuration, logger: Logger(label: "test"), body)
    }

    @Test(arguments: [DqliteConnectionConfiguration.Encoding.dqlite, .protobuf])
    func statementsAndTransactions(_ encoding: DqliteConnectionConfiguration.Encoding) async throws {
        try await withNode { node in
            try await self.client(encoding, node) { client in
                try await client.execute("CREATE TABLE t (n INTEGER)")
                try await client.withTransaction { transaction in
                    for number in 0..<3 { try await transaction.execute("INSERT INTO t VALUES (\(number))") }
                }
                var sum = 0
                for try await number in try await client.query("SELECT n FROM t").decode(Int.self) {
                    sum += number
                    let result = try await client.execute("UPDATE t SET n = n WHERE n = \(number)")
                    #expect(result.changes == 1)
                }
                #expect(sum == 3)
                try await client.withConnection { connection in
                    try await connection.execute("CREATE TEMP TABLE mine (n)")
                    #expect(try await connection.query("SELECT * FROM mine").collect().isEmpty)
                }
                let error = await #expect(throws: DqliteError.self) { try await client.query("SELECT * FROM mine") }
                #expect(error?.code == .sqlite)
            }
        }
    }

    @Test(arguments: [DqliteConnectionConfiguration.Encoding.dqlite, .protobuf])
    func nodeThatComesBack(_ encoding: DqliteConnectionConfiguration.Encoding) async throws {
        try await withTemporaryDirectoryAsync { path in
            try await withNode(in: path + "/node") { first in
                try await self.client(encoding, first) { client in
                    try await client.execute("CREATE TABLE t (n INTEGER)")
                    try await client.execute("INSERT INTO t VALUES (7)")
                    await first.group.triggerGracefulShutdown()
                    // Until the old node is gone the new one finds its port in use.
                    let rows = Task { try await client.query("SELECT n FROM t").decode(Int.self).collect() }
                    try await self.again(first, at: path + "/node") {
                        let numbers = try await rows.value
                        #expect(numbers == [7])
                    }
                }
            }
        }
    }

    private func again(
        _ first: RunningNode, at directory: String, _ body: @Sendable @escaping () async throws -> Void
    ) async throws {
        while true {
            do {
                let change: @Sendable (inout DqliteNodeConfiguration) -> Void = { $0.address = first.address }
                try await withNode(in: directory, change: change) { _ in try await body() }
                return
            } catch is DqliteNodeError {
                await Task.yield()
            }
        }
    }
}
