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

/// Writes a file unless it holds the text already, so that builds do not see it as changed.
func writeIfChanged(_ text: String, to file: URL) throws {
    if let old = try? Data(contentsOf: file), old == Data(text.utf8) { return }
    try Data(text.utf8).write(to: file)
}
