import ArgumentParser
import Foundation

/// `plain`: writes the schema for other languages.
struct PlainSchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plain",
        abstract: "Writes the schema without our options, for the protobuf compilers of other languages.")

    @OptionGroup var input: SchemaOptions

    @Option(
        help: "Folder for the .proto files. Files that the schema no longer has are removed from it.",
        completion: .directory)
    var output: String

    func run() throws {
        let files = PlainSchema(schema: try self.input.schema()).files
        let folder = URL(filePath: self.output)
        for (path, text) in files {
            let file = folder.appending(path: path)
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try writeIfChanged(text, to: file)
        }
        let kept = Set(files.map(\.path))
        guard let found = FileManager.default.enumerator(atPath: folder.path) else { return }
        for case let path as String in found where path.hasSuffix(".proto") && !kept.contains(path) {
            try FileManager.default.removeItem(at: folder.appending(path: path))
        }
    }
}

/// Writes a file unless it holds the text already, so that builds do not see it as changed.
func writeIfChanged(_ text: String, to file: URL) throws {
    if let old = try? Data(contentsOf: file), old == Data(text.utf8) { return }
    try Data(text.utf8).write(to: file)
}
