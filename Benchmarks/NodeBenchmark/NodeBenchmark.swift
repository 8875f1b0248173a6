import BenchmarkSupport
import DqliteClient
import Foundation
import NIOPosix

/// What a node does in a second, and what it needs for it.
///
///     node-benchmark [quick]                 runs everything
///     node-benchmark selects [quick]         point selects, beside a bare NIO echo
///     node-benchmark writes [NUMBER] [quick] inserts and transactions, beside plain SQLite in this process; with that many
///                                            clients, or with 1, 4, 16 and 64
///     node-benchmark large-database [quick]  a database of 1 GB: memory, restarts, what is written
///     node-benchmark clients PORT NUMBER SECONDS [dqlite | channel]
///                                            only inserts into a node that runs: for profilers
///     node-benchmark echo-server             is the echo, in a process of its own like the node
///     node-benchmark silent-node             is a node that stores nothing
@main
enum NodeBenchmark {
    static func main() async throws {
        var arguments = Array(CommandLine.arguments.dropFirst())
        let isQuick = arguments.last == "quick"
        if isQuick { arguments.removeLast() }
        switch (arguments.first, arguments.count) {
        case (nil, 0):
            try await self.selects(isQuick)
            try await self.writes(isQuick, nil)
            try await self.largeDatabase(isQuick)
        case ("selects", 1): try await self.selects(isQuick)
        case ("writes", 1): try await self.writes(isQuick, nil)
        case ("writes", 2): try await self.writes(isQuick, arguments[1])
        case ("large-database", 1): try await self.largeDatabase(isQuick)
        case ("clients", 4), ("clients", 5): try await self.clients(arguments)
        case ("echo-server", 1): try await EchoServer.run()
        case ("silent-node", 1): try await SilentNode.run()
        default:
            FileHandle.standardError.write(
                Data(
                    "usage: node-benchmark [selects | writes | large-database | clients | echo-server | silent-node] [quick]\n"
                        .utf8)
            )
            exit(2)
        }
    }

    private static func clients(_ arguments: [String]) async throws {
        let numbers = arguments[1...3].map { Int($0) ?? 1 }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let load = ClientLoad(port: numbers[0], process: nil, group: group)
        try await load.prepare()
        let figures = try await load.run(
            .row, encoding: arguments.last == "dqlite" ? .dqlite : .protobuf,
            onOneChannel: arguments.last == "channel", clients: numbers[1],
            time: .seconds(numbers[2]))
        say(
            "\(format(figures.rate, 0)) rows a second, \(format(figures.clientTime, 1)) us of a processor for each here"
        )
    }

    private static func selects(_ isQuick: Bool) async throws {
        try await inDirectory { directory in
            if isQuick {
                try await SelectBenchmark.run(
                    in: directory, rounds: 1, time: .milliseconds(200), rows: 1000)
            } else {
                try await SelectBenchmark.run(in: directory, rounds: 5, time: .seconds(2), rows: 100_000)
            }
        }
    }

    private static func writes(_ isQuick: Bool, _ clients: String?) async throws {
        let numbers = clients.map { [Int($0) ?? 1] } ?? [1, 4, 16, 64]
        try await inDirectory { directory in
            try await WriteBenchmark.run(
                in: directory, rounds: isQuick ? 1 : 5, time: .milliseconds(isQuick ? 100 : 1000),
                numbersOfClients: numbers)
        }
    }

    private static func largeDatabase(_ isQuick: Bool) async throws {
        try await inDirectory { directory in
            let benchmark = LargeDatabaseBenchmark(
                directory: directory, size: (isQuick ? 20 : 1000) * 1_000_000, reads: isQuick ? 500 : 20_000)
            try await benchmark.run()
        }
    }

    private static func inDirectory(_ body: (URL) async throws -> Void) async throws {
        let directory = try Disk.makeDirectory(for: "node-benchmark")
        defer { try? FileManager.default.removeItem(at: directory) }
        try await body(directory)
        say("")
    }
}
