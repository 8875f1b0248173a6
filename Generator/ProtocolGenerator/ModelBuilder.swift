import DqliteWire

extension Schema {
    /// Reads and checks a descriptor set. `root` is the folder of the schema as errors shall name it; empty: not at all.
    init(descriptorSet bytes: [UInt8], root: String) throws {
        let set = try DescriptorSet(bytes)
        var builder = ModelBuilder(root: root)
        let schema = builder.build(set)
        guard !schema.files.isEmpty else {
            let position = SourcePosition(file: root.isEmpty ? "schema" : root)
            throw SchemaErrors(errors: [
                SchemaError(position: position, message: "the descriptor set has no file of the schema")
            ])
        }
        // The rules are about a model that is whole.
        let errors = builder.errors.isEmpty ? Validation.errors(in: schema) : builder.errors
        guard errors.isEmpty else { throw SchemaErrors(errors: Array(Set(errors)).sorted()) }
        self = schema
    }
}

/// Makes the model of a descriptor set. What the model cannot express is an error here; what contradicts the rules is one in
/// ``Validation``.
struct ModelBuilder {
    /// Numbers of our options, from options.proto.
    enum Option {
        static let nativeMessage = 50001
        static let native = 50002
        static let text = 50003
        static let unit = 50004
    }

    let root: String
    private(set) var errors: [SchemaError] = []
    private var file = FileDescriptor()
    private var package: String { self.file.package }

    init(root: String) { self.root = root }

    mutating func build(_ set: DescriptorSet) -> Schema {
        // What defines options is about the schema, not of it.
        let isOfSchema = { (file: FileDescriptor) in
            file.extensionCount == 0 && !file.name.hasPrefix("google/protobuf/")
        }
        let names = Set(set.files.filter(isOfSchema).map(\.name))
        var schema = Schema()
        for file in set.files where isOfSchema(file) {
            self.file = file
            schema.files.append(self.build(file, of: names))
        }
        return schema
    }

    private mutating func build(_ file: FileDescriptor, of names: Set<String>) -> SchemaFile {
        var result = SchemaFile()
        result.path = file.name
        result.package = file.package
        result.position = self.position([12])
        result.comment = self.comment([12])
        result.imports = file.dependencies.filter(names.contains)
        if file.syntax != "proto3" {
            self.fail(
                result.position, "the schema is proto3; this file is \(file.syntax.isEmpty ? "proto2" : file.syntax)")
        }
        if file.package != "dqlite" {
            self.fail(self.position([2]), "the package of the schema is dqlite, not “\(file.package)”")
        }
        if file.serviceCount > 0 { self.fail(self.position([6, 0]), "services are not supported") }
        for (index, message) in file.messages.enumerated() {
            result.messages.append(self.build(message, path: [4, index]))
        }
        for (index, enumeration) in file.enumerations.enumerated() {
            result.enumerations.append(self.build(enumeration, path: [5, index]))
        }
        return result
    }

    private mutating func build(_ message: MessageDescriptor, path: [Int]) -> Message {
        var result = Message()
        result.name = message.name
        result.comment = self.comment(path)
        result.position = self.position(path + [1], or: path)
        result.reservedNumbers = message.reservedRanges
        result.reservedNames = message.reservedNames
        for (index, nested) in message.nestedMessages.enumerated() where !nested.isMapEntry {
            self.fail(
                self.position(path + [3, index, 1]), "\(nested.name) is nested: declare messages at the top of the file"
            )
        }
        for (index, nested) in message.enumerations.enumerated() {
            self.fail(
                self.position(path + [4, index, 1]),
                "\(nested.name) is nested: declare enumerations at the top of the file")
        }
        if message.extensionRangeCount > 0 { self.fail(result.position, "extensions are not supported") }
        result.nativePosition = self.position(path + [7, Option.nativeMessage], or: path + [1])
        if let bytes = message.options[Option.nativeMessage] {
            result.nativeOption = self.nativeMessage(bytes, at: result.nativePosition)
        }
        for (index, name) in message.oneofs.enumerated() {
            let isSynthetic = message.fields.contains { $0.isProto3Optional && $0.oneofIndex == index }
            guard !isSynthetic else { continue }
            let path = path + [8, index]
            result.oneofs.append(
                Oneof(name: name, comment: self.comment(path), position: self.position(path + [1], or: path)))
        }
        let mapEntries = Set(message.nestedMessages.filter(\.isMapEntry).map(\.name))
        for (index, field) in message.fields.enumerated() {
            if let field = self.build(field, path: path + [2, index], mapEntries: mapEntries) {
                result.fields.append(field)
            }
        }
        return result
    }

    private mutating func build(_ field: FieldDescriptor, path: [Int], mapEntries: Set<String>) -> Field? {
        var result = Field()
        result.name = field.name
        result.number = field.number
        result.comment = self.comment(path)
        result.isRepeated = field.isRepeated
        result.oneof = field.oneofIndex
        result.position = self.position(path + [1], or: path)
        result.numberPosition = self.position(path + [3], or: path)
        result.typePosition = self.position(path + [5], or: path + [6])
        result.nativePosition = self.position(path + [8, Option.native], or: path + [1])
        if field.isProto3Optional {
            self.fail(
                self.position(path + [4], or: path),
                "`optional` is not supported, since protobuf-c does not know it: give zero or empty a meaning, or use a oneof"
            )
            return nil
        }
        if field.isRequired {
            self.fail(self.position(path + [4], or: path), "`required` is not supported")
            return nil
        }
        guard let type = self.type(of: field, path: path, mapEntries: mapEntries) else { return nil }
        result.type = type
        if field.packed == false {
            self.fail(self.position(path + [8, 2], or: path), "repeated numbers are always packed: remove the option")
        }
        result.isText = field.flags[Option.text, default: 0] != 0
        result.isUnit = field.flags[Option.unit, default: 0] != 0
        if let bytes = field.options[Option.native] {
            result.native = self.nativeField(bytes, at: result.nativePosition)
        }
        return result
    }

    private mutating func type(of field: FieldDescriptor, path: [Int], mapEntries: Set<String>) -> FieldType? {
        let position = self.position(path + [5], or: path + [6])
        switch field.type {
        case 11, 14:
            let prefix = ".\(self.package)."
            guard field.typeName.hasPrefix(prefix) else {
                self.fail(position, "\(field.typeName.dropFirst()) is not a type of the schema")
                return nil
            }
            let name = String(field.typeName.dropFirst(prefix.count))
            if let entry = name.split(separator: ".").last, mapEntries.contains(String(entry)) {
                self.fail(
                    self.position(path + [6], or: path),
                    "maps are not supported: use a repeated message with key and value")
                return nil
            }
            return field.type == 11 ? .message(name) : .enumeration(name)
        case 10:
            self.fail(position, "groups are not supported")
            return nil
        default:
            guard let type = ScalarType(rawValue: field.type) else {
                let names = [2: "float", 7: "fixed32", 15: "sfixed32", 16: "sfixed64", 17: "sint32"]
                let name = names[field.type] ?? "type \(field.type)"
                self.fail(position, "\(name) is not supported: use double, [u]int32, [u]int64, sint64 or fixed64")
                return nil
            }
            return .scalar(type)
        }
    }

    private mutating func build(_ enumeration: EnumerationDescriptor, path: [Int]) -> Enumeration {
        var result = Enumeration()
        result.name = enumeration.name
        result.comment = self.comment(path)
        result.position = self.position(path + [1], or: path)
        result.reservedNumbers = enumeration.reservedRanges
        result.reservedNames = enumeration.reservedNames
        if enumeration.allowsAlias { self.fail(result.position, "aliases of enumeration values are not supported") }
        for (index, value) in enumeration.cases.enumerated() {
            let path = path + [2, index]
            result.cases.append(
                EnumerationCase(
                    name: value.name, number: value.number, comment: self.comment(path),
                    position: self.position(path + [1], or: path)))
        }
        return result
    }

    // MARK: Our options

    private mutating func nativeMessage(_ bytes: [UInt8], at position: SourcePosition) -> NativeMessage {
        var result = NativeMessage()
        self.readOption(bytes, at: position) { (reader, key) throws(WireError) in
            switch key {
            case .varint(1): result.request = try reader.integer()
            case .varint(2): result.response = try reader.integer()
            case .varint(3): result.raft = try reader.integer()
            case .varint(4): result.command = try reader.integer()
            case .varint(5): result.revision = try reader.integer()
            case .varint(6): result.revisionByRequest = try reader.varint() != 0
            case .varint(7): result.padded = try reader.varint() != 0
            case .varint(8): result.slack = try reader.integer()
            case .varint(9): result.legacy = try reader.varint() != 0
            case .lengthDelimited(10): result.answers.append(try reader.string())
            default: return false
            }
            return true
        }
        let numbers = [result.request, result.response, result.raft, result.command].compactMap { $0 }
        if numbers.count > 1 { self.fail(position, "a message has at most one of request, response, raft and command") }
        return result
    }

    private mutating func nativeField(_ bytes: [UInt8], at position: SourcePosition) -> NativeField? {
        var result = NativeField()
        var form = 0
        self.readOption(bytes, at: position) { (reader, key) throws(WireError) in
            switch key {
            case .varint(1): form = try reader.integer()
            case .varint(2): result.since = try reader.integer()
            case .varint(3): result.trailing = try reader.varint() != 0
            case .varint(4): result.padding = try reader.integer()
            case .lengthDelimited(5): result.count = try reader.string()
            case .varint(6): result.constant = try reader.varint()
            default: return false
            }
            return true
        }
        guard form != 0 else {
            if result != NativeField() {
                self.fail(position, "a field that is PROTOBUF_ONLY has no further native options")
            }
            return nil
        }
        guard let known = Form(rawValue: form) else {
            self.fail(position, "the generator does not know form \(form) of options.proto")
            return nil
        }
        result.form = known
        return result
    }

    private mutating func readOption(
        _ bytes: [UInt8], at position: SourcePosition,
        _ read: (inout ProtobufReader, UInt32) throws(WireError) -> Bool
    ) {
        let unknown = bytes.withUnsafeBytes { buffer -> UInt32? in
            var reader = ProtobufReader(buffer, message: "option")
            do throws(WireError) {
                while let key = try reader.nextKey() {
                    guard try read(&reader, key) else { return key >> 3 }
                }
                return nil
            } catch {
                return 0
            }
        }
        if let unknown { self.fail(position, "the generator does not know field \(unknown) of this option") }
    }

    // MARK: The source

    private mutating func fail(_ position: SourcePosition, _ message: String) {
        self.errors.append(SchemaError(position: position, message: message))
    }

    private func position(_ path: [Int], or fallback: [Int] = []) -> SourcePosition {
        let name = self.root.isEmpty ? self.file.name : "\(self.root)/\(self.file.name)"
        let location = self.file.locations[path] ?? self.file.locations[fallback] ?? SourceLocation(line: 1, column: 1)
        return SourcePosition(file: name, line: location.line, column: location.column)
    }

    /// The comment above an element, without the space that follows `//`.
    private func comment(_ path: [Int]) -> String {
        guard let text = self.file.locations[path]?.leadingComment, !text.isEmpty else { return "" }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false).map { line in
            String(line.hasPrefix(" ") ? line.dropFirst() : line)
        }
        while lines.last?.isEmpty == true { lines.removeLast() }
        while lines.first?.isEmpty == true { lines.removeFirst() }
        return lines.joined(separator: "\n")
    }
}
