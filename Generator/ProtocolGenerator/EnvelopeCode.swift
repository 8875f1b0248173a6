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
            self.oneofDecode(fields, &writer)
        }
        if let kind = CodeKind.allCases.first(where: { $0.envelope == message.name }) {
            writer.line()
            self.bodyOnDqlite(type, kind, fields, &writer)
        }
    }

    private func oneofDecode(_ fields: [ProtobufField], _ writer: inout SourceWriter) {
        writer.documentation(
            "Reads the message that belongs to `key`; nil when none does. Of a message that comes in parts this is another one: it "
                + "is merged with `earlier`.")
        writer.line("@inlinable")
        writer.block(
            "init?(protobuf reader: inout ProtobufReader, key: UInt32, after earlier: Self?) throws(WireError)"
        ) { writer in
            writer.line("switch key {")
            for field in fields {
                let (name, type) = (field.field.swiftName, field.field.swiftElement)
                writer.line("case \(field.key):")
                writer.indented { writer in
                    writer.line("var part = try reader.nested(\"\(type)\")")
                    writer.block("if case .\(name)(var body)? = earlier") { writer in
                        writer.line("try body.mergeProtobuf(from: &part)")
                        writer.line("self = .\(name)(body)")
                    }
                    writer.replaceLastLine(with: "} else {")
                    writer.line("    self = .\(name)(try \(type)(protobuf: &part))")
                    writer.line("}")
                }
            }
            writer.line("default: return nil")
            writer.line("}")
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
        let isAsked = { (field: Field) in self.schema.message(field.swiftElement)?.native?.revisionByRequest == true }
        let asked = coded.map(\.field).filter(isAsked)
        writer.block("extension \(type)") { writer in
            var comment =
                "Reads the body of a frame of the dqlite encoding, by the code and the revision of its header; nil when "
                + "the code is not known. A revision above the highest is read as the highest."
            if !asked.isEmpty {
                let names = asked.map { "``\($0.swiftElement)``" }.joined(separator: ", ")
                comment +=
                    "\n\n- Parameter askedRevision: The revision that the request asked for. The header of \(names) does not "
                    + "say it, so nil is returned for such a body when it is not given."
            }
            writer.documentation(comment)
            writer.line("@inlinable")
            writer.list(
                "public init?",
                ["dqlite reader: inout WordReader", "code: UInt8", "revision: UInt8"]
                    + (asked.isEmpty ? [] : ["askedRevision: UInt8? = nil"]), " throws(WireError) {")
            writer.indented { writer in
                writer.line("switch code {")
                for (field, number) in coded {
                    let revision = isAsked(field) ? "askedRevision" : "revision"
                    let value = "try \(field.swiftElement)(dqlite: &reader, revision: \(revision))"
                    if isAsked(field) {
                        writer.line("case \(number):")
                        writer.line("    guard let askedRevision else { return nil }")
                        writer.line("    self = .\(field.swiftName)(\(value))")
                    } else {
                        writer.line("case \(number): self = .\(field.swiftName)(\(value))")
                    }
                }
                writer.line("default: return nil")
                writer.line("}")
            }
            writer.line("}")
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
