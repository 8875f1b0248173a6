import ArgumentParser
import Foundation

/// `check`: compares the schema with what was released.
struct CompatibilityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Refuses a schema that breaks what was released.",
        discussion: """
            Errors are what released peers would misread. Warnings are what only breaks the source of code that uses the generated \
            types, and what was removed and reserved. Notes are what is new.

            A field is known by its number, a message by its name. A field of another name and the same shape counts as renamed, \
            unless the old name lives on. So does a message that has the native number, the place or the shape of one that is gone.
            """)

    @OptionGroup var input: SchemaOptions

    @Option(help: "What was released.", completion: .file())
    var lock: String

    @Flag(help: "Refuse also what only breaks source, and what was removed and reserved.")
    var strict = false

    func run() throws {
        let schema = try self.input.schema()
        guard let text = try? String(contentsOfFile: self.lock, encoding: .utf8) else {
            FileHandle.standardError.write(
                Data("\(self.lock):1:1: error: cannot be read: scripts/check-schema --record writes it\n".utf8))
            throw ExitCode.failure
        }
        let findings: [Compatibility.Finding]
        do {
            findings = Compatibility.findings(lock: try LockReader.schema(from: text, name: self.lock), schema: schema)
        } catch {
            FileHandle.standardError.write(Data((error.description + "\n").utf8))
            throw ExitCode.failure
        }
        let report = findings.map { finding in
            let kind =
                switch finding.severity {
                case .breaksWire: "error"
                case .breaksSource, .removal: self.strict ? "error" : "warning"
                case .addition: "note"
                }
            return "\(finding.position): \(kind): \(finding.message)\n"
        }
        FileHandle.standardError.write(Data(report.joined().utf8))

        let errors = findings.count { $0.severity == .breaksWire || self.strict && $0.severity != .addition }
        guard errors == 0 else {
            FileHandle.standardError.write(Data("\(self.lock): the schema breaks what was released\n".utf8))
            throw ExitCode.failure
        }
        if Lock.text(of: schema) == text {
            print("The schema is what \(self.lock) holds.")
        } else {
            print("The schema keeps what \(self.lock) holds. What is new is not in it: record it with the release.")
        }
    }
}
