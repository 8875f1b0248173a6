import ArgumentParser
import BenchmarkSupport
import Foundation
import NIOCore
import NIOPosix

/// `cluster-benchmark catch-up`: what it costs the others that a node comes back which has missed a lot.
struct CatchUpCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "catch-up",
        abstract: "Latency of the leader's inserts, and memory, while a follower gets what it has missed.",
        discussion: """
            A follower is stopped, a lot is written, and it is started again; meanwhile clients insert rows, as they did before \
            it was stopped. Both are done in turns.
            """)

    @Option(help: "How much is written while the follower is away, in megabytes.") var megabytes = 500
    @Option(help: "How often.") var rounds = 5
    @Option(help: "How long latencies are measured at a time, in seconds.") var seconds = 3.0
    @Option(help: "How many clients insert.") var clients = 4
    @Option(help: "Whose nodes: ours or c.") var side = Implementation.ours

    func run() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let directory = try Disk.makeDirectory(for: "cluster-benchmark")
        defer { try? FileManager.default.removeItem(at: directory) }
        Running.now.watch(directory)
        say(Machine.description(of: directory) + ", " + Machine.date)
        let cluster = try await Cluster.start(self.side, nodes: 3, in: directory, group: group)
        defer { cluster.stop() }
        let patience = Patience(first: .milliseconds(10), longest: .milliseconds(100))
        let trial = CatchUp(
            cluster: cluster, load: Load(group: group, data: Dataset(rows: 0), patience: patience),
            size: self.megabytes * 1_000_000, clients: self.clients,
            time: .milliseconds(Int(self.seconds * 1000)))
        try await trial.prepare()
        var rounds: [CatchUpFigures] = []
        for round in 1...self.rounds {
            let figures = try await trial.round(round)
            rounds.append(figures)
            say(
                "round \(round): \(self.megabytes) MB written in \(text(figures.writing)) s, caught up in "
                    + "\(text(figures.duration)) s")
        }
        self.show(rounds)
        try await group.shutdownGracefully()
    }

    private func show(_ rounds: [CatchUpFigures]) {
        var table = Table([
            .init(title: "inserts, \(self.clients) clients", width: 22, isLeft: true),
            .init(title: "windows", width: 7), .init(title: "per s", width: 8),
            .init(title: "p50 ms", width: 8), .init(title: "p99 ms", width: 8),
        ])
        table.showTitles()
        let quiet = rounds.map(\.quiet)
        let catchingUp = rounds.flatMap(\.windows)
        for (name, figures) in [("quiet", quiet), ("catching up", catchingUp)] where !figures.isEmpty {
            table.add([
                name, "\(figures.count)", text(median(figures.map(\.rate))),
                text(median(figures.map(\.p50)) / 1000), text(median(figures.map(\.p99)) / 1000),
            ])
        }
        if !catchingUp.isEmpty {
            func ratio(_ value: (CatchUpFigures.Window) -> Double) -> String {
                text(median(catchingUp.map(value)) / median(quiet.map(value)))
            }
            table.add(["catching up / quiet", "", ratio(\.rate), ratio(\.p50), ratio(\.p99)])
        }
        let duration = median(rounds.map(\.duration))
        say("caught up in \(text(duration)) s, \(text(Double(self.megabytes) / duration)) MB/s")
        let growth = { (value: (CatchUpFigures) -> Double) in text((rounds.map(value).max() ?? 0) / 1e6) }
        say(
            "resident memory grew at most by \(growth(\.leaderGrowth)) MB in the leader, \(growth(\.otherGrowth)) MB in the "
                + "other, \(growth(\.followerGrowth)) MB in the one that came back, since it served")
    }
}
