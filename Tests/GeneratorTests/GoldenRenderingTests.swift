import Foundation
import FoundationEssentials
import Testing

@testable import ProtocolGenerator

/// What the generator makes of a schema is what was reviewed. With DQLITE_RECORD=1 in the environment it is recorded anew.
@Suite struct GoldenRenderingTests {
    static let folder = SchemaFixture.repository.appending(path: "Tests/GoldenMessages")
    static let output = folder.appending(path: "Generated")

    static func files() throws -> [GeneratedFile] {
        let set = try SchemaFixture.descriptorSet(of: ["dqlite/golden.proto"], in: folder.appending(path: "schema"))
        return SwiftGenerator(schema: try Schema(descriptorSet: set, root: "schema")).files()
    }

    @Test func outputIsWhatWasReviewed() throws {
        let files = try Self.files()
        if ProcessInfo.processInfo.environment["DQLITE_RECORD"] == "1" {
            try OutputFolder(path: Self.output.path()).replace(with: files, ending: ".swift")
        }
        for file in files {
            let golden = try String(contentsOf: Self.output.appending(path: file.path), encoding: .utf8)
            #expect(file.text == golden, "\(file.path) has changed")
        }
        let committed = try FileManager.default.subpathsOfDirectory(atPath: Self.output.path())
        #expect(Set(committed.filter { $0.hasSuffix(".swift") }) == Set(files.map(\.path)))
    }

    @Test func outputIsStable() throws {
        #expect(try Self.files() == Self.files())
    }

    @Test func linesFit() throws {
        for file in try Self.files() {
            for line in file.text.split(separator: "\n") { #expect(line.count <= 120, "\(file.path): \(line)") }
        }
    }

    @Test func filesAreReplacedAsAWhole() throws {
        let manager = FileManager.default
        let folder = manager.temporaryDirectory.appending(path: "output-\(UUID().uuidString)")
        defer { try? manager.removeItem(at: folder) }
        let output = OutputFolder(path: folder.path())
        try output.replace(with: [.init(path: "A/Old.swift", text: "old")], ending: ".swift")
        try output.replace(with: [.init(path: "A/New.swift", text: "new")], ending: ".swift")
        #expect(try manager.subpathsOfDirectory(atPath: folder.path()).sorted() == ["A", "A/New.swift"])
    }
}
