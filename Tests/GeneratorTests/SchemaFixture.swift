import Foundation
import FoundationEssentials
import Testing

@testable import ProtocolGenerator

/// A schema that a test writes, read as `scripts/generate` reads the real one: through protoc.
struct SchemaFixture {
    static let repository = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// Declarations that stand below the head of the file.
    let declarations: String
    /// What stands above `package`.
    var head = "// A file.\nsyntax = \"proto3\";"
    var imports = ["dqlite/options.proto"]

    init(_ declarations: String) { self.declarations = declarations }

    /// The whole file. The declarations begin at line 6.
    var text: String {
        let imports = self.imports.map { "import \"\($0)\";" }.joined(separator: "\n")
        return "\(self.head)\npackage dqlite;\n\(imports)\n\n\(self.declarations)\n"
    }

    /// The schema.
    func schema() throws -> Schema { try Schema(descriptorSet: self.descriptorSet(), root: "schema") }

    /// The mistakes in the schema, as they are printed.
    func errors() throws -> [String] {
        do {
            _ = try self.schema()
            return []
        } catch let errors as SchemaErrors {
            return errors.description.split(separator: "\n").map(String.init)
        }
    }

    /// What protoc makes of the file, which is `dqlite/test.proto`.
    func descriptorSet() throws -> [UInt8] {
        let manager = FileManager.default
        let folder = manager.temporaryDirectory.appending(path: "schema-\(UUID().uuidString)")
        try manager.createDirectory(at: folder.appending(path: "dqlite"), withIntermediateDirectories: true)
        defer { try? manager.removeItem(at: folder) }
        try self.text.write(to: folder.appending(path: "dqlite/test.proto"), atomically: true, encoding: .utf8)
        return try Self.descriptorSet(of: ["dqlite/test.proto"], in: folder)
    }

    /// What protoc makes of the files in the folder. The options are the repository's own.
    static func descriptorSet(of files: [String], in folder: URL) throws -> [UInt8] {
        let output = FileManager.default.temporaryDirectory.appending(path: "\(UUID().uuidString).pb")
        defer { try? FileManager.default.removeItem(at: output) }
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments =
            ["protoc", "-I", folder.path(), "-I", Self.repository.appending(path: "schema").path()]
            + ["--include_imports", "--include_source_info", "--descriptor_set_out=\(output.path())"] + files
        let errors = Pipe()
        process.standardError = errors
        try process.run()
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        try #require(process.terminationStatus == 0, "protoc: \(text)")
        return Array(try Data(contentsOf: output))
    }
}
