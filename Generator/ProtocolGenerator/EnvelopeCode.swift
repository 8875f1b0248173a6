// The bodies of an envelope: an enumeration whose cases carry messages.

extension SwiftGenerator {
    func oneof(_ index: Int, of message: Message, _ writer: inout SourceWriter) {
        let oneof = message.oneofs[index]
        let type = "\(message.name).\(self.typeName(of: oneof))"
        let fields = message.fields.filter { $0.oneof == index }
            .map { ProtobufField(field: $0, message: message, schema: self.schema) }
        writer.block("extension \(type)") { writer in
            writer.documentation("Size of the message with its key and its length.")
            writer.line("@inlinable")
            writer.block("var protobufFieldSize: Int") { writer in
                self.cases(of: fields, &writer) { "\($0.keySize) &+ lengthDelimitedSize(body.protobufEncodedSize)" }
            }
            writer.line()
            writer.documentation("Writes the message with its key and its length.")
            writer.line("@inlinable")
            writer.block("func encodeProtobufField(into writer: inout ProtobufWriter)") { writer in
                writer.line("switch self {")
                for field in fields {
                    writer.line("case .\(field.field.swiftName)(let body):")
                    writer.line("    \(field.writeKey)")
                    writer.line("    writer.varint(UInt64(body.protobufEncodedSize))")
                    writer.line("    body.encodeProtobuf(into: &writer)")
                }
                writer.line("}")
            }
            writer.line()
            writer.documentation("Reads the message that belongs to `key`; nil when none does.")
            writer.line("@inlinable")
            writer.block("init?(protobuf reader: inout ProtobufReader, key: UInt32) throws(WireError)") { writer in
                writer.line("switch key {")
                for field in fields {
                    writer.line("case \(field.key):")
                    writer.line("    var body = try reader.nested(\"\(field.field.swiftElement)\")")
                    writer.line(
                        "    self = .\(field.field.swiftName)(try \(field.field.swiftElement)(protobuf: &body))")
                }
                writer.line("default: return nil")
                writer.line("}")
            }
        }
        if let kind = CodeKind.allCases.first(where: { $0.envelope == message.name }) {
            writer.line()
            self.bodyOnDqlite(type, kind, fields, &writer)
        }
    }

    private func cases(
        of fields: [ProtobufField], _ writer: inout SourceWriter, _ value: (ProtobufField) -> String
    ) {
        writer.line("switch self {")
        for field in fields { writer.line("case .\(field.field.swiftName)(let body): \(value(field))") }
        writer.line("}")
    }

    /// The same messages on the dqlite encoding, where the header of the frame says which it is.
    private func bodyOnDqlite(
        _ type: String, _ kind: CodeKind, _ fields: [ProtobufField], _ writer: inout SourceWriter
    ) {
        let coded = fields.compactMap { field -> (field: Field, number: Int)? in
            self.schema.message(field.field.swiftElement).flatMap { kind.number(of: $0) }.map { (field.field, $0) }
        }
        let others = fields.map(\.field).filter { field in !coded.contains { $0.field.name == field.name } }
        writer.block("extension \(type)") { writer in
            writer.documentation(
                "Reads the body of a frame of the dqlite encoding, by the code and the revision of its header; nil when "
                    + "the code is not known. A revision above the highest is read as the highest.")
            writer.line("@inlinable")
            writer.block(
                "public init?(dqlite reader: inout WordReader, code: UInt8, revision: UInt8) throws(WireError)"
            ) { writer in
                writer.line("switch code {")
                for (field, number) in coded {
                    let value = "try \(field.swiftElement)(dqlite: &reader, revision: revision)"
                    writer.line("case \(number): self = .\(field.swiftName)(\(value))")
                }
                writer.line("default: return nil")
                writer.line("}")
            }
            writer.line()
            writer.documentation("Its number on the dqlite encoding; nil for what only the protobuf encoding has.")
            writer.line("@inlinable")
            writer.block("public var code: \(kind.typeName)?") { writer in
                writer.line("switch self {")
                for (field, _) in coded { writer.line("case .\(field.swiftName): .\(field.swiftName)") }
                if !others.isEmpty {
                    writer.line("case \(others.map { ".\($0.swiftName)" }.joined(separator: ", ")): nil")
                }
                writer.line("}")
            }
        }
    }
}
