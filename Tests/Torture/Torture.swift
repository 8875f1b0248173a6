import ArgumentParser
import Foundation
import TortureChecks
import UnixSignals

/// A cluster under load and under faults, and the question whether it kept its promises.
@main
struct Torture: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "torture",
        abstract: "Tortures a cluster of real nodes, and checks what clients saw.",
        discussion: """
            Nodes run as processes on the loopback interface, behind proxies that can cut and delay what they say to each other \
            and to clients. Clients of both encodings append to lists, move money and fill sets; their histories must be \
            strictly serializable, and at the end all nodes must have the same bytes.
            """)

    @Option(help: "How long faults go on.") var minutes = 2.0
    @Option(help: "What chance begins with.") var seed: UInt64 = .random(in: 1...1_000_000)
    @Option(help: "How many nodes there are.") var nodes = 3
    @Option(help: "How many clients each of the three workloads has; every second one speaks the dqlite encoding.")
    var clients = 4
    @Option(
        help: "Which faults there are, of \(Fault.Kind.allCases.map(\.rawValue).joined(separator: ",")); or none.",
        transform: Self.kinds)
    var faults = Set(Fault.Kind.allCases)
    @Option(help: "Where histories go in which something is wrong.") var output = "."
    @Flag(help: "Print each fault.") var verbose = false
    @Flag(help: "Keep the directories of the nodes.") var keep = false
    @Flag(help: "Claim acknowledgments that there never were: must fail.") var pretend = false

    func validate() throws {
        guard self.minutes > 0 else { throw ValidationError("--minutes has to be more than zero") }
        guard (1...9).contains(self.nodes) else { throw ValidationError("--nodes has to be from 1 to 9") }
        guard self.clients >= 1 else { throw ValidationError("--clients has to be at least 1") }
    }

    private static func kinds(_ text: String) throws -> Set<Fault.Kind> {
        if text == "none" { return [] }
        return Set(
            try text.split(separator: ",").map { name in
                guard let kind = Fault.Kind(rawValue: String(name)) else {
                    throw ValidationError("there is no fault \(name)")
                }
                return kind
            })
    }

    func run() async throws {
        let names = Fault.Kind.allCases.filter(self.faults.contains).map(\.rawValue).joined(separator: ",")
        let command =
            "torture --minutes \(self.minutes) --seed \(self.seed) --nodes \(self.nodes) --clients \(self.clients) "
            + "--faults \(names.isEmpty ? "none" : names)"
        say(command)
        let directory = FileManager.default.temporaryDirectory.appending(path: "torture-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let report = try await self.untilSignal {
            try await TortureRun(
                settings: .init(
                    duration: .seconds(self.minutes * 60), seed: self.seed, nodes: self.nodes, clients: self.clients,
                    faults: self.faults, isVerbose: self.verbose, pretends: self.pretend), directory: directory
            ).perform()
        }
        say(report.summary)
        if self.keep { say("the nodes' logs are in \(directory.path(percentEncoded: false))") }
        guard report.violations.isEmpty else {
            let file = URL(filePath: self.output).appending(path: "torture-\(self.seed).txt")
            try report.write(to: file)
            say("FAILED, the history is in \(file.path(percentEncoded: false))\nreplay: \(command)")
            if !self.keep { try? FileManager.default.removeItem(at: directory) }
            throw ExitCode.failure
        }
        if !self.keep { try? FileManager.default.removeItem(at: directory) }
        say("Everything was as it should be.")
    }

    /// Runs until a signal asks to end. The nodes are ended all the same.
    private func untilSignal(_ body: @escaping @Sendable () async throws -> Report) async throws -> Report {
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm)
        return try await withThrowingTaskGroup(of: Report?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                for await _ in signals { return nil }
                return nil
            }
            guard let report = try await group.next(), let report else {
                group.cancelAll()
                _ = try? await group.next()
                throw ExitCode.failure
            }
            group.cancelAll()
            return report
        }
    }
}
