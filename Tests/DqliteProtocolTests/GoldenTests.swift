import DqliteProtocol
import DqliteWire
import Foundation
import ProtobufOracle
import TestSupport
import Testing

/// The bytes of every message, in each encoding and revision, as they were when it was first released: they are decoded for ever.
///
/// A file says what the message is (as JSON, by swift-protobuf) and its bytes. With DQLITE_RECORD=1 in the environment files are
/// written for messages that have none; to record one anew, delete it.
@Suite struct GoldenTests {
    static let records = ProcessInfo.processInfo.environment["DQLITE_RECORD"] == "1"
    static let folder = Fixtures.directory.appending(path: "golden")

    @Test(arguments: MessageCase.all)
    func protobufIsWhatItWas(_ message: MessageCase) throws {
        let type = try #require(message.protobufType)
        let bytes = try self.golden(message, "protobuf") {
            var random = SeededRandom(name: message.name)
            return try MessageFactory().bytes(of: message.name, .full, using: &random)
        }
        let decoded = try type.decode(protobuf: bytes)
        #expect(try message.oracle.throughSwiftProtobuf(decoded.protobufBytes()) == bytes)
    }

    @Test(arguments: MessageCase.all.filter { $0.dqliteType != nil })
    func dqliteIsWhatItWas(_ message: MessageCase) throws {
        let type = try #require(message.dqliteType)
        for revision in message.revisions {
            let bytes = try self.golden(message, "dqlite-\(revision)") {
                var random = SeededRandom(name: message.name)
                let protobuf = try MessageFactory().bytes(
                    of: message.name, .fullNative(revision: revision), using: &random)
                let value = try #require(message.protobufType).decode(protobuf: protobuf)
                return try #require(value as? any DqliteEncodable).dqliteBytes(revision: revision)
            }
            let decoded = try type.decode(dqlite: bytes, revision: revision)
            #expect(try decoded.dqliteBytes(revision: revision) == bytes)
        }
    }

    /// A field that is added to a message which has its file would never be recorded. (What the envelopes' oneofs and other
    /// choices hold are messages with files of their own.)
    @Test(arguments: MessageCase.all)
    func everyFieldIsInItsFile(_ message: MessageCase) throws {
        let bytes = try Self.bytes(of: message, "protobuf")
        var seen: Set<Int32> = []
        try bytes.withUnsafeBytes { (memory) throws in
            var reader = ProtobufReader(memory, message: "")
            while let key = try reader.nextKey() {
                seen.insert(Int32(key >> 3))
                try reader.skip(key)
            }
        }
        let missing = try MessageFactory().numbers(of: message.name, oneofs: false).subtracting(seen)
        #expect(
            missing.isEmpty, "\(message.name) has fields that its file lacks: delete it before the release, and record")
    }

    /// A file of a message that is no more, or of a revision that nobody reads any longer, would prove nothing.
    @Test(.disabled(if: records, "files are being written"))
    func everyFileBelongsToAMessage() throws {
        let expected = MessageCase.all.flatMap { message in
            ["\(message.name).protobuf.txt"]
                + (message.dqliteType == nil ? [] : message.revisions.map { "\(message.name).dqlite-\($0).txt" })
        }
        let files = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path())
        #expect(Set(files) == Set(expected))
    }

    /// The bytes in the file, of which is asserted that they mean what the file says.
    private func golden(_ message: MessageCase, _ encoding: String, _ make: () throws -> [UInt8]) throws -> [UInt8] {
        let file = Self.folder.appending(path: "\(message.name).\(encoding).txt")
        if Self.records, !FileManager.default.fileExists(atPath: file.path()) {
            let bytes = try make()
            let text = "\(try self.json(message, encoding, bytes))\n\n\(Fixtures.hex(bytes))\n"
            try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
            try text.write(to: file, atomically: true, encoding: .utf8)
        }
        let (json, bytes) = try Self.read(message, encoding)
        #expect(try self.json(message, encoding, bytes) == json, "\(file.lastPathComponent)")
        return bytes
    }

    /// The recorded bytes of a message.
    static func bytes(of message: MessageCase, _ encoding: String) throws -> [UInt8] {
        try Self.read(message, encoding).bytes
    }

    private static func read(_ message: MessageCase, _ encoding: String) throws -> (json: String, bytes: [UInt8]) {
        let file = Self.folder.appending(path: "\(message.name).\(encoding).txt")
        let parts = try String(contentsOf: file, encoding: .utf8).split(separator: "\n\n", maxSplits: 1)
        return (String(parts[0]), Fixtures.bytes(hex: parts.count > 1 ? parts[1] : ""))
    }

    private func json(_ message: MessageCase, _ encoding: String, _ bytes: [UInt8]) throws -> String {
        guard encoding != "protobuf" else { return try message.oracle.json(bytes) }
        let revision = UInt8(encoding.dropFirst("dqlite-".count))!
        let decoded = try #require(message.dqliteType).decode(dqlite: bytes, revision: revision)
        return try message.oracle.json(try #require(decoded as? any ProtobufEncodable).protobufBytes())
    }
}
