import DqliteFuzzing
import DqliteProtocol
import DqliteWire
import Foundation
import ProtobufOracle
import TestSupport
import Testing

/// Random messages, compared with two implementations of protobuf that are not ours.
@Suite struct OracleTests {
    static let rounds = 300

    /// A message that is in the schema but not here would not be tested.
    @Test func knowsEveryMessage() throws {
        let folder = Fixtures.repository.appending(path: "schema/dqlite")
        var names: Set<String> = []
        for file in try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
        where file.pathExtension == "proto" && file.lastPathComponent != "options.proto" {
            for line in try String(contentsOf: file, encoding: .utf8).split(separator: "\n")
            where line.hasPrefix("message ") {
                names.insert(String(line.split(separator: " ")[1]))
            }
        }
        #expect(Set(MessageCase.all.map(\.name)) == names, "run make generate")
        #expect(Set(try MessageFactory().names) == names, "run make generate")
        #expect(names.count > 50)
    }

    @Test(arguments: MessageCase.all)
    func protobufAgrees(_ message: MessageCase) throws {
        let type = try #require(message.protobufType)
        let factory = try MessageFactory()
        var random = SeededRandom(name: "protobuf \(message.name)")
        for _ in 0..<Self.rounds {
            let bytes = factory.bytes(of: message.name, .random, using: &random)
            // That the oracles agree on the bytes proves that the factory makes what it should.
            try #require(try message.oracle.throughSwiftProtobuf(bytes) == bytes)
            try #require(message.oracle.throughProtobufC(bytes) == bytes)
            // Ours writes what lies in a oneof last, whatever its number: the oracle puts the fields in order.
            let ours = try type.decode(protobuf: bytes).protobufBytes()
            try #require(try message.oracle.throughSwiftProtobuf(ours) == bytes)
        }
    }

    @Test(arguments: MessageCase.all.filter { $0.dqliteType != nil })
    func dqliteEncodingKeepsEveryField(_ message: MessageCase) throws {
        let type = try #require(message.dqliteType)
        let protobufType = try #require(message.protobufType)
        let factory = try MessageFactory()
        var random = SeededRandom(name: "dqlite \(message.name)")
        for revision in message.revisions {
            for round in 0..<Self.rounds {
                // Only what this encoding carries in this revision: then nothing may be lost.
                let content: MessageFactory.Content =
                    round == 0 ? .fullNative(revision: revision) : .native(revision: revision)
                let bytes = factory.bytes(of: message.name, content, using: &random)
                let encoded = try dqliteBytes(protobufType, bytes, revision: revision)
                let decoded = try type.decode(dqlite: encoded, revision: revision)
                let again = try #require(decoded as? any ProtobufEncodable).protobufBytes()
                try #require(again == bytes, "revision \(revision)")
                try #require(try decoded.dqliteBytes(revision: revision) == encoded)
            }
        }
    }

    /// A message that occurs twice is merged: cut in two, it is what it was.
    @Test(arguments: ["Request", "Response", "BatchResult"])
    func protobufIsReadInParts(_ name: String) throws {
        let message = try #require(MessageCase.all.first { $0.name == name })
        let type = try #require(message.protobufType)
        let factory = try MessageFactory()
        let numbers = factory.singleMessages(of: name)
        var random = SeededRandom(name: "parts \(name)")
        var cuts = 0
        for _ in 0..<3000 {
            let bytes = factory.bytes(of: name, .random, using: &random)
            var parts: [[UInt8]] = []
            for field in try splitFields(bytes) {
                let (key, content) = try field.withUnsafeBytes { memory in
                    var reader = ProtobufReader(memory, message: "")
                    let key = try #require(try reader.nextKey())
                    return (key, key & 7 == 2 ? [UInt8](try reader.bytes()) : [])
                }
                guard numbers.contains(key >> 3), key & 7 == 2 else {
                    parts.append(field)
                    continue
                }
                let inner = try splitFields(content)
                let place = Int.random(in: 0...inner.count, using: &random)
                if place > 0, place < inner.count { cuts += 1 }
                for half in [inner[..<place], inner[place...]] { parts.append(delimited(key, half.flatMap(\.self))) }
            }
            let split = parts.flatMap(\.self)
            try #require(try message.oracle.throughSwiftProtobuf(split) == bytes)
            let ours = try type.decode(protobuf: split).protobufBytes()
            try #require(try message.oracle.throughSwiftProtobuf(ours) == bytes)
        }
        #expect(cuts > 300)
    }

    /// Fields may come in any order, and beside fields that nobody knows.
    @Test(arguments: MessageCase.all)
    func protobufIsReadInAnyOrder(_ message: MessageCase) throws {
        let type = try #require(message.protobufType)
        let factory = try MessageFactory()
        var random = SeededRandom(name: "order \(message.name)")
        for _ in 0..<Self.rounds {
            let bytes = factory.bytes(of: message.name, .random, using: &random)
            let fields = try splitFields(bytes)
            let canonical = try message.oracle.throughSwiftProtobuf(fields.shuffled(using: &random).flatMap(\.self))
            guard canonical != bytes || fields.count > 1 else { continue }
            var shuffled = fields.shuffled(using: &random)
            let expected = try message.oracle.throughSwiftProtobuf(shuffled.flatMap(\.self))
            // Field 1000 of each wire type, which no message has.
            for unknown: [UInt8] in [[0xc0, 0x3e, 0x96, 0x01], [0xc2, 0x3e, 2, 7, 7], [0xc5, 0x3e, 1, 2, 3, 4]] {
                shuffled.insert(unknown, at: Int.random(in: 0...shuffled.count, using: &random))
            }
            let ours = try type.decode(protobuf: shuffled.flatMap(\.self)).protobufBytes()
            try #require(try message.oracle.throughSwiftProtobuf(ours) == expected)
        }
    }
}

private func dqliteBytes(_ type: any ProtobufEncodable.Type, _ bytes: [UInt8], revision: UInt8) throws -> [UInt8] {
    let message = try type.decode(protobuf: bytes)
    return try #require(message as? any DqliteEncodable).dqliteBytes(revision: revision)
}

/// A field with its key and its length.
private func delimited(_ key: UInt32, _ content: [UInt8]) -> [UInt8] {
    let size = varintSize(UInt64(key)) + lengthDelimitedSize(content.count)
    return [UInt8](unsafeUninitializedCapacity: size) { memory, count in
        var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(memory))
        writer.varint(UInt64(key))
        content.withUnsafeBytes { writer.bytes($0) }
        count = writer.count
    }
}

/// The fields of a message, each with its key.
private func splitFields(_ bytes: [UInt8]) throws -> [[UInt8]] {
    var fields: [[UInt8]] = []
    var offsets: [Int] = []
    try bytes.withUnsafeBytes { memory in
        var reader = ProtobufReader(memory, message: "")
        while true {
            offsets.append(reader.offset)
            guard let key = try reader.nextKey() else { break }
            try reader.skip(key)
        }
    }
    for (start, end) in zip(offsets, offsets.dropFirst()) where start < end { fields.append(Array(bytes[start..<end])) }
    return fields
}
