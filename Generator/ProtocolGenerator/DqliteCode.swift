// The dqlite encoding of structures.

/// A field on the native wire: the pieces of code that measure, write and read it.
struct DqliteField {
    let field: Field
    let native: NativeField
    let message: Message
    let schema: Schema

    var name: String { "self.\(self.field.swiftName)" }
    var label: String { self.field.label(in: self.message) }
    var inner: Message? {
        guard case .message(let name) = self.field.type else { return nil }
        return self.schema.message(name)
    }
    var hasInnerPayload: Bool { self.native.form == .counted && self.inner?.hasPayload == true }

    // MARK: Sizes

    /// Bytes that are always there, padding included.
    var fixedSize: Int {
        switch self.native.form {
        case .word, .half, .short, .byte: (self.native.form.bits ?? 0) / 8 + self.native.padding
        case .blob, .unpaddedBlob, .counted, .rowsEnd, .payloadWord: 8
        case .payloadHalf: 4
        case .text, .unpaddedText, .tuple, .array, .rows, .rest, .inline: 0
        }
    }

    /// The least that the field takes.
    var minimumSize: Int {
        switch self.native.form {
        case .text: 8
        case .unpaddedText: 1
        case .inline: self.inner?.minimumSize(in: self.schema) ?? 0
        default: self.fixedSize
        }
    }

    /// Lines that add to `size` what is not fixed, and refuse what does not fit.
    func writeSize(_ writer: inout SourceWriter) {
        switch self.native.form {
        case .word, .half, .short, .byte: self.writeRangeCheck(&writer)
        case .text: writer.line("size &+= try dqliteTextSize(\(self.name), field: \"\(self.label)\")")
        case .unpaddedText: writer.line("size &+= try dqliteUnpaddedTextSize(\(self.name), field: \"\(self.label)\")")
        case .blob: writer.line("size &+= roundedUpToWord(\(self.name).count)")
        case .unpaddedBlob, .rest, .payloadWord: writer.line("size &+= \(self.name).count")
        case .payloadHalf:
            self.guarding("\(self.name).count <= Int(UInt32.max)", "valueTooLarge", &writer)
            writer.line("size &+= \(self.name).count")
        case .tuple:
            writer.line("size &+= try dqliteTupleSize(\(self.name), revision: revision, field: \"\(self.label)\")")
        case .counted: self.writeElementSizes(&writer)
        case .array:
            self.guarding("UInt64(\(self.name).count) == UInt64(\(self.countName))", "countMismatch", &writer)
            writer.line("size &+= \(self.name).count &* 8")
        case .rows:
            writer.line("size &+= try dqliteRowsSize(")
            writer.line("    \(self.name), columnCount: \(self.columnCount), field: \"\(self.label)\")")
        case .rowsEnd: break
        case .inline: writer.line("size &+= try \(self.name).dqliteEncodedSize(revision: revision)")
        }
    }

    private func writeElementSizes(_ writer: inout SourceWriter) {
        switch self.field.swiftElement {
        case "String":
            writer.short(
                "for element in \(self.name)", "size &+= try dqliteTextSize(element, field: \"\(self.label)\")")
        case "[UInt8]": writer.short("for element in \(self.name)", "size &+= 8 &+ roundedUpToWord(element.count)")
        case _ where self.inner != nil:
            writer.short("for element in \(self.name)", "size &+= try element.dqliteEncodedSize(revision: revision)")
        default: writer.line("size &+= \(self.name).count &* 8")
        }
    }

    private func writeRangeCheck(_ writer: inout SourceWriter) {
        guard self.native.constant == nil, let bits = self.native.form.bits, bits < self.rawBits else { return }
        let value = self.isEnumeration ? "\(self.name).rawValue" : self.name
        self.guarding("\(value) <= UInt\(self.rawBits)(UInt\(bits).max)", "valueTooLarge", &writer)
    }

    private func guarding(_ condition: String, _ reason: String, _ writer: inout SourceWriter) {
        writer.block("guard \(condition) else") { writer in
            writer.line("throw WireEncodingError(.\(reason), field: \"\(self.label)\")")
        }
    }

    // MARK: Writing

    func writeEncode(_ writer: inout SourceWriter) {
        switch self.native.form {
        case .word, .half, .short, .byte:
            writer.line("writer.\(self.native.form)(\(self.number))")
            if self.native.padding > 0 { writer.line("writer.zeros(\(self.native.padding))") }
        case .text: writer.line("writer.text(\(self.name))")
        case .unpaddedText: writer.line("writer.unpaddedText(\(self.name))")
        case .blob: writer.line("\(self.name).withUnsafeBytes { writer.blob($0) }")
        case .unpaddedBlob: writer.line("\(self.name).withUnsafeBytes { writer.unpaddedBlob($0) }")
        case .rest: writer.line("\(self.name).withUnsafeBytes { writer.bytes($0) }")
        case .tuple: writer.line("encodeDqliteTuple(\(self.name), into: &writer, revision: revision)")
        case .counted:
            writer.line("writer.word(UInt64(\(self.name).count))")
            writer.short("for element in \(self.name)", self.encodeElement)
        case .array: writer.line("for element in \(self.name) { writer.word(element) }")
        case .rows: writer.line("encodeDqliteRows(\(self.name), columnCount: \(self.columnCount), into: &writer)")
        case .rowsEnd: writer.line("writer.word(\(self.name) ? dqliteRowsPart : dqliteRowsDone)")
        case .payloadHalf: writer.line("writer.half(UInt32(truncatingIfNeeded: \(self.name).count))")
        case .payloadWord: writer.line("writer.word(UInt64(\(self.name).count))")
        case .inline: writer.line("\(self.name).encodeDqlite(into: &writer, revision: revision)")
        }
    }

    private var encodeElement: String {
        switch self.field.swiftElement {
        case "String": "writer.text(element)"
        case "[UInt8]": "element.withUnsafeBytes { writer.blob($0) }"
        case _ where self.hasInnerPayload: "element.encodeDqliteHeader(into: &writer)"
        case _ where self.inner != nil: "element.encodeDqlite(into: &writer, revision: revision)"
        default: "writer.word(\(DqliteField.raw("element", of: self.field.type, bits: 64)))"
        }
    }

    func writePayload(_ writer: inout SourceWriter) {
        if self.native.form.isPayload { writer.line("\(self.name).withUnsafeBytes { writer.bytes($0) }") }
        if self.hasInnerPayload {
            writer.line("for element in \(self.name) { element.encodeDqlitePayload(into: &writer) }")
        }
    }

    /// The number as the writer takes it.
    private var number: String {
        if let constant = self.native.constant {
            return constant.swiftLiteral
        }
        return DqliteField.raw(self.name, of: self.field.type, bits: self.native.form.bits ?? 64)
    }

    private static func raw(_ value: String, of type: FieldType, bits: Int) -> String {
        let (unsigned, width): (String, Int)
        switch type {
        case .scalar(.bool): return "\(value) ? 1 : 0"
        case .scalar(.double): return "\(value).bitPattern"
        case .scalar(.int64), .scalar(.sint64): return "UInt64(bitPattern: \(value))"
        case .scalar(.int32): return "UInt32(bitPattern: \(value))"
        case .enumeration: (unsigned, width) = ("\(value).rawValue", 32)
        case .scalar(.uint32): (unsigned, width) = (value, 32)
        default: (unsigned, width) = (value, 64)
        }
        if width == bits { return unsigned }
        return width < bits ? "UInt\(bits)(\(unsigned))" : "UInt\(bits)(truncatingIfNeeded: \(unsigned))"
    }

    // MARK: Reading

    /// Lines that read the field from `header`, and what lies in the payload from `payload`.
    func writeDecode(header: String, payload: String, initialValue: String, _ writer: inout SourceWriter) {
        switch self.native.form {
        case .counted: self.writeDecodeElements(header: header, payload: payload, &writer)
        case .array:
            let count = self.localCount
            writer.line("let \(count) = try \(header).checked(count: UInt64(\(self.countName)), elementSize: 8)")
            writer.line("\(self.name) = []")
            writer.line("\(self.name).reserveCapacity(\(count))")
            writer.line("for _ in 0..<\(count) { \(self.name).append(try \(header).word()) }")
        case .rowsEnd:
            writer.line("let end = try \(header).word()")
            writer.short(
                "guard end == dqliteRowsDone || end == dqliteRowsPart else", "throw \(header).error(.invalidValue)")
            writer.line("\(self.name) = end == dqliteRowsPart")
        case .payloadHalf: writer.line("\(self.name) = [UInt8](try \(payload).bytes(Int(try \(header).half())))")
        case .payloadWord:
            let size = "\(self.field.swiftName)Size"
            writer.line("let \(size) = try \(payload).checked(count: try \(header).word(), elementSize: 1)")
            writer.line("\(self.name) = [UInt8](try \(payload).bytes(\(size)))")
        case _ where self.native.constant != nil:
            writer.short(
                "guard try \(header).\(self.native.form)() == \(self.number) else",
                "throw \(header).error(.invalidValue)")
            self.writeSkip(header, &writer)
        case _ where self.native.trailing:
            writer.line("\(self.name) = \(header).isAtEnd ? \(initialValue) : \(self.decode(header))")
        default:
            writer.line("\(self.name) = \(self.decode(header))")
            self.writeSkip(header, &writer)
        }
    }

    private func writeSkip(_ header: String, _ writer: inout SourceWriter) {
        if self.native.padding > 0 { writer.line("try \(header).skip(\(self.native.padding))") }
    }

    private func writeDecodeElements(header: String, payload: String, _ writer: inout SourceWriter) {
        let count = self.localCount
        let minimum = self.inner.map { max(1, $0.minimumSize(in: self.schema)) } ?? 8
        writer.line("let \(count) = try \(header).count(elementSize: \(minimum))")
        writer.line("\(self.name) = []")
        writer.line("\(self.name).reserveCapacity(\(count))")
        let element =
            switch self.field.swiftElement {
            case "String": "try \(header).text()"
            case "[UInt8]": "[UInt8](try \(header).blobBytes())"
            case let type where self.hasInnerPayload: "try \(type)(dqliteHeader: &\(header), payload: &\(payload))"
            case let type where self.inner != nil: "try \(type)(dqlite: &\(header), revision: revision)"
            default: self.convert("try \(header).word()", bits: 64, reader: header)
            }
        writer.short("for _ in 0..<\(count)", "\(self.name).append(\(element))")
    }

    /// An expression that reads the field.
    func decode(_ reader: String) -> String {
        switch self.native.form {
        case .word, .half, .short, .byte:
            self.convert("try \(reader).\(self.native.form)()", bits: self.native.form.bits ?? 64, reader: reader)
        case .text: "try \(reader).text()"
        case .unpaddedText: "try \(reader).unpaddedText()"
        case .blob: "[UInt8](try \(reader).blobBytes())"
        case .unpaddedBlob: "[UInt8](try \(reader).unpaddedBlobBytes())"
        case .rest: "[UInt8](\(reader).rest())"
        case .tuple: "try decodeDqliteTuple(from: &\(reader), revision: revision)"
        case .rows: "try decodeDqliteRows(from: &\(reader), columnCount: \(self.columnCount))"
        case .inline: "try \(self.field.swiftElement)(dqlite: &\(reader), revision: revision)"
        case .counted, .array, .rowsEnd, .payloadHalf, .payloadWord: ""
        }
    }

    private func convert(_ value: String, bits: Int, reader: String) -> String {
        // A word that has to fit into 32 bits is refused when it does not.
        let narrow = bits > self.rawBits ? "try \(reader).halfInWord()" : value
        switch self.field.type {
        case .scalar(.bool): return "\(value) != 0"
        case .scalar(.double): return "Double(bitPattern: \(value))"
        case .scalar(.int64), .scalar(.sint64): return "Int64(bitPattern: \(value))"
        case .scalar(.int32): return "Int32(bitPattern: \(value))"
        case .enumeration(let name): return "\(name)(rawValue: \(bits < 32 ? "UInt32(\(value))" : narrow))"
        default: return bits < self.rawBits ? "UInt\(self.rawBits)(\(value))" : narrow
        }
    }

    // MARK: Names

    private var isEnumeration: Bool {
        if case .enumeration = self.field.type { return true }
        return false
    }
    /// Bits of the Swift type as an integer without sign; a bool fits anywhere.
    private var rawBits: Int {
        switch self.field.type {
        case .enumeration, .scalar(.uint32), .scalar(.int32): 32
        case .scalar(.bool): 1
        default: 64
        }
    }
    private var localCount: String { "\(self.field.swiftName)Count" }
    private var countName: String { "self.\(Naming.property(self.native.count))" }
    /// The number of columns is that of the field before the rows.
    private var columnCount: String {
        let fields = self.message.nativeFields
        let index = fields.firstIndex { $0.name == self.field.name } ?? 0
        return "self.\(fields[max(0, index - 1)].swiftName).count"
    }
}

extension Message {
    /// Whether bytes of it follow after the header of the message that it lies in.
    var hasPayload: Bool { self.nativeFields.contains { $0.native?.form.isPayload == true } }

    func dqliteFields(in schema: Schema) -> [DqliteField] {
        self.fields.compactMap { field in
            field.native.map { DqliteField(field: field, native: $0, message: self, schema: schema) }
        }
    }

    /// The least that the message takes in its lowest revision.
    func minimumSize(in schema: Schema) -> Int {
        self.dqliteFields(in: schema).filter { $0.native.since == 0 && !$0.native.trailing }
            .reduce(0) { $0 + $1.minimumSize }
    }

    /// The highest revision: of a plain structure the one of the field that came last.
    func highestRevision(in schema: Schema) -> Int {
        guard let native = self.native, native.frame == .plain else { return self.native?.revision ?? 0 }
        return self.dqliteFields(in: schema).map { field in
            max(field.native.since, field.inner.map { $0.isChoice ? 0 : $0.highestRevision(in: schema) } ?? 0)
        }.max() ?? 0
    }
}

extension SwiftGenerator {
    func dqlite(_ message: Message, _ native: NativeMessage, _ writer: inout SourceWriter) {
        let fields = message.dqliteFields(in: self.schema)
        writer.block("extension \(message.name): DqliteEncodable") { writer in
            writer.short(
                "@inlinable public static var highestRevision: UInt8", "\(message.highestRevision(in: self.schema))")
            writer.line()
            self.dqliteSize(message, native, fields, &writer)
            writer.line()
            self.dqliteEncode(message, native, fields, &writer)
            writer.line()
            self.dqliteDecode(message, native, fields, &writer)
        }
    }

    /// Bytes of the frame that the message writes itself.
    private func frameSize(_ native: NativeMessage) -> Int {
        switch native.frame {
        case .raft: 16 + native.slack
        case .command: 8
        default: 0
        }
    }

    private func dqliteSize(
        _ message: Message, _ native: NativeMessage, _ fields: [DqliteField], _ writer: inout SourceWriter
    ) {
        let fixed = self.frameSize(native) + fields.filter { $0.native.since == 0 }.reduce(0) { $0 + $1.fixedSize }
        var sizes = SourceWriter()
        for (since, group) in self.byRevision(fields) {
            var lines = SourceWriter()
            let size = group.reduce(0) { $0 + $1.fixedSize }
            if since > 0, size > 0 { lines.line("size &+= \(size)") }
            for field in group { field.writeSize(&lines) }
            self.append(lines, since: since, to: &sizes)
        }
        writer.line("@inlinable")
        writer.block("public func dqliteEncodedSize(revision: UInt8) throws(WireEncodingError) -> Int") { writer in
            let isMeasured = sizes.text.contains("size &+=")
            if isMeasured { writer.line("var size = \(fixed)") }
            writer.lines(sizes.text)
            let total = isMeasured ? "size" : String(fixed)
            let result = native.padded ? "roundedUpToWord(\(total))" : total
            writer.line(sizes.text.isEmpty ? result : "return \(result)")
        }
    }

    private func dqliteEncode(
        _ message: Message, _ native: NativeMessage, _ fields: [DqliteField], _ writer: inout SourceWriter
    ) {
        writer.line("@inlinable")
        writer.block("public func encodeDqlite(into writer: inout WordWriter, revision: UInt8)") { writer in
            if native.padded { writer.line("let start = writer.count") }
            switch native.frame {
            case .raft(let number):
                writer.line("writer.word(\(number))")
                writer.line("let header = writer.openLength()")
            case .command(let number):
                writer.line("// Format 1, command \(number).")
                writer.line("writer.word(\(self.commandWord(number)))")
            case .plain where message.hasPayload:
                writer.line("self.encodeDqliteHeader(into: &writer)")
                writer.line("self.encodeDqlitePayload(into: &writer)")
                return
            default: break
            }
            self.encodeLines(fields, &writer)
            if native.raft != nil {
                if native.slack > 0 { writer.line("writer.zeros(\(native.slack))") }
                writer.line("writer.closeLength(header)")
                for field in fields { field.writePayload(&writer) }
            }
            if native.padded { writer.line("writer.align(from: start)") }
        }
        guard native.frame == .plain, message.hasPayload else { return }
        writer.line()
        writer.documentation("Writes what lies in the header of the message that this one is a part of.")
        writer.line("@inlinable")
        writer.block("func encodeDqliteHeader(into writer: inout WordWriter)") { self.encodeLines(fields, &$0) }
        writer.line()
        writer.documentation("Writes what lies in the payload of that message.")
        writer.line("@inlinable")
        writer.block("func encodeDqlitePayload(into writer: inout WordWriter)") { writer in
            for field in fields { field.writePayload(&writer) }
        }
    }

    private func encodeLines(_ fields: [DqliteField], _ writer: inout SourceWriter) {
        for (since, group) in self.byRevision(fields) {
            var lines = SourceWriter()
            for field in group { field.writeEncode(&lines) }
            self.append(lines, since: since, to: &writer)
        }
    }

    private func dqliteDecode(
        _ message: Message, _ native: NativeMessage, _ fields: [DqliteField], _ writer: inout SourceWriter
    ) {
        let isPart = native.frame == .plain && message.hasPayload
        writer.line("@inlinable")
        writer.block("public init(dqlite reader: inout WordReader, revision: UInt8) throws(WireError)") { writer in
            if native.padded { writer.line("let start = reader.offset") }
            switch native.frame {
            case .raft(let number):
                writer.line("// Peers read the low 16 bits only.")
                writer.line("guard try reader.word() & 0xffff == \(number) else { throw reader.error(.invalidValue) }")
                writer.line("var header = try reader.part(try reader.length())")
            case .command(let number):
                writer.line("// Format 1, command \(number); the rest has no meaning.")
                let word = self.commandWord(number)
                writer.line("guard try reader.word() & 0xffff == \(word) else { throw reader.error(.invalidValue) }")
            case .plain where isPart:
                let size = fields.reduce(0) { $0 + $1.fixedSize }
                writer.line("var header = try reader.part(\(size))")
                writer.line("try self.init(dqliteHeader: &header, payload: &reader)")
                return
            default: break
            }
            self.decodeLines(
                message, fields, header: native.raft != nil ? "header" : "reader", payload: "reader", &writer)
            if native.padded { writer.line("try reader.align(from: start)") }
        }
        guard isPart else { return }
        writer.line()
        writer.documentation("Reads the message out of the header and the payload of the one that it is a part of.")
        writer.line("@inlinable")
        writer.block("init(dqliteHeader header: inout WordReader, payload: inout WordReader) throws(WireError)") {
            writer in
            self.decodeLines(message, fields, header: "header", payload: "payload", &writer)
        }
    }

    private func decodeLines(
        _ message: Message, _ fields: [DqliteField], header: String, payload: String, _ writer: inout SourceWriter
    ) {
        for field in fields {
            let initial = self.defaultValue(of: field.field)
            if field.native.since > 0 {
                writer.block("if revision >= \(field.native.since)") { writer in
                    field.writeDecode(header: header, payload: payload, initialValue: initial, &writer)
                }
                if !field.field.isConstant {
                    writer.replaceLastLine(with: "} else {")
                    writer.indented { $0.line("\(field.name) = \(initial)") }
                    writer.line("}")
                }
            } else {
                field.writeDecode(header: header, payload: payload, initialValue: initial, &writer)
            }
        }
        // What the native wire does not carry keeps its initial value.
        for field in message.storedFields where field.native == nil {
            writer.line("self.\(field.swiftName) = \(self.defaultValue(of: field))")
        }
        for oneof in message.oneofs { writer.line("self.\(Naming.property(oneof.name)) = nil") }
    }

    private func commandWord(_ number: Int) -> String {
        let hex = String(number, radix: 16)
        return "0x\(hex.count < 2 ? "0" : "")\(hex)01"
    }

    /// The fields, in groups of neighbours that belong to the same revision.
    private func byRevision(_ fields: [DqliteField]) -> [(since: Int, fields: [DqliteField])] {
        var groups: [(since: Int, fields: [DqliteField])] = []
        for field in fields {
            if groups.last?.since == field.native.since {
                groups[groups.count - 1].fields.append(field)
            } else {
                groups.append((field.native.since, [field]))
            }
        }
        return groups
    }

    private func append(_ lines: SourceWriter, since: Int, to writer: inout SourceWriter) {
        guard !lines.text.isEmpty else { return }
        if since == 0 { return writer.lines(lines.text) }
        writer.block("if revision >= \(since)") { $0.lines(lines.text) }
    }
}
