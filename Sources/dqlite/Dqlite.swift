import ArgumentParser

/// The command line tool.
@main
struct Dqlite: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dqlite", abstract: "SQLite as a highly available database.",
        subcommands: [NodeCommand.self, RecoverCommand.self])
}
