import BenchmarkSupport
import DqliteClient
import Foundation
import NIOCore
import NIOPosix
import NodeProcess

/// Rows and transactions per second through a node, beside plain SQLite in this process, on one disk in one run.
enum WriteBenchmark {
    /// One of those that do the same work.
    private enum Subject {
        case plain
        case node(Work, DqliteConnectionConfiguration.Encoding, onOneChannel: Bool = false)
        case silentNode(Work, onOneChannel: Bool)
    }

    private struct Comparison {
        var title: String
        var work: Work
        var subjects: [(name: String, subject: Subject)]
    }

    private static let comparisons = [
        Comparison(
            title: "insert a row of 90 bytes", work: .row,
            subjects: [
                ("plain SQLite, WAL, FULL", .plain),
                ("node, protobuf", .node(.row, .protobuf)),
                ("node, protobuf, 1 channel", .node(.row, .protobuf, onOneChannel: true)),
                ("node, dqlite", .node(.row, .dqlite)),
                ("answers only, protobuf", .silentNode(.row, onOneChannel: false)),
                ("answers only, 1 channel", .silentNode(.row, onOneChannel: true)),
            ]),
        Comparison(
            title: "transaction of \(Work.rowsPerTransaction) such rows", work: .transaction,
            subjects: [
                ("plain SQLite, WAL, FULL", .plain),
                ("node, protobuf, 1 INSERT", .node(.transactionOfOneStatement, .protobuf)),
                ("node, protobuf, \(Work.rowsPerTransaction) INSERTs", .node(.transaction, .protobuf)),
            ]),
    ]

    static func run(
        in directory: URL, rounds: Int, time: Duration, numbersOfClients: [Int] = [1, 4, 16, 64]
    ) async throws {
        let node = try ServerProcess.node(on: directory.appending(path: "data"))
        defer { node.stop() }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let load = ClientLoad(port: node.port, process: node.id, group: group)
        try await load.prepare()
        let silentNode = try ServerProcess(
            ServerProcess.binaries.appending(path: "node-benchmark"), ["silent-node"])
        defer { silentNode.stop() }
        let silentLoad = ClientLoad(port: silentNode.port, process: silentNode.id, group: group)
        let probe = try DiskProbe(in: directory)
        var syncs: [Double] = []

        for comparison in Self.comparisons {
            say(comparison.title)
            say(
                "subject                     clients      per s     p50 us     p99 us  rate / plain  "
                    + "client us  node us")
            for clients in numbersOfClients {
                var results = comparison.subjects.map { _ in [RoundFigures]() }
                for _ in 0..<rounds {
                    syncs += try probe.sample(for: time / 10)
                    for (index, subject) in comparison.subjects.enumerated() {
                        let figures =
                            switch subject.subject {
                            case .plain:
                                try await PlainSQLite.run(
                                    comparison.work, in: directory, threads: clients, time: time)
                            case .node(let work, let encoding, let onOneChannel):
                                try await load.run(
                                    work, encoding: encoding, onOneChannel: onOneChannel, clients: clients,
                                    time: time)
                            case .silentNode(let work, let onOneChannel):
                                try await silentLoad.run(
                                    work, encoding: .protobuf, onOneChannel: onOneChannel, clients: clients,
                                    time: time)
                            }
                        results[index].append(figures)
                    }
                }
                self.show(comparison, clients: clients, results)
            }
        }
        say("pwrite of 4 KiB and fdatasync on this disk: p50 \(format(median(syncs), 0)) us")
        try await group.shutdownGracefully()
    }

    private static func show(_ comparison: Comparison, clients: Int, _ results: [[RoundFigures]]) {
        let plain = median(results[0].map(\.rate))
        for ((name, _), results) in zip(comparison.subjects, results) {
            let rate = median(results.map(\.rate))
            let nodeTimes = results.compactMap(\.nodeTime)
            let failures = results.reduce(0) { $0 + $1.failures }
            say(
                name.padded(27), String(clients).leftPadded(7), format(rate, 0).leftPadded(9),
                format(median(results.map(\.p50)), 0).leftPadded(10),
                format(median(results.map(\.p99)), 0).leftPadded(10), format(rate / plain, 2).leftPadded(13),
                format(median(results.map(\.clientTime)), 1).leftPadded(10),
                (nodeTimes.isEmpty ? "-" : format(median(nodeTimes), 1)).leftPadded(8)
                    + (failures > 0 ? "  \(failures) refused" : ""))
        }
    }
}
