import ArgumentParser

/// The program.
@main
struct GeneratorCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ProtocolGenerator",
        abstract: "Makes the protocol's code and documents from its schema.",
        subcommands: [
            GenerateCommand.self, PlainSchemaCommand.self, LockCommand.self, CompatibilityCommand.self,
            DocumentCommand.self,
        ])
}
