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
        try OutputFolder(path: self.swiftOutput).replace(with: SwiftGenerator(schema: schema).files(), ending: ".swift")
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

/// A folder of generated files and nothing else.
struct OutputFolder {
    let path: String

    /// Writes the files that are new or different, and removes those that are no longer made.
    func replace(with files: [GeneratedFile], ending: String) throws {
        let manager = FileManager.default
        let root = URL(fileURLWithPath: self.path)
        try manager.createDirectory(at: root, withIntermediateDirectories: true)
        let paths = Set(files.map(\.path))
        for path in try manager.subpathsOfDirectory(atPath: self.path)
        where path.hasSuffix(ending) && !paths.contains(path) {
            try manager.removeItem(at: root.appendingPathComponent(path))
        }
        for file in files {
            let url = root.appendingPathComponent(file.path)
            let data = Data(file.text.utf8)
            if (try? Data(contentsOf: url)) == data { continue }
            try manager.createDirectory(at: url.deletingLastPathComponent(), withIntermediateDirectories: true)
            try data.write(to: url)
        }
    }
}
