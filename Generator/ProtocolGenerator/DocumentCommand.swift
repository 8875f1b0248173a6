import ArgumentParser
import Foundation

/// `document`: writes the reference of the protocol.
struct DocumentCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "document", abstract: "Writes the reference of every message and byte.")

    @OptionGroup var input: SchemaOptions

    @Option(help: "The prose, with a place for each table.", completion: .file())
    var template: String

    @Option(help: "The document to write.", completion: .file())
    var output: String

    func run() throws {
        let document = Document(schema: try self.input.schema(), forms: try self.input.forms())
        let template = try String(contentsOfFile: self.template, encoding: .utf8)
        do {
            try writeIfChanged(document.text(template: template, name: self.template), to: URL(filePath: self.output))
        } catch let errors as SchemaErrors {
            FileHandle.standardError.write(Data((errors.description + "\n").utf8))
            throw ExitCode.failure
        }
    }
}

extension SchemaOptions {
    /// The forms of the dqlite encoding with their comments: the model holds only what is of the schema, not what is about it.
    func forms() throws -> [EnumerationCase] {
        let bytes = try Array(Data(contentsOf: URL(filePath: self.descriptorSet)))
        return try DescriptorSet(bytes).forms
    }
}

extension DescriptorSet {
    /// The values of the enumeration Form, wherever it is.
    var forms: [EnumerationCase] {
        for file in self.files {
            guard let index = file.enumerations.firstIndex(where: { $0.name == "Form" }) else { continue }
            return file.enumerations[index].cases.enumerated().map { place, value in
                let comment = file.locations[[5, index, 2, place]]?.leadingComment ?? ""
                let lines = comment.split(separator: "\n").map { $0.drop { $0 == " " } }
                return EnumerationCase(name: value.name, number: value.number, comment: lines.joined(separator: "\n"))
            }
        }
        return []
    }
}
