// Declarations of types.

extension Field {
    var swiftName: String { Naming.property(self.name) }

    /// The type of one value, whether or not the field is repeated.
    var swiftElement: String {
        switch self.type {
        case .scalar(let type):
            switch type {
            case .double: "Double"
            case .int64, .sint64: "Int64"
            case .uint64, .fixed64: "UInt64"
            case .int32: "Int32"
            case .uint32: "UInt32"
            case .bool: "Bool"
            case .string: "String"
            case .bytes: self.isText ? "String" : "[UInt8]"
            }
        case .message(let name), .enumeration(let name): name
        }
    }

    var swiftType: String { self.isRepeated ? "[\(self.swiftElement)]" : self.swiftElement }

    /// Whether Swift sees text.
    var isSwiftText: Bool { self.swiftElement == "String" }
    var isConstant: Bool { self.native?.constant != nil }

    /// `Message.property`, as errors name it.
    func label(in message: Message) -> String { "\(message.name).\(self.swiftName)" }
}

extension UInt64 {
    /// The number as Swift's sources write it: small ones decimal, large ones hexadecimal in groups of four.
    var swiftLiteral: String {
        guard self > 0xffff else { return String(self) }
        var digits = String(self, radix: 16)
        digits = String(repeating: "0", count: (4 - digits.count % 4) % 4) + digits
        let groups = stride(from: 0, to: digits.count, by: 4).map { digits.dropFirst($0).prefix(4) }
        return "0x" + groups.joined(separator: "_")
    }
}

extension Message {
    /// The fields that Swift stores one by one: neither constants nor bodies of an envelope.
    var storedFields: [Field] { self.fields.filter { !$0.isConstant && $0.oneof == nil } }
}

extension SwiftGenerator {
    /// What a field holds that nobody has set.
    func defaultValue(of field: Field) -> String {
        if field.isRepeated { return "[]" }
        switch field.type {
        case .scalar(let type):
            switch type {
            case .bool: return "false"
            case .string: return "\"\""
            case .bytes: return field.isText ? "\"\"" : "[]"
            default: return "0"
            }
        case .enumeration(let name):
            let enumeration = self.schema.enumeration(name)
            let first = enumeration?.cases.first { $0.number == 0 }?.name ?? ""
            return ".\(Naming.enumerationCase(first, of: name))"
        case .message(let name): return "\(name)()"
        }
    }

    func structure(_ message: Message, _ writer: inout SourceWriter) {
        writer.documentation(message.comment)
        writer.block("public struct \(message.name): Hashable, Sendable") { writer in
            for (index, oneof) in message.oneofs.enumerated() {
                self.bodies(index, oneof, of: message, &writer)
                writer.line()
            }
            var parameters: [String] = []
            var names: [String] = []
            for field in message.storedFields {
                writer.documentation(field.comment)
                writer.line("public var \(field.swiftName): \(field.swiftType)")
                parameters.append("\(field.swiftName): \(field.swiftType) = \(self.defaultValue(of: field))")
                names.append(field.swiftName)
            }
            for oneof in message.oneofs {
                let name = Naming.property(oneof.name)
                writer.documentation(oneof.comment)
                writer.line("public var \(name): \(self.typeName(of: oneof))?")
                parameters.append("\(name): \(self.typeName(of: oneof))? = nil")
                names.append(name)
            }
            if !names.isEmpty { writer.line() }
            writer.line("@inlinable")
            if names.isEmpty {
                writer.line("public init() {}")
            } else {
                writer.list("public init", parameters, " {")
                writer.indented { writer in
                    for name in names { writer.line("self.\(name) = \(name)") }
                }
                writer.line("}")
            }
        }
    }

    func typeName(of oneof: Oneof) -> String {
        oneof.name.prefix(1).uppercased() + Naming.property(oneof.name).dropFirst()
    }

    private func bodies(_ index: Int, _ oneof: Oneof, of message: Message, _ writer: inout SourceWriter) {
        writer.documentation(oneof.comment)
        writer.block("public enum \(self.typeName(of: oneof)): Hashable, Sendable") { writer in
            for field in message.fields where field.oneof == index {
                let type = self.schema.message(field.swiftElement)
                writer.documentation(field.comment.isEmpty ? type?.comment ?? "" : field.comment)
                writer.line("case \(field.swiftName)(\(field.swiftElement))")
            }
        }
    }

    func enumeration(_ enumeration: Enumeration, _ writer: inout SourceWriter) {
        let cases = enumeration.cases.map { ($0, Naming.enumerationCase($0.name, of: enumeration.name)) }
        writer.documentation(enumeration.comment)
        writer.block("public struct \(enumeration.name): RawRepresentable, Hashable, Sendable") { writer in
            writer.line("public var rawValue: UInt32")
            writer.line()
            writer.line("@inlinable")
            writer.block("public init(rawValue: UInt32)") { $0.line("self.rawValue = rawValue") }
            for (value, name) in cases {
                writer.line()
                writer.documentation(value.comment)
                writer.line("@inlinable public static var \(name): Self { Self(rawValue: \(value.number)) }")
            }
        }
        writer.line()
        writer.block("extension \(enumeration.name): CustomStringConvertible") { writer in
            writer.block("public var description: String") { writer in
                writer.line("switch self.rawValue {")
                for (value, name) in cases {
                    writer.line("case \(value.number): \"\(name.filter { $0 != "`" })\"")
                }
                writer.line("default: \"\(enumeration.name)(\\(self.rawValue))\"")
                writer.line("}")
            }
        }
    }
}
