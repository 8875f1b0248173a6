import DqliteWire
import Foundation
import SwiftProtobuf
import TestSupport

/// Makes valid messages of any type from the schema's descriptors, as bytes of the protobuf encoding in their canonical form: fields
/// by number, defaults left out. It knows nothing of the code under test, and sees what is added to the schema by itself.
struct MessageFactory {
    /// Which fields a message gets.
    enum Content: Equatable {
        /// Any.
        case random
        /// Any that the dqlite encoding carries in that revision.
        case native(revision: UInt8)
        /// All of them, none with its default. The members of a choice take turns.
        case full
        /// All that the dqlite encoding carries in that revision.
        case fullNative(revision: UInt8)

        var isFull: Bool {
            switch self {
            case .full, .fullNative: true
            default: false
            }
        }
        var revision: UInt8? {
            switch self {
            case .native(let revision), .fullNative(let revision): revision
            default: nil
            }
        }
    }

    private let messages: [String: Google_Protobuf_DescriptorProto]
    private let oracleNames: [String]

    init() throws {
        let data = try Data(
            contentsOf: Fixtures.repository.appending(path: "Tests/ProtobufOracle/Generated/schema.descriptors"))
        var messages: [String: Google_Protobuf_DescriptorProto] = [:]
        var names: [String] = []
        for file in try Google_Protobuf_FileDescriptorSet(serializedBytes: data).file where file.package == "dqlite" {
            for message in file.messageType {
                messages[".dqlite.\(message.name)"] = message
                names.append(message.name)
            }
        }
        self.messages = messages
        self.oracleNames = names
    }

    /// Names of all messages of the schema.
    var names: [String] { self.oracleNames }

    /// Numbers of the fields of a message, those of its oneofs only if wanted.
    func numbers(of name: String, oneofs: Bool) -> Set<Int32> {
        Set(self.messages[".dqlite.\(name)"]!.field.filter { oneofs || !$0.hasOneofIndex }.map(\.number))
    }

    /// Numbers of the fields that hold one message.
    func singleMessages(of name: String) -> Set<UInt32> {
        let fields = self.messages[".dqlite.\(name)"]!.field.filter { $0.type == .message && $0.label != .repeated }
        return Set(fields.map { UInt32($0.number) })
    }

    /// The bytes of a message.
    func bytes(of name: String, _ content: Content, using random: inout SeededRandom) -> [UInt8] {
        self.encode(type: ".dqlite.\(name)", content, turn: 0, using: &random)
    }

    private func encode(type: String, _ content: Content, turn: Int, using random: inout SeededRandom) -> [UInt8] {
        let message = self.messages[type]!
        var counts: [String: Int] = [:]
        var fields: [(number: Int32, bytes: [UInt8])] = []
        var choices: [Int32: Google_Protobuf_FieldDescriptorProto] = [:]
        for (index, choice) in message.oneofDecl.indices.enumerated() {
            let members = message.field.filter { $0.hasOneofIndex && $0.oneofIndex == Int32(choice) }
            // An envelope without a body, and a value without a kind, are legal; a value of that kind encodes as NULL,
            // another form, so there is none here.
            if type != ".dqlite.Value", !content.isFull, random.once(in: 8) { continue }
            let member = content.isFull ? members[turn % members.count] : members.randomElement(using: &random)!
            choices[Int32(index)] = member
        }
        // In the order of the schema, so that what a later field depends on is known.
        for field in message.field {
            let native = NativeOptions(field.options)
            if field.hasOneofIndex {
                guard choices[field.oneofIndex]?.number == field.number else { continue }
            } else if let revision = content.revision {
                guard native.form != 0, native.since <= revision else { continue }
            }
            let bytes = self.encode(
                field, native, in: message, content, turn: turn, counts: &counts, using: &random)
            if let bytes { fields.append((field.number, bytes)) }
        }
        return self.settle(counts, fields, in: message).sorted { $0.number < $1.number }.flatMap(\.bytes)
    }

    /// Sets the fields that count others to what the others turned out to be.
    private func settle(
        _ counts: [String: Int], _ fields: [(number: Int32, bytes: [UInt8])],
        in message: Google_Protobuf_DescriptorProto
    ) -> [(number: Int32, bytes: [UInt8])] {
        var fields = fields
        for field in message.field {
            let name = NativeOptions(field.options).count
            guard !name.isEmpty, let counter = message.field.first(where: { $0.name == name }) else { continue }
            fields.removeAll { $0.number == counter.number }
            let count = counts[field.name] ?? 0
            if count > 0 {
                fields.append((counter.number, Self.key(counter, wireType: 0) + Self.varint(UInt64(count))))
            }
        }
        return fields
    }

    /// The bytes of a field, with its key; nil when it is left out.
    private func encode(
        _ field: Google_Protobuf_FieldDescriptorProto, _ native: NativeOptions,
        in message: Google_Protobuf_DescriptorProto, _ content: Content, turn: Int, counts: inout [String: Int],
        using random: inout SeededRandom
    ) -> [UInt8]? {
        guard field.label == .repeated else {
            if let constant = native.constant {
                return Self.key(field, wireType: field.type == .fixed64 ? 1 : 0)
                    + (field.type == .fixed64 ? Self.fixed64(constant) : Self.varint(constant))
            }
            let isMember = field.hasOneofIndex
            if !content.isFull, !isMember, random.once(in: 5) { return nil }
            return self.single(field, native, content, turn: turn, keepsDefault: isMember, using: &random)
        }
        // Of values there are as many as there are kinds, and one more.
        var count = content.isFull ? (field.typeName == ".dqlite.Value" ? 9 : 3) : Int.random(in: 0...5, using: &random)
        if !content.isFull, random.once(in: 12) { count = Int.random(in: 0...40, using: &random) }
        if native.form == NativeOptions.rows {
            // Rows are whole: a multiple of the number of columns, which is the field before.
            let columns = counts[message.field.first { $0.name == "columns" }!.name] ?? 0
            count = columns * (content.isFull ? 3 : Int.random(in: 0...4, using: &random))
        }
        counts[field.name] = count
        guard count > 0 else { return nil }
        switch field.type {
        case .message, .string, .bytes:
            return (0..<count).flatMap { index in
                self.single(field, native, content, turn: turn + index, keepsDefault: true, using: &random)!
            }
        default:
            let packed = (0..<count).flatMap { _ in
                Self.varint(Self.number(field.type, native, content, using: &random))
            }
            return Self.key(field, wireType: 2) + Self.varint(UInt64(packed.count)) + packed
        }
    }

    private func single(
        _ field: Google_Protobuf_FieldDescriptorProto, _ native: NativeOptions, _ content: Content, turn: Int,
        keepsDefault: Bool, using random: inout SeededRandom
    ) -> [UInt8]? {
        switch field.type {
        case .message:
            let bytes = self.encode(type: field.typeName, content, turn: turn, using: &random)
            return Self.key(field, wireType: 2) + Self.varint(UInt64(bytes.count)) + bytes
        case .string, .bytes:
            let isText = field.type == .string || native.isText
            let bytes = isText ? Self.text(content, using: &random) : Self.blob(content, using: &random)
            if bytes.isEmpty, !keepsDefault { return nil }
            return Self.key(field, wireType: 2) + Self.varint(UInt64(bytes.count)) + bytes
        case .double, .fixed64:
            let number = Self.number(field.type, native, content, using: &random)
            if number == 0, !keepsDefault { return nil }
            return Self.key(field, wireType: 1) + Self.fixed64(number)
        default:
            // The field `null` is true whenever it is there.
            let number = field.name == "null" ? 1 : Self.number(field.type, native, content, using: &random)
            if number == 0, !keepsDefault { return nil }
            return Self.key(field, wireType: 0) + Self.varint(number)
        }
    }

    private static func key(_ field: Google_Protobuf_FieldDescriptorProto, wireType: UInt64) -> [UInt8] {
        self.varint(UInt64(field.number) << 3 | wireType)
    }

    private static func varint(_ value: UInt64) -> [UInt8] {
        var value = value
        var bytes: [UInt8] = []
        while value >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: value) | 0x80)
            value >>= 7
        }
        return bytes + [UInt8(value)]
    }

    private static func fixed64(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    /// A number as the varint of its type has it.
    private static func number(
        _ type: Google_Protobuf_FieldDescriptorProto.TypeEnum, _ native: NativeOptions, _ content: Content,
        using random: inout SeededRandom
    ) -> UInt64 {
        var value = content.isFull ? UInt64.random(in: 1..<1 << 40, using: &random) : Self.anyNumber(using: &random)
        switch type {
        case .double where content.isFull: return Double.random(in: -1000...1000, using: &random).bitPattern
        case .bool: return content.isFull ? 1 : value & 1
        case .enum: return content.isFull ? 1 + value % 2 : value % 5
        case .uint32, .fixed32: value &= UInt64(UInt32.max)
        default: break
        }
        switch native.form {
        case NativeOptions.byte: return max(value & 0xff, content.isFull ? 1 : 0)
        case NativeOptions.short: return max(value & 0xffff, content.isFull ? 1 : 0)
        case NativeOptions.half: return max(value & 0xffff_ffff, content.isFull ? 1 : 0)
        default: return value
        }
    }

    private static func anyNumber(using random: inout SeededRandom) -> UInt64 {
        switch Int.random(in: 0..<6, using: &random) {
        case 0: 0
        case 1: UInt64.random(in: 0..<128, using: &random)
        case 2: [UInt64.max, 1 << 63, 1 << 32, 1 << 31, 127, 128].randomElement(using: &random)!
        case 3: UInt64.random(in: 0...UInt64.max, using: &random) >> UInt64.random(in: 0..<64, using: &random)
        default: UInt64.random(in: 0...UInt64.max, using: &random)
        }
    }

    private static func text(_ content: Content, using random: inout SeededRandom) -> [UInt8] {
        let alphabet = Array("abcdefghijklmnopqrstuvwxyz ,.;:?*()'\"ABCXYZ0123456789_-\nßéœ€漢😀")
        let count = content.isFull ? Int.random(in: 5...20, using: &random) : Self.length(using: &random)
        return Array(String((0..<count).map { _ in alphabet.randomElement(using: &random)! }).utf8)
    }

    private static func blob(_ content: Content, using random: inout SeededRandom) -> [UInt8] {
        let count = content.isFull ? Int.random(in: 5...20, using: &random) : Self.length(using: &random)
        return (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
    }

    private static func length(using random: inout SeededRandom) -> Int {
        switch Int.random(in: 0..<8, using: &random) {
        case 0: 0
        case 1: Int.random(in: 0...300, using: &random)
        default: Int.random(in: 0...17, using: &random)
        }
    }
}

/// What the schema's options say of a field, read by their numbers.
struct NativeOptions {
    static let half: UInt64 = 2
    static let short: UInt64 = 3
    static let byte: UInt64 = 4
    static let rows: UInt64 = 12

    var form: UInt64 = 0
    var since: UInt64 = 0
    var count = ""
    var constant: UInt64?
    var isText = false

    init(_ options: Google_Protobuf_FieldOptions) {
        // Whoever does not know the options sees them as unknown fields.
        let bytes = [UInt8](options.unknownFields.data)
        bytes.withUnsafeBytes { memory in
            var reader = ProtobufReader(memory, message: "FieldOptions")
            while let key = try? reader.nextKey() {
                switch key {
                case 50002 << 3 | 2:
                    guard var native = try? reader.nested("NativeField") else { return }
                    self.read(&native)
                case 50003 << 3: self.isText = (try? reader.varint()) == 1
                default: try? reader.skip(key)
                }
            }
        }
    }

    private mutating func read(_ reader: inout ProtobufReader) {
        while let key = try? reader.nextKey() {
            switch key {
            case 1 << 3: self.form = (try? reader.varint()) ?? 0
            case 2 << 3: self.since = (try? reader.varint()) ?? 0
            case 5 << 3 | 2: self.count = (try? reader.string()) ?? ""
            case 6 << 3: self.constant = try? reader.varint()
            default: try? reader.skip(key)
            }
        }
    }
}
