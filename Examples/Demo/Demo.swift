import ArgumentParser
import Foundation
import UnixSignals

/// A cluster of three nodes that die and come back, and what becomes of the rows that are inserted meanwhile.
@main
struct Demo: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "A cluster whose nodes die and come back, and loses nothing.",
        discussion: """
            Starts three nodes, each in a process of its own, each with a writer that inserts rows into one table. Every one of them \
            dies after a random time, and comes back. At the end it is checked that each row that was acknowledged is on \
            every node, once, and that all nodes have the same bytes.
            """,
        subcommands: [ShowCommand.self, MemberCommand.self], defaultSubcommand: ShowCommand.self)
}

struct ShowCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(commandName: "show", abstract: "Show it (the default).")

    @Option(help: "How long nodes die and come back.") var seconds = 40

    func validate() throws {
        guard (1...3600).contains(self.seconds) else { throw ValidationError("--seconds is from 1 to 3600") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        let directory = FileManager.default.temporaryDirectory.appending(path: "dqlite-demo-\(getpid())")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        let seconds = self.seconds
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let end = try await withThrowingTaskGroup(of: Play.End.self) { group in
            group.addTask { await Play.run(for: .seconds(seconds), in: directory) }
            group.addTask {
                for await _ in signals { return .interrupted }
                return .interrupted
            }
            let first = try await group.next()
            // The play ends its processes also when it is cancelled.
            group.cancelAll()
            try await group.waitForAll()
            return first
        }
        switch end {
        case .right: try? FileManager.default.removeItem(at: directory)
        case .wrong:
            print("What the nodes stored and logged is kept in \(directory.path(percentEncoded: false))")
            throw ExitCode.failure
        case .interrupted, nil:
            try? FileManager.default.removeItem(at: directory)
            print("Interrupted: the nodes were ended.")
            throw ExitCode(130)
        }
    }
}
