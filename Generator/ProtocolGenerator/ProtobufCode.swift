// The protobuf encoding of structures.

/// A field of the protobuf encoding: the pieces of code that measure, write and read it.
struct ProtobufField {
    let field: Field
    let message: Message
    let schema: Schema

    var name: String { "self.\(self.field.swiftName)" }
    private var number: UInt32 { UInt32(self.field.number) }
    var isPacked: Bool { self.field.isRepeated && self.wireType(of: self.field.type) != 2 }

    private func wireType(of type: FieldType) -> UInt32 {
        switch type {
        case .scalar(.double), .scalar(.fixed64): 1
        case .scalar(.string), .scalar(.bytes), .message: 2
        default: 0
        }
    }

    /// The key as it is written: packed numbers are preceded by their length.
    var key: UInt32 { self.number << 3 | (self.isPacked ? 2 : self.wireType(of: self.field.type)) }
    /// The key of one number.
    var elementKey: UInt32 { self.number << 3 | self.wireType(of: self.field.type) }
    var keySize: Int {
        var (size, rest) = (1, self.key >> 7)
        while rest > 0 { (size, rest) = (size + 1, rest >> 7) }
        return size
    }
    /// A key below 128 is one byte.
    var writeKey: String { self.key < 128 ? "writer.byte(\(self.key))" : "writer.varint(\(self.key))" }

    /// Whether the field has something to say.
    var isSet: String {
        if self.field.isRepeated || ["String", "[UInt8]"].contains(self.field.swiftElement) {
            return "!\(self.name).isEmpty"
        }
        switch self.field.type {
        case .scalar(.bool): return self.name
        case .scalar(.double): return "\(self.name).bitPattern != 0"
        case .enumeration: return "\(self.name).rawValue != 0"
        default: return "\(self.name) != 0"
        }
    }

    // MARK: One value

    /// Size of a value, without its key.
    func size(of value: String) -> String {
        switch self.field.type {
        case .scalar(let type):
            switch type {
            case .double, .fixed64: "8"
            case .int64: "varintSize(UInt64(bitPattern: \(value)))"
            case .uint64: "varintSize(\(value))"
            case .int32: "varintSize(UInt64(bitPattern: Int64(\(value))))"
            case .uint32: "varintSize(UInt64(\(value)))"
            case .sint64: "varintSize(zigzagged(\(value)))"
            case .bool: "1"
            case .string: "lengthDelimitedSize(\(value).utf8.count)"
            case .bytes: "lengthDelimitedSize(\(value)\(self.field.isText ? ".utf8" : "").count)"
            }
        case .enumeration: "varintSize(UInt64(\(value).rawValue))"
        case .message: "lengthDelimitedSize(\(value).protobufEncodedSize)"
        }
    }

    /// A statement that writes a value, without its key. (Not of a message, which takes two.)
    func write(_ value: String) -> String {
        switch self.field.type {
        case .scalar(let type):
            switch type {
            case .double: "writer.fixed64(\(value).bitPattern)"
            case .fixed64: "writer.fixed64(\(value))"
            case .int64: "writer.varint(UInt64(bitPattern: \(value)))"
            case .uint64: "writer.varint(\(value))"
            case .int32: "writer.varint(UInt64(bitPattern: Int64(\(value))))"
            case .uint32: "writer.varint(UInt64(\(value)))"
            case .sint64: "writer.zigzag(\(value))"
            case .bool: "writer.byte(\(value) ? 1 : 0)"
            case .string: "writer.string(\(value))"
            case .bytes: self.field.isText ? "writer.string(\(value))" : "\(value).withUnsafeBytes { writer.bytes($0) }"
            }
        case .enumeration: "writer.varint(UInt64(\(value).rawValue))"
        case .message: ""
        }
    }

    /// An expression that reads a value from a reader. (Not of a message.)
    func read(from reader: String) -> String {
        switch self.field.type {
        case .scalar(let type):
            switch type {
            case .double: "Double(bitPattern: try \(reader).fixed64())"
            case .fixed64: "try \(reader).fixed64()"
            case .int64: "Int64(bitPattern: try \(reader).varint())"
            case .uint64: "try \(reader).varint()"
            case .int32: "Int32(truncatingIfNeeded: try \(reader).varint())"
            case .uint32: "UInt32(truncatingIfNeeded: try \(reader).varint())"
            case .sint64: "try \(reader).zigzag()"
            case .bool: "try \(reader).varint() != 0"
            case .string: "try \(reader).string()"
            case .bytes: self.field.isText ? "try \(reader).string()" : "[UInt8](try \(reader).bytes())"
            }
        case .enumeration(let name): "\(name)(rawValue: UInt32(truncatingIfNeeded: try \(reader).varint()))"
        case .message: ""
        }
    }

    private var innerChoice: Bool {
        guard case .message(let name) = self.field.type, let message = self.schema.message(name) else { return false }
        return message.isChoice && message.native != nil
    }

    // MARK: The field

    func writeSize(_ writer: inout SourceWriter) {
        if self.isPacked {
            writer.block("if \(self.isSet)") { writer in
                self.writePackedSize(&writer)
                writer.line("size &+= \(self.keySize) &+ lengthDelimitedSize(packedSize)")
            }
        } else if self.field.isRepeated {
            writer.short("for element in \(self.name)", "size &+= \(self.keySize) &+ \(self.size(of: "element"))")
        } else if let constant = self.field.native?.constant {
            let size = self.wireType(of: self.field.type) == 1 ? 8 : self.varintSize(of: constant)
            writer.line("size &+= \(self.keySize + size)")
        } else if case .message = self.field.type {
            writer.line("size &+= \(self.keySize) &+ \(self.size(of: self.name))")
        } else if let fixed = Int(self.size(of: self.name)) {
            writer.line("if \(self.isSet) { size &+= \(self.keySize + fixed) }")
        } else {
            writer.short("if \(self.isSet)", "size &+= \(self.keySize) &+ \(self.size(of: self.name))")
        }
    }

    private func varintSize(of value: UInt64) -> Int {
        var (size, rest) = (1, value >> 7)
        while rest > 0 { (size, rest) = (size + 1, rest >> 7) }
        return size
    }

    private func writePackedSize(_ writer: inout SourceWriter) {
        if let fixed = Int(self.size(of: "element")) {
            writer.line("let packedSize = \(self.name).count &* \(fixed)")
        } else {
            writer.line("var packedSize = 0")
            writer.line("for element in \(self.name) { packedSize &+= \(self.size(of: "element")) }")
        }
    }

    func writeEncode(_ writer: inout SourceWriter) {
        if self.isPacked {
            writer.block("if \(self.isSet)") { writer in
                self.writePackedSize(&writer)
                writer.line(self.writeKey)
                writer.line("writer.varint(UInt64(packedSize))")
                writer.line("for element in \(self.name) { \(self.write("element")) }")
            }
        } else if self.field.isRepeated {
            writer.block("for element in \(self.name)") { self.writeElement("element", &$0) }
        } else if let constant = self.field.native?.constant {
            writer.line(self.writeKey)
            let literal = constant.swiftLiteral
            writer.line(
                self.wireType(of: self.field.type) == 1 ? "writer.fixed64(\(literal))" : "writer.varint(\(literal))")
        } else if case .message = self.field.type {
            self.writeElement(self.name, &writer)
        } else {
            writer.block("if \(self.isSet)") { writer in
                writer.line(self.writeKey)
                // That the field is set says that it is true.
                writer.line(self.field.type == .scalar(.bool) ? "writer.byte(1)" : self.write(self.name))
            }
        }
    }

    private func writeElement(_ value: String, _ writer: inout SourceWriter) {
        writer.line(self.writeKey)
        if self.innerChoice {
            writer.line("\(value).encodeProtobufWithLength(into: &writer)")
        } else if case .message = self.field.type {
            writer.line("writer.varint(UInt64(\(value).protobufEncodedSize))")
            writer.line("\(value).encodeProtobuf(into: &writer)")
        } else {
            writer.line(self.write(value))
        }
    }

    /// A case of the switch over the keys.
    ///
    /// - Parameter merging: Whether the message has been read before: then a constant that is there is checked at once.
    func writeDecode(merging: Bool = false, _ writer: inout SourceWriter) {
        if merging, let constant = self.field.native?.constant {
            return self.writeCase(
                [
                    "let \(self.field.swiftName) = \(self.read(from: "reader"))",
                    "guard \(self.field.swiftName) == \(constant.swiftLiteral) else { throw reader.error(.invalidValue) }",
                ], &writer)
        }
        let target = self.field.isConstant ? self.field.swiftName : self.name
        if self.isPacked {
            self.writeCase(
                [
                    "var elements = try reader.nested(\"\(self.message.name)\")",
                    "while !elements.isAtEnd { \(target).append(\(self.read(from: "elements"))) }",
                ], &writer)
            // Whoever does not pack them is understood, too.
            self.writeCase(["\(target).append(\(self.read(from: "reader")))"], key: self.elementKey, &writer)
        } else if case .message(let type) = self.field.type {
            self.writeCase(
                self.reserve + [
                    "var element = try reader.nested(\"\(type)\")",
                    self.field.isRepeated
                        ? "\(target).append(try \(type)(protobuf: &element))"
                        : "try \(target).mergeProtobuf(from: &element)",
                ], &writer)
        } else if self.field.isRepeated {
            self.writeCase(self.reserve + ["\(target).append(\(self.read(from: "reader")))"], &writer)
        } else {
            self.writeCase(["\(target) = \(self.read(from: "reader"))"], &writer)
        }
    }

    /// A statement that makes room for the elements that are really there, before the first of them.
    private var reserve: [String] {
        guard self.field.isRepeated else { return [] }
        return ["if \(self.name).isEmpty { \(self.name).reserveCapacity(reader.countOfNeighbours(\(self.key))) }"]
    }

    /// A case, in one line where it is one statement that fits.
    private func writeCase(_ statements: [String], key: UInt32? = nil, _ writer: inout SourceWriter) {
        let head = "case \(key ?? self.key):"
        if statements.count == 1, writer.fits("\(head) \(statements[0])") {
            return writer.line("\(head) \(statements[0])")
        }
        writer.line(head)
        writer.indented { writer in
            for statement in statements {
                // The only statement with a body is the one that makes room.
                if !writer.fits(statement), let brace = statement.firstIndex(of: "{") {
                    let head = statement[..<brace].dropLast()
                    let body = statement[statement.index(brace, offsetBy: 2)...].dropLast(2)
                    writer.block(String(head)) { $0.line(String(body)) }
                } else {
                    writer.line(statement)
                }
            }
        }
    }
}

extension SwiftGenerator {
    func protobuf(_ message: Message, _ writer: inout SourceWriter) {
        let fields = message.fields.filter { $0.oneof == nil }.sorted { $0.number < $1.number }
            .map { ProtobufField(field: $0, message: message, schema: self.schema) }
        let oneofs = message.oneofs.map { Naming.property($0.name) }
        writer.block("extension \(message.name): ProtobufEncodable") { writer in
            self.protobufSize(fields, oneofs, &writer)
            writer.line()
            writer.line("@inlinable")
            if fields.isEmpty, oneofs.isEmpty {
                writer.line("public func encodeProtobuf(into writer: inout ProtobufWriter) {}")
            } else {
                writer.block("public func encodeProtobuf(into writer: inout ProtobufWriter)") { writer in
                    for field in fields { field.writeEncode(&writer) }
                    for name in oneofs { writer.line("self.\(name)?.encodeProtobufField(into: &writer)") }
                }
            }
            writer.line()
            self.protobufDecode(fields, message, &writer)
        }
    }

    private func protobufSize(_ fields: [ProtobufField], _ oneofs: [String], _ writer: inout SourceWriter) {
        writer.line("@inlinable")
        if fields.isEmpty, oneofs.isEmpty { return writer.line("public var protobufEncodedSize: Int { 0 }") }
        writer.block("public var protobufEncodedSize: Int") { writer in
            writer.line("var size = 0")
            for field in fields { field.writeSize(&writer) }
            for name in oneofs { writer.line("if let \(name) = self.\(name) { size &+= \(name).protobufFieldSize }") }
            writer.line("return size")
        }
    }

    /// Whether the message is the only one of its field, in a structure or in a oneof: then it may come in parts, which have to be
    /// merged.
    func isMerged(_ message: Message) -> Bool {
        self.schema.messages.contains { outer in
            outer.fields.contains { !$0.isRepeated && $0.type == .message(message.name) }
        }
    }

    private func protobufDecode(_ fields: [ProtobufField], _ message: Message, _ writer: inout SourceWriter) {
        let constants = fields.filter(\.field.isConstant)
        let isMerged = self.isMerged(message)
        writer.line("@inlinable")
        writer.block("public init(protobuf reader: inout ProtobufReader) throws(WireError)") { writer in
            writer.line("self.init()")
            if isMerged, constants.isEmpty { return writer.line("try self.mergeProtobuf(from: &reader)") }
            for field in constants {
                writer.line("var \(field.field.swiftName): \(field.field.swiftType) = 0")
            }
            self.decodeFields(fields, message, merging: false, &writer)
            for field in constants {
                let constant = field.field.native?.constant ?? 0
                let literal = constant.swiftLiteral
                writer.short("guard \(field.field.swiftName) == \(literal) else", "throw reader.error(.invalidValue)")
            }
        }
        guard isMerged else { return }
        writer.line()
        writer.documentation("Reads another part of the message up to the end of the reader.")
        writer.line("@inlinable")
        writer.block("mutating func mergeProtobuf(from reader: inout ProtobufReader) throws(WireError)") { writer in
            self.decodeFields(fields, message, merging: true, &writer)
        }
    }

    private func decodeFields(
        _ fields: [ProtobufField], _ message: Message, merging: Bool, _ writer: inout SourceWriter
    ) {
        guard !fields.isEmpty || !message.oneofs.isEmpty else {
            writer.line("while let key = try reader.nextKey() { try reader.skip(key) }")
            return
        }
        writer.block("while let key = try reader.nextKey()") { writer in
            writer.line("switch key {")
            for field in fields { field.writeDecode(merging: merging, &writer) }
            if message.oneofs.isEmpty {
                writer.line("default: try reader.skip(key)")
            } else {
                self.decodeOneofs(message, &writer)
            }
            writer.line("}")
        }
    }

    private func decodeOneofs(_ message: Message, _ writer: inout SourceWriter) {
        writer.line("default:")
        for (index, oneof) in message.oneofs.enumerated() {
            let name = Naming.property(oneof.name)
            let type = self.typeName(of: oneof)
            let condition = "if let \(name) = try \(type)(protobuf: &reader, key: key, after: self.\(name)) {"
            writer.indented { writer in
                if index > 0 {
                    writer.replaceLastLine(with: "} else \(condition)")
                } else {
                    writer.line(condition)
                }
                writer.line("    self.\(name) = \(name)")
                writer.line("}")
            }
        }
        writer.indented { writer in
            writer.replaceLastLine(with: "} else {")
            writer.line("    try reader.skip(key)")
            writer.line("}")
        }
    }
}
