import ArgumentParser
import Foundation

/// `generate`: writes the Swift sources.
struct GenerateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "generate", abstract: "Writes the Swift types and their two encodings.")

    @OptionGroup var input: SchemaOptions

    @Option(name: .customLong("swift-output"), help: "Folder for the Swift sources.", completion: .directory)
    var swiftOutput: String

    func run() throws {
        let schema = try self.input.schema()
        print(schema.messages.count)
    }
}

/// Where a command finds the schema.
struct SchemaOptions: ParsableArguments {
    @Option(
        name: .customLong("descriptor-set"),
        help: "What protoc wrote with --descriptor_set_out, --include_imports and --include_source_info.",
        completion: .file())
    var descriptorSet: String

    @Option(
        name: .customLong("schema-root"), help: "Folder of the schema, as errors shall name it.", completion: .directory
    )
    var schemaRoot: String

    /// Reads the schema. Its mistakes go to standard error, one per line, and end the program.
    func schema() throws -> Schema {
        let bytes = try Array(Data(contentsOf: URL(fileURLWithPath: self.descriptorSet)))
        do {
            return try Schema(descriptorSet: bytes, root: self.schemaRoot)
        } catch let errors as SchemaErrors {
            FileHandle.standardError.write(Data((errors.description + "\n").utf8))
            throw ExitCode.failure
        }
    }
}
