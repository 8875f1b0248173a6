import ArgumentParser
import Foundation

/// `plain`: writes the schema for other languages.
struct PlainSchemaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plain",
        abstract: "Writes the schema without our options, for the protobuf compilers of other languages.")

    @OptionGroup var input: SchemaOptions

    @Option(help: "Folder for the .proto files; others are removed from it.", completion: .directory)
    var output: String

    func run() throws {
        let schema = try self.input.schema()
        try OutputFolder(path: self.output).replace(with: PlainSchema(schema: schema).files, ending: ".proto")
    }
}
