import BenchmarkSupport
import DqliteClient
import DqliteFraming
import DqliteProtocol
import Foundation
import Logging
import NIOCore
import NIOPosix
import NodeProcess

/// Latency and rate of point selects through a node, beside a bare NIO echo, in one run.
enum SelectBenchmark {
    static func run(in directory: URL, rounds: Int, time: Duration, rows: Int) async throws {
        let echo = try ServerProcess(ServerProcess.binaries.appending(path: "node-benchmark"), ["echo-server"])
        defer { echo.stop() }
        let node = try ServerProcess.node(on: directory.appending(path: "data"))
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
        say("subject                        connections   p50 us   p99 us      req/s   rate / echo")
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
                say(
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
