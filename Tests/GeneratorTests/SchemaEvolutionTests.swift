import Foundation
import Testing

@testable import ProtocolGenerator

/// A change of the protocol, as CONTRIBUTING.md tells it, on a copy of the schema: edit, check, generate, use.
@Suite struct SchemaEvolutionTests {
    /// Runs scripts/check-schema on a copy.
    private func check(_ copy: SchemaCopy, _ options: String...) throws -> (status: Int32, output: String) {
        try Checkout.run(
            ["scripts/check-schema", "--root", copy.root.path, "--generator", Checkout.generator().path] + options,
            in: Checkout.root)
    }

    private func recordedCopy() throws -> SchemaCopy {
        let copy = try SchemaCopy()
        #expect(try self.check(copy, "--record").status == 0)
        return copy
    }

    /// The schema with a native field, a field of the protobuf encoding only, and a request.
    private func grow(_ copy: SchemaCopy) throws {
        try copy.replace("{ response: 2 };", with: "{ response: 2, revision: 1 };", in: "client.proto")
        let timeout = "  uint64 heartbeat_timeout = 1 [(schema.native) = { form: WORD }];\n"
        try copy.replace(
            timeout,
            with: timeout + "  // Version of the node.\n"
                + "  string version = 2 [(schema.native) = { form: TEXT, since: 1 }];\n",
            in: "client.proto")
        try copy.replace(
            "  WriteOutcome outcome = 3;\n",
            with:
                "  WriteOutcome outcome = 3;\n  // Where in the SQL it failed, in bytes from its beginning, plus one.\n"
                + "  uint32 sql_offset = 5;\n",
            in: "client.proto")
        try copy.replace(
            "// The request failed.\n",
            with: """
                // Asks for a word to come back.
                message EchoRequest {
                  option (schema.native_message) = { request: 20, answers: "EmptyResponse" };

                  // The word.
                  string word = 1 [(schema.native) = { form: TEXT }];
                }

                // The request failed.

                """,
            in: "client.proto")
        try copy.replace(
            "    WeightRequest weight = 39;\n", with: "    WeightRequest weight = 39;\n    EchoRequest echo = 40;\n",
            in: "envelope.proto")
    }

    @Test func theReleasedSchemaIsKept() throws {
        let copy = try SchemaCopy()
        let result = try self.check(copy)
        #expect(result.status == 0, "\(result.output)")
        #expect(!result.output.contains("warning:"), "\(result.output)")
    }

    @Test func additionsPassAndAreSaid() throws {
        let copy = try self.recordedCopy()
        #expect(try self.check(copy).output == "The schema is what schema/schema.lock holds.\n")
        try self.grow(copy)
        let result = try self.check(copy)
        #expect(result.status == 0, "\(result.output)")
        for (line, token, note) in [
            ("string version = 2", "version", "field 2 of WelcomeResponse, `version`, is new"),
            ("uint32 sql_offset = 5", "sql_offset", "field 5 of FailureResponse, `sql_offset`, is new"),
            ("message EchoRequest", "EchoRequest", "EchoRequest, request 20, is new"),
        ] {
            let position = try copy.position(of: token, in: line, of: "client.proto")
            #expect(result.output.contains("\(position): note: \(note)\n"), "\(result.output)")
        }
        #expect(result.output.contains("What is new is not in it"))
        #expect(try self.check(copy, "--record").status == 0)
        #expect(try self.check(copy).output == "The schema is what schema/schema.lock holds.\n")
    }

    @Test func whatBreaksTheWireIsRefused() throws {
        let copy = try self.recordedCopy()
        try copy.replace(
            "uint64 flags = 2 [(schema.native) = { form: WORD }];",
            with: "uint32 flags = 2 [(schema.native) = { form: HALF, padding: 4 }];", in: "client.proto")
        let result = try self.check(copy)
        #expect(result.status == 1)
        let position = try copy.position(of: "uint32", in: "uint32 flags = 2", of: "client.proto")
        #expect(
            result.output.contains(
                "\(position): error: field 2 of OpenRequest was `uint64 flags` (WORD) in the lock, "
                    + "is `uint32 flags` (HALF, padding 4): the type changed\n"), "\(result.output)")
    }

    @Test func aRenameIsAWarningUnlessStrict() throws {
        let copy = try self.recordedCopy()
        try copy.replace("string vfs = 3", with: "string file_system = 3", in: "client.proto")
        let position = try copy.position(of: "file_system", in: "string file_system = 3", of: "client.proto")
        let lenient = try self.check(copy)
        #expect(lenient.status == 0)
        #expect(lenient.output.contains("\(position): warning: field 3 of OpenRequest"), "\(lenient.output)")
        let strict = try self.check(copy, "--strict")
        #expect(strict.status == 1)
        #expect(strict.output.contains("\(position): error: field 3 of OpenRequest"), "\(strict.output)")
    }

    /// A rename can hide that a number is used again, and what is removed may be needed: review sees both in the lock.
    @Test func whatLandsIsCheckedStrictly() throws {
        let result = try Checkout.run(["make", "-n", "check-schema"], in: Checkout.root)
        #expect(result.output.contains("scripts/check-schema --strict"), "\(result.output)")
        let copy = try self.recordedCopy()
        try copy.replace("  uint64 timeout_ms = 3;", with: "  reserved 3;", in: "envelope.proto")
        try copy.replace(
            "  // Time after which the client no longer wants the answer, in milliseconds from the arrival of the request. Zero: no limit.\n",
            with: "", in: "envelope.proto")
        let lenient = try self.check(copy)
        #expect(lenient.status == 0)
        #expect(lenient.output.contains("warning: field 3 of Request was `uint64 timeout_ms`"), "\(lenient.output)")
        #expect(try self.check(copy, "--strict").status == 1)
    }

    @Test func aMistakeIsReportedWithItsPlace() throws {
        let copy = try SchemaCopy()
        try copy.replace(
            "string vfs = 3 [(schema.native) = { form: TEXT }];",
            with: "string vfs = 3 [(schema.native) = { form: WORD }];",
            in: "client.proto")
        let result = try Checkout.generate(in: copy)
        #expect(result.status != 0)
        #expect(
            result.output.contains(
                "\(try copy.position(of: "(schema.native)", in: "string vfs = 3", of: "client.proto")): error: "))
    }

    @Test func aChangeReachesSwiftCAndTheReference() throws {
        let copy = try SchemaCopy()
        defer { copy.keep() }
        try self.grow(copy)
        let result = try Checkout.generate(in: copy)
        try #require(result.status == 0, "\(result.output)")

        let reference = try String(contentsOf: copy.root.appending(path: "docs/protocol.md"), encoding: .utf8)
        #expect(reference.contains("| 20 | [EchoRequest](#echorequest) | 0 | [EmptyResponse](#emptyresponse) |"))
        #expect(
            reference.contains("| 8 | `TEXT` | `version` | 2, `string` | Version of the node. *Since revision 1.* |"))

        try SchemaEvolutionProgram(root: copy.root).buildAndRun()
    }
}

/// The regenerated modules, compiled without SwiftPM (a build within `swift test` would wait for itself), and a program that
/// uses what is new in them.
private struct SchemaEvolutionProgram {
    let root: URL

    private static let swiftOptions =
        ["-swift-version", "6", "-wmo", "-Onone"]
        + ["ExistentialAny", "InternalImportsByDefault", "MemberImportVisibility", "NonisolatedNonsendingByDefault"]
        .flatMap { ["-enable-upcoming-feature", $0] }

    func buildAndRun() throws {
        try self.module("DqliteWire", sources: [Checkout.root.appending(path: "Sources/DqliteWire")])
        // What is written by hand comes from the checkout, what is generated from the copy.
        let written = Checkout.root.appending(path: "Sources/DqliteProtocol")
        let folders = try FileManager.default.contentsOfDirectory(at: written, includingPropertiesForKeys: nil)
            .filter { $0.lastPathComponent != "Generated" }
        try self.module(
            "DqliteProtocol", sources: folders + [self.root.appending(path: "Sources/DqliteProtocol/Generated")])

        let bindings = self.root.appending(path: "Sources/CDqliteProtocol")
        let include = bindings.appending(path: "include").path
        let sources = try Self.files(in: [bindings], ending: ".c")
        try self.run(["clang", "-Wall", "-Werror", "-c", "-I", include] + sources)

        let main = Checkout.root.appending(path: "Tests/GeneratorTests/SchemaEvolutionProgram.txt")
        try FileManager.default.copyItem(at: main, to: self.root.appending(path: "main.swift"))
        let objects = try Self.files(in: [self.root], ending: ".o")
        try self.run(
            ["swiftc"] + Self.swiftOptions + ["-I", ".", "-I", include, "main.swift"] + objects
                + ["-lprotobuf-c", "-o", "program"])
        try self.run(["./program"])
    }

    private func module(_ name: String, sources: [URL]) throws {
        try self.run(
            ["swiftc"] + Self.swiftOptions + ["-parse-as-library", "-module-name", name, "-I", "."]
                + ["-emit-module", "-emit-module-path", "\(name).swiftmodule", "-c", "-o", "\(name).o"]
                + Self.files(in: sources, ending: ".swift"))
    }

    private func run(_ command: [String]) throws {
        let result = try Checkout.run(command, in: self.root)
        try #require(result.status == 0, "\(command.joined(separator: " "))\n\(result.output)")
    }

    /// Files, and those in folders, whose names end so.
    private static func files(in places: [URL], ending: String) throws -> [String] {
        try places.flatMap { place -> [String] in
            var isFolder: ObjCBool = false
            guard FileManager.default.fileExists(atPath: place.path, isDirectory: &isFolder), isFolder.boolValue else {
                return place.path.hasSuffix(ending) ? [place.path] : []
            }
            return try FileManager.default.subpathsOfDirectory(atPath: place.path).filter { $0.hasSuffix(ending) }
                .sorted()
                .map { place.appending(path: $0).path }
        }
    }
}
