// A message that is nothing but a choice, as a value of SQLite is: an enumeration, and its view.

extension Field {
    /// `case integer(Int64)`, or a case without a value.
    fileprivate var isViewedBytes: Bool { self.native?.form == .text || self.native?.form == .blob }

    fileprivate func payload(view: Bool) -> String {
        if self.isUnit { return "" }
        return "(\(view && self.isViewedBytes ? "UnsafeRawBufferPointer" : self.swiftElement))"
    }
}

extension SwiftGenerator {
    /// The unit first, as it is what nothing is.
    private func ordered(_ message: Message) -> [Field] {
        message.fields.filter(\.isUnit) + message.fields.filter { !$0.isUnit }
    }

    func choice(_ message: Message, _ writer: inout SourceWriter) {
        writer.documentation(message.comment)
        writer.block("public enum \(message.name): Hashable, Sendable") { writer in
            for field in self.ordered(message) {
                writer.documentation(field.comment)
                writer.line("case \(field.swiftName)\(field.payload(view: false))")
            }
        }
        self.conformance(of: message, &writer)
        writer.line()
        writer.line("// MARK: The dqlite encoding")
        writer.line()
        writer.block("extension \(message.name)") { writer in
            self.typeCode(message, &writer)
            writer.line()
            self.choiceDqliteSize(message, &writer)
            writer.line()
            self.choiceDqliteEncode(message, &writer)
            writer.line()
            self.choiceDqliteDecode(message, view: false, &writer)
        }
        writer.line()
        writer.line("// MARK: The protobuf encoding")
        writer.line()
        self.choiceProtobuf(message, &writer)
        writer.line()
        self.protobufKeys(message, &writer)
        writer.line()
        writer.block("extension \(message.name)") { writer in
            writer.documentation("Numbers of the types in the dqlite encoding.")
            writer.block("public enum TypeCode") { writer in
                for field in message.fields {
                    writer.line("@inlinable public static var \(field.swiftName): UInt8 { \(field.number) }")
                }
            }
        }
    }

    func choiceView(_ message: Message, _ writer: inout SourceWriter) {
        writer.documentation(
            "A ``\(message.name)`` whose bytes lie where they arrived: valid no longer than the memory that was read. "
                + "Text is not checked to be UTF-8.")
        writer.block("public enum \(message.name)View") { writer in
            for field in self.ordered(message) {
                writer.documentation(field.comment)
                writer.line("case \(field.swiftName)\(field.payload(view: true))")
            }
        }
        writer.line()
        writer.block("extension \(message.name)View") { writer in
            self.typeCode(message, &writer)
            writer.line()
            self.choiceDqliteDecode(message, view: true, &writer)
            writer.line()
            self.choiceProtobufDecode(message, view: true, &writer)
        }
    }

    private func typeCode(_ message: Message, _ writer: inout SourceWriter) {
        writer.documentation("Its number among the types of the dqlite encoding.")
        writer.line("@inlinable @inline(__always)")
        writer.block("public var typeCode: UInt8") { writer in
            writer.line("switch self {")
            for field in message.fields { writer.line("case .\(field.swiftName): \(field.number)") }
            writer.line("}")
        }
    }

    // MARK: The dqlite encoding

    private func choiceDqliteSize(_ message: Message, _ writer: inout SourceWriter) {
        let words = message.fields.filter { $0.native?.form == .word }
        let texts = message.fields.filter { $0.native?.form == .text }
        let blobs = message.fields.filter { $0.native?.form == .blob }
        writer.documentation(
            "Size in the dqlite encoding, in bytes.\n\n- Throws: ``WireEncodingError`` when a text contains NUL; `field` is named in it."
        )
        writer.line("@inlinable @inline(__always)")
        writer.block("public func dqliteSize(field: StaticString) throws(WireEncodingError) -> Int") { writer in
            writer.line("switch self {")
            if !words.isEmpty { writer.line("case \(words.map { ".\($0.swiftName)" }.joined(separator: ", ")): 8") }
            for field in texts {
                writer.line("case .\(field.swiftName)(let text): try dqliteTextSize(text, field: field)")
            }
            for field in blobs {
                writer.line("case .\(field.swiftName)(let bytes): 8 &+ roundedUpToWord(bytes.count)")
            }
            writer.line("}")
        }
    }

    private func choiceDqliteEncode(_ message: Message, _ writer: inout SourceWriter) {
        writer.documentation("Writes the value, without its type code.")
        writer.line("@inlinable @inline(__always)")
        writer.block("public func encodeDqlite(into writer: inout WordWriter)") { writer in
            writer.line("switch self {")
            for field in message.fields {
                if field.isUnit {
                    writer.line("case .\(field.swiftName): writer.word(0)")
                    continue
                }
                let statement =
                    switch field.native?.form {
                    case .text: "writer.text(value)"
                    case .blob: "value.withUnsafeBytes { writer.blob($0) }"
                    default: self.wordStatement(field)
                    }
                writer.line("case .\(field.swiftName)(let value): \(statement)")
            }
            writer.line("}")
        }
    }

    private func wordStatement(_ field: Field) -> String {
        switch field.swiftElement {
        case "Bool": "writer.word(value ? 1 : 0)"
        case "Double": "writer.word(value.bitPattern)"
        case "Int64": "writer.word(UInt64(bitPattern: value))"
        default: "writer.word(UInt64(value))"
        }
    }

    private func choiceDqliteDecode(_ message: Message, view: Bool, _ writer: inout SourceWriter) {
        writer.documentation("Reads a value of that type code.")
        writer.line("@inlinable @inline(__always)")
        writer.block("public init(dqlite reader: inout WordReader, typeCode: UInt8) throws(WireError)") { writer in
            writer.line("switch typeCode {")
            for field in message.fields {
                if field.isUnit {
                    writer.line("case \(field.number):")
                    writer.line("    _ = try reader.word()")
                    writer.line("    self = .\(field.swiftName)")
                    continue
                }
                let value =
                    switch field.native?.form {
                    case .text: view ? "try reader.textBytes()" : "try reader.text()"
                    case .blob: view ? "try reader.blobBytes()" : "[UInt8](try reader.blobBytes())"
                    default: self.wordExpression(field)
                    }
                writer.line("case \(field.number): self = .\(field.swiftName)(\(value))")
            }
            writer.line("default: throw reader.error(.invalidValue)")
            writer.line("}")
        }
    }

    private func wordExpression(_ field: Field) -> String {
        switch field.swiftElement {
        case "Bool": "try reader.word() != 0"
        case "Double": "Double(bitPattern: try reader.word())"
        case "Int64": "Int64(bitPattern: try reader.word())"
        case "UInt64": "try reader.word()"
        default: "try reader.halfInWord()"
        }
    }

    // MARK: The protobuf encoding

    private func choiceProtobuf(_ message: Message, _ writer: inout SourceWriter) {
        writer.block("extension \(message.name): ProtobufEncodable") { writer in
            writer.line("@inlinable @inline(__always)")
            writer.block("public var protobufEncodedSize: Int") { writer in
                writer.line("switch self {")
                for field in message.fields {
                    let part = ProtobufField(field: field, message: message, schema: self.schema)
                    let size = part.size(of: "value")
                    let needsValue = Int(size) == nil
                    let total = Int(size).map { String($0 + part.keySize) } ?? "\(part.keySize) &+ \(size)"
                    writer.line("case .\(field.swiftName)\(needsValue ? "(let value)" : ""): \(total)")
                }
                writer.line("}")
            }
            writer.line()
            writer.line("@inlinable @inline(__always)")
            writer.block("public func encodeProtobuf(into writer: inout ProtobufWriter)") { writer in
                self.choiceEncodeCases(message, withLength: false, &writer)
            }
            writer.line()
            self.choiceProtobufDecode(message, view: false, &writer)
        }
        writer.line()
        writer.block("extension \(message.name)") { writer in
            writer.documentation("Writes the message preceded by its length, which is known as soon as the case is.")
            writer.line("@inlinable @inline(__always)")
            writer.block("func encodeProtobufWithLength(into writer: inout ProtobufWriter)") { writer in
                self.choiceEncodeCases(message, withLength: true, &writer)
            }
        }
    }

    private func choiceEncodeCases(_ message: Message, withLength: Bool, _ writer: inout SourceWriter) {
        writer.line("switch self {")
        for field in message.fields {
            let part = ProtobufField(field: field, message: message, schema: self.schema)
            writer.line("case .\(field.swiftName)\(field.isUnit ? "" : "(let value)"):")
            writer.indented { writer in
                let size = part.size(of: "value")
                if withLength, let fixed = Int(size) {
                    writer.line("writer.byte(\(fixed + part.keySize))")
                } else if withLength, field.isViewedBytes {
                    writer.line("writer.varint(UInt64(\(part.keySize) &+ \(size)))")
                } else if withLength {
                    // A number takes 10 bytes at most.
                    writer.line("writer.byte(UInt8(truncatingIfNeeded: \(part.keySize) &+ \(size)))")
                }
                writer.line(part.writeKey)
                writer.line(field.isUnit ? "writer.byte(1)" : part.write("value"))
            }
        }
        writer.line("}")
    }

    private func choiceProtobufDecode(_ message: Message, view: Bool, _ writer: inout SourceWriter) {
        if view { writer.documentation("Reads the message up to the end of the reader.") }
        let unit = message.fields.first(where: \.isUnit)?.swiftName ?? ""
        writer.line("@inlinable @inline(__always)")
        let isMerged = !view && self.isMerged(message)
        writer.block("public init(protobuf reader: inout ProtobufReader) throws(WireError)") { writer in
            writer.line("self = .\(unit)")
            if isMerged { writer.line("try self.mergeProtobuf(from: &reader)") } else { decode(&writer) }
        }
        guard isMerged else { return }
        writer.line()
        writer.documentation("Reads another part of the message up to the end of the reader.")
        writer.line("@inlinable @inline(__always)")
        writer.block("mutating func mergeProtobuf(from reader: inout ProtobufReader) throws(WireError)") { decode(&$0) }

        func decode(_ writer: inout SourceWriter) {
            writer.block("while let key = try reader.nextKey()") { writer in
                writer.line("switch key {")
                for field in message.fields {
                    let part = ProtobufField(field: field, message: message, schema: self.schema)
                    if field.isUnit {
                        writer.line("case \(part.key):")
                        writer.line("    _ = try reader.varint()")
                        writer.line("    self = .\(unit)")
                    } else {
                        let value = view && field.isViewedBytes ? "try reader.bytes()" : part.read(from: "reader")
                        writer.line("case \(part.key): self = .\(field.swiftName)(\(value))")
                    }
                }
                writer.line("default: try reader.skip(key)")
                writer.line("}")
            }
        }
    }
}
