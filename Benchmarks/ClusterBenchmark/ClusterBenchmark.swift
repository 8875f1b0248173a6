import ArgumentParser

/// Clusters of ours and of C dqlite, beside each other.
@main
struct ClusterBenchmark: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cluster-benchmark", abstract: "What a cluster does in a second, and what it needs for it.",
        subcommands: [CompareCommand.self, CatchUpCommand.self], defaultSubcommand: CompareCommand.self)
}
