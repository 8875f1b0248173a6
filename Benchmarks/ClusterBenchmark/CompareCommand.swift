import ArgumentParser
import BenchmarkSupport
import Foundation
import NIOCore
import NIOPosix

/// `cluster-benchmark compare`: ours and C dqlite under the same loads, in turns.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Our nodes and those of C dqlite under the same loads, in turns.",
        discussion: """
            Both clusters run on this machine, with their data on one file system and each with its defaults, and are driven by \
            the same clients with the dqlite encoding: a connection for each client, in this process. A client that is refused \
            with SQLITE_BUSY waits and tries again; what it waits is part of its latency.
            """)

    @Flag(help: "One round, short and of few clients: just enough to show that it works.") var quick = false
    @Option(
        help: """
            What to measure, separated by commas: inserts, selects, transactions, mix, scan, blobs, failover. All of it \
            by default.
            """)
    var only: String?
    @Option(help: "How many rounds of which the medians are shown, and how many kills. 5 by default.") var rounds: Int?
    @Option(help: "How long a round takes, in seconds. 2 by default.") var seconds: Double?
    @Option(help: "Numbers of clients, separated by commas, in place of those of each load.") var clients: String?
    @Option(help: "Nodes in a cluster.") var nodes = 3
    @Option(help: "Only this side: ours or c.") var side: Implementation?
    @Option(help: "How long a client waits at most after the first refusal, in microseconds.") var retryDelay = 10_000
    @Option(help: "How long a client waits at most after many refusals, in microseconds.") var longestRetryDelay =
        100_000
    @Option(help: "File to write the tables to, as Markdown.") var markdown: String?

    private static let groups: [String: [Workload]] = [
        "inserts": [.inserts], "selects": [.selects], "transactions": [.transactions, .bulk], "mix": [.mix],
        "scan": [.scan], "blobs": [.blobInserts, .blobReads], "failover": [],
    ]

    func validate() throws {
        for name in self.names where Self.groups[name] == nil {
            throw ValidationError("there is no \(name) to measure")
        }
    }

    private var names: [String] {
        self.only.map { $0.split(separator: ",").map(String.init) } ?? Array(Self.groups.keys)
    }

    func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let setup = Setup(
            sides: self.side.map { [$0] } ?? Implementation.allCases, nodes: self.nodes,
            rounds: self.rounds ?? (self.quick ? 1 : 5),
            time: .milliseconds(Int((self.seconds ?? (self.quick ? 0.3 : 2)) * 1000)),
            rows: self.quick ? 5000 : 100_000,
            clients: self.clients.map { $0.split(separator: ",").compactMap { Int($0) } },
            patience: Patience(
                first: .microseconds(self.retryDelay), longest: .microseconds(self.longestRetryDelay)),
            isQuick: self.quick, group: group)
        let directory = try Disk.makeDirectory(for: "cluster-benchmark")
        defer { try? FileManager.default.removeItem(at: directory) }
        Running.now.watch(directory)
        let heading = Machine.description(of: directory) + ", " + Machine.date
        say(heading)
        let names = self.names
        let wanted = names.flatMap { Self.groups[$0] ?? [] }
        let workloads = Workload.allCases.filter { wanted.contains($0) }
        var tables: [Table] = []
        if !workloads.isEmpty {
            tables.append(try await Comparison(setup, workloads: workloads).run(in: try self.folder("load", directory)))
        }
        if names.contains("failover"), self.nodes > 2 {
            tables.append(try await Failover(setup: setup).run(in: try self.folder("failover", directory)))
        }
        if let markdown {
            let command = (["scripts/benchmark cluster"] + CommandLine.arguments.dropFirst()).joined(separator: " ")
            let text = "\(heading), `\(command)`:\n\n" + tables.map(\.markdown).joined(separator: "\n")
            try text.write(toFile: markdown, atomically: true, encoding: .utf8)
        }
        try await group.shutdownGracefully()
        if tables.contains(where: { $0.notes.contains { $0.hasPrefix("FAILED") } }) { throw ExitCode.failure }
    }

    private func folder(_ name: String, _ directory: URL) throws -> URL {
        let folder = directory.appending(path: name)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        return folder
    }
}
