import Foundation
import Testing

@testable import ProtocolGenerator

/// A copy of the schema, in a folder of its own, that a test edits.
final class SchemaCopy {
    let root: URL
    var schemaFolder: URL { self.root.appending(path: "schema") }

    init() throws {
        self.root = FileManager.default.temporaryDirectory.appending(path: "schema-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.root, withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: Checkout.root.appending(path: "schema"), to: self.schemaFolder)
    }

    deinit { try? FileManager.default.removeItem(at: self.root) }

    /// For `defer`, in tests that use paths in the folder: it goes with the last reference to the copy.
    func keep() {}

    func text(of file: String) throws -> String {
        try String(contentsOf: self.schemaFolder.appending(path: "dqlite/\(file)"), encoding: .utf8)
    }

    /// Replaces what occurs exactly once in a file of the schema.
    func replace(_ old: String, with new: String, in file: String) throws {
        let text = try self.text(of: file)
        let parts = text.components(separatedBy: old)
        try #require(parts.count == 2, "\(file) has “\(old)” \(parts.count - 1) times")
        let url = self.schemaFolder.appending(path: "dqlite/\(file)")
        try parts.joined(separator: new).write(to: url, atomically: true, encoding: .utf8)
    }

    /// Where `token` stands in the only line that contains `line`.
    func position(of token: String, in line: String, of file: String) throws -> SourcePosition {
        let lines = try self.text(of: file).components(separatedBy: "\n")
        let indices = lines.indices.filter { lines[$0].contains(line) }
        let index = try #require(indices.count == 1 ? indices[0] : nil, "\(file) has “\(line)” \(indices.count) times")
        let column = try #require(lines[index].components(separatedBy: token).first).utf8.count + 1
        return SourcePosition(file: "schema/dqlite/\(file)", line: index + 1, column: column)
    }

    /// The schema as it is now.
    func schema() throws -> Schema {
        let set = self.root.appending(path: "schema.binpb")
        let files = try FileManager.default.contentsOfDirectory(atPath: self.schemaFolder.path + "/dqlite")
        let result = try Checkout.run(
            [
                "protoc", "-I", "schema", "--include_imports", "--include_source_info",
                "--descriptor_set_out=\(set.path)",
            ]
                + files.filter { $0.hasSuffix(".proto") }.sorted().map { "schema/dqlite/\($0)" }, in: self.root)
        try #require(result.status == 0, "\(result.output)")
        return try Schema(descriptorSet: Array(Data(contentsOf: set)), root: "schema")
    }
}

/// The checkout that the tests were built from, and what was built in it.
enum Checkout {
    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    /// The generator that was built with the tests: it lies beside them, so that no test has to build. (A build within
    /// `swift test` would wait for itself.)
    static func generator() throws -> URL {
        let candidates =
            [Bundle.main.bundleURL, URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent()]
            + Bundle.allBundles.map { $0.bundleURL.deletingLastPathComponent() }
            + [Self.root.appending(path: ".build/debug")]
        let found = candidates.map { $0.appending(path: "ProtocolGenerator") }.first {
            FileManager.default.isExecutableFile(atPath: $0.path)
        }
        return try #require(found, "ProtocolGenerator is not built: swift build --product ProtocolGenerator")
    }

    /// Runs a program to its end and returns what it wrote to both outputs.
    static func run(_ command: [String], in folder: URL) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = command
        process.currentDirectoryURL = folder
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let output = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: output, as: UTF8.self))
    }
}
