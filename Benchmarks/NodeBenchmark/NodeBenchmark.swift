import DqliteClient
import DqliteFraming
import DqliteProtocol
import Foundation
import Logging
import NIOCore
import NIOPosix

/// Latency and rate of point selects through a node, beside a bare NIO echo, in one run.
///
///     node-benchmark [quick]      runs everything
///     node-benchmark echo-server  is the echo, in a process of its own like the node
@main
enum NodeBenchmark {
    static func main() async throws {
        switch CommandLine.arguments.dropFirst().first {
        case nil: try await self.run(rounds: 5, time: .seconds(2), rows: 100_000)
        case "quick": try await self.run(rounds: 1, time: .milliseconds(200), rows: 1000)
        case "echo-server": try await EchoServer.run()
        default:
            FileHandle.standardError.write(Data("usage: node-benchmark [quick | echo-server]\n".utf8))
            exit(2)
        }
    }

    static func run(rounds: Int, time: Duration, rows: Int) async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "node-benchmark-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let binaries = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()

        let echo = try ServerProcess(binaries.appending(path: "node-benchmark"), ["echo-server"])
        defer { echo.stop() }
        let node = try ServerProcess(
            binaries.appending(path: "dqlite"),
            [
                "node", "--id", "1", "--address", "127.0.0.1:0",
                "--data-dir", directory.appending(path: "data").path(percentEncoded: false),
            ])
        defer { node.stop() }
        try await self.fill(port: node.port, rows: rows)

        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let subjects: [Subject] = [
            .init(name: "echo, 64 bytes", port: echo.port, conversation: EchoConversation()),
            .init(
                name: "select, dqlite, QuerySQL", port: node.port,
                conversation: SelectConversation(rows: rows, prepared: false)),
            .init(
                name: "select, dqlite, prepared", port: node.port,
                conversation: SelectConversation(rows: rows, prepared: true)),
            .init(name: "select, protobuf", port: node.port, conversation: EnvelopeConversation(rows: rows)),
        ]
        print("subject                        connections   p50 us   p99 us      req/s   rate / echo")
        for connections in [1, 64] {
            var results = subjects.map { _ in [Load.Result]() }
            for _ in 0..<rounds {
                for (index, subject) in subjects.enumerated() {
                    results[index].append(
                        try await Load.run(subject, connections: connections, time: time, group: group))
                }
            }
            let echoRate = median(results[0].map(\.rate))
            for (subject, results) in zip(subjects, results) {
                let rate = median(results.map(\.rate))
                print(
                    subject.name.padded(30), String(connections).leftPadded(11),
                    format(median(results.map(\.p50)), 1).leftPadded(8),
                    format(median(results.map(\.p99)), 1).leftPadded(8),
                    format(rate, 0).leftPadded(10), format(rate / echoRate, 2).leftPadded(13))
            }
        }
        try await group.shutdownGracefully()
    }

    static func fill(port: Int, rows: Int) async throws {
        try await DqliteConnection.withConnection(
            to: .hostname("127.0.0.1", port: port), database: SelectConversation.database,
            logger: Logger(label: "node-benchmark")
        ) { connection in
            _ = try await connection.execute(
                "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL)")
            try await connection.withTransaction { transaction in
                for id in 1...rows {
                    _ = try await transaction.execute(
                        "INSERT INTO item VALUES (\(id), \("item \(id)"), \(Double(id) / 4))")
                }
            }
        }
    }
}

/// What is measured.
struct Subject {
    var name: String
    var port: Int
    var conversation: any Conversation
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func format(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

extension String {
    func padded(_ width: Int) -> String { self + String(repeating: " ", count: max(0, width - self.count)) }
    func leftPadded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - self.count)) + self }
}
