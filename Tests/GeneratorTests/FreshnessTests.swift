import Foundation
import Testing

@Suite struct FreshnessTests {
    /// Everything that is made from the schema, below the root.
    static let generated = [
        "Sources/CDqliteProtocol", "Sources/DqliteProtocol/Generated", "docs/protocol.md", "schema/Generated",
    ]

    @Test func whatIsCommittedIsWhatTheSchemaGives() throws {
        let copy = try SchemaCopy()
        defer { copy.keep() }
        let result = try Checkout.generate(in: copy)
        try #require(result.status == 0, "\(result.output)")
        var stale: [String] = []
        for path in Self.generated {
            let made = try Self.files(below: copy.root.appending(path: path))
            let committed = try Self.files(below: Checkout.root.appending(path: path))
            for file in Set(made.keys).union(committed.keys) where made[file] != committed[file] {
                stale.append(file.isEmpty ? path : "\(path)/\(file)")
            }
        }
        #expect(stale.isEmpty, "run `make generate`: stale are \(stale.sorted().joined(separator: ", "))")
    }

    /// What tests compare our code with comes from the schema too. Its descriptors stand for all of it: the rest needs a
    /// compiler that is not built here.
    @Test func theOracleIsOfThisSchema() throws {
        let copy = try SchemaCopy()
        let files = ["client", "command", "envelope", "raft", "storage", "value"].map { "schema/dqlite/\($0).proto" }
        let result = try Checkout.run(
            ["protoc", "-I", "schema", "--include_imports", "--descriptor_set_out=oracle"] + files, in: copy.root)
        try #require(result.status == 0, "\(result.output)")
        let made = try Data(contentsOf: copy.root.appending(path: "oracle"))
        let path = "Tests/ProtobufOracle/Generated/schema.descriptors"
        let isFresh = made == (try Data(contentsOf: Checkout.root.appending(path: path)))
        #expect(isFresh, "run `make generate`: stale is \(path)")
    }

    /// Nothing of the machine that made them is in the files, so that every machine makes the same.
    @Test func noPathOfAMachineIsInWhatIsGenerated() throws {
        let copy = try SchemaCopy()
        defer { copy.keep() }
        let result = try Checkout.generate(in: copy)
        try #require(result.status == 0, "\(result.output)")
        let places = [copy.root.path, Checkout.root.path, NSTemporaryDirectory()].map { Data($0.utf8) }
        for path in Self.generated {
            for (file, content) in try Self.files(below: copy.root.appending(path: path)) {
                for place in places { #expect(content.range(of: place) == nil, "\(path)/\(file)") }
            }
        }
    }

    /// Content of a file, or of the files of a folder by their path in it.
    private static func files(below url: URL) throws -> [String: Data] {
        var isFolder: ObjCBool = false
        guard FileManager.default.fileExists(atPath: url.path, isDirectory: &isFolder) else { return [:] }
        guard isFolder.boolValue else { return ["": try Data(contentsOf: url)] }
        var files: [String: Data] = [:]
        for path in try FileManager.default.subpathsOfDirectory(atPath: url.path) {
            let file = url.appending(path: path)
            guard FileManager.default.fileExists(atPath: file.path, isDirectory: &isFolder), !isFolder.boolValue else {
                continue
            }
            files[path] = try Data(contentsOf: file)
        }
        return files
    }
}

extension Checkout {
    /// Generates everything from a copy of the schema, into the folder of the copy.
    static func generate(in copy: SchemaCopy) throws -> (status: Int32, output: String) {
        for folder in ["Sources/DqliteProtocol", "docs"] {
            try FileManager.default.createDirectory(
                at: copy.root.appending(path: folder), withIntermediateDirectories: true)
        }
        return try Self.run(
            ["scripts/generate", "--root", copy.root.path, "--generator", Self.generator().path], in: Self.root)
    }
}
