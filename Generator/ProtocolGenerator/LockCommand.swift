import ArgumentParser
import Foundation

/// `lock`: records the schema as released.
struct LockCommand: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "lock", abstract: "Records the schema as released.")

    @OptionGroup var input: SchemaOptions

    @Option(help: "The lock to write.", completion: .file())
    var lock: String

    func run() throws {
        try writeIfChanged(Lock.text(of: try self.input.schema()), to: URL(filePath: self.lock))
    }
}
