// Views of the requests that carry parameters.

extension SwiftGenerator {
    func view(of message: Message, _ writer: inout SourceWriter) {
        let fields = message.dqliteFields(in: self.schema)
        writer.documentation(
            "A ``\(message.name)`` whose text and parameters lie where they arrived: made without an allocation, and valid "
                + "no longer than the memory that was read. Text in parameters is not checked to be UTF-8.")
        writer.block("public struct \(message.name)View") { writer in
            for field in fields {
                writer.documentation(field.field.comment)
                let keyword = field.native.form == .tuple ? "var" : "let"
                writer.line("public \(keyword) \(field.field.swiftName): \(self.viewType(of: field))")
            }
            writer.line()
            writer.documentation("Reads a body of the dqlite encoding.")
            writer.line("@inlinable")
            writer.block("public init(dqlite bytes: UnsafeRawBufferPointer, revision: UInt8) throws(WireError)") {
                writer in
                writer.line("var reader = WordReader(bytes, message: \"\(message.name)\")")
                for field in fields {
                    let value =
                        switch field.native.form {
                        case .tuple: "try ParameterCursor(dqlite: &reader, revision: revision)"
                        case .text where field.field.type == .scalar(.string): "try reader.utf8Bytes()"
                        case .text: "try reader.textBytes()"
                        case .blob: "try reader.blobBytes()"
                        default: field.decode("reader")
                        }
                    writer.line("\(field.name) = \(value)")
                    if field.native.padding > 0 { writer.line("try reader.skip(\(field.native.padding))") }
                }
            }
            writer.line()
            self.viewFromProtobuf(message, fields, &writer)
        }
    }

    private func isBytes(_ field: DqliteField) -> Bool { field.native.form == .text || field.native.form == .blob }

    private func viewType(of field: DqliteField) -> String {
        if field.native.form == .tuple { return "ParameterCursor" }
        return self.isBytes(field) ? "UnsafeRawBufferPointer" : field.field.swiftType
    }

    private func viewFromProtobuf(_ message: Message, _ fields: [DqliteField], _ writer: inout SourceWriter) {
        writer.documentation("Reads a message of the protobuf encoding. Its parameters are only counted.")
        writer.line("@inlinable")
        writer.block("public init(protobuf bytes: UnsafeRawBufferPointer) throws(WireError)") { writer in
            for field in fields {
                let name = field.field.swiftName
                if field.native.form == .tuple {
                    writer.line("var \(name)Count = 0")
                } else if self.isBytes(field) {
                    writer.line("var \(name) = UnsafeRawBufferPointer(start: nil, count: 0)")
                } else {
                    writer.line("var \(name): \(field.field.swiftType) = \(self.defaultValue(of: field.field))")
                }
            }
            writer.line("var reader = ProtobufReader(bytes, message: \"\(message.name)\")")
            writer.block("while let key = try reader.nextKey()") { writer in
                writer.line("switch key {")
                for field in fields {
                    let name = field.field.swiftName
                    let part = ProtobufField(field: field.field, message: message, schema: self.schema)
                    if field.native.form == .tuple {
                        writer.line("case \(part.key):")
                        writer.line("    _ = try reader.bytes()")
                        writer.line("    \(name)Count &+= 1")
                    } else {
                        let bytes = "try reader.\(field.field.type == .scalar(.string) ? "utf8Bytes" : "bytes")()"
                        let value = self.isBytes(field) ? bytes : part.read(from: "reader")
                        writer.line("case \(part.key): \(name) = \(value)")
                    }
                }
                writer.line("default: try reader.skip(key)")
                writer.line("}")
            }
            for field in fields {
                let name = field.field.swiftName
                if field.native.form == .tuple {
                    let key = ProtobufField(field: field.field, message: message, schema: self.schema).key
                    writer.list(
                        "self.\(name) = ParameterCursor",
                        ["protobuf: bytes", "key: \(key)", "count: \(name)Count", "message: \"\(message.name)\""], "")
                } else {
                    writer.line("self.\(name) = \(name)")
                }
            }
        }
    }
}
