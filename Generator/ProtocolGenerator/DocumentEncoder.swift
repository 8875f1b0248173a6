/// Encodes samples by what the schema says, each part with its meaning. It knows nothing of the generated code, which tests hold
/// it against.
struct DocumentEncoder {
    let schema: Schema

    // MARK: The dqlite encoding

    /// A request or response with its header.
    func dqliteFrame(_ name: String, _ sample: Sample, revision: Int = 0) -> [AnnotatedBytes] {
        guard let message = self.schema.message(name) else { return [] }
        let body = self.dqliteBody(message, sample, revision: revision)
        let words = body.reduce(0) { $0 + $1.bytes.count } / 8
        let (number, kind) =
            switch message.native?.frame {
            case .request(let number): (number, "request")
            case .response(let number): (number, "response")
            default: (0, "message")
            }
        let header = Self.little(UInt64(words), 4) + [UInt8(number), UInt8(revision), 0, 0]
        let title = Naming.title(Naming.title(name, without: "Request"), without: "Response")
        return [
            AnnotatedBytes(
                bytes: header,
                note: "body of \(words) word\(words == 1 ? "" : "s"); \(kind) \(number), \(title); revision \(revision)"
            )
        ] + body
    }

    /// The fields of a message, one after the other.
    func dqliteBody(_ message: Message, _ sample: Sample, revision: Int) -> [AnnotatedBytes] {
        message.nativeFields.filter { ($0.native?.since ?? 0) <= revision }.flatMap { field in
            self.dqlite(field, of: message, sample, revision: revision)
        }
    }

    private func dqlite(_ field: Field, of message: Message, _ sample: Sample, revision: Int) -> [AnnotatedBytes] {
        guard let native = field.native else { return [] }
        let value = sample[field.name]
        let note = "`\(field.name)`: \(self.shown(value, of: field))".replacing("`", with: "")
        switch native.form {
        case .word, .half, .short, .byte:
            let bits = native.constant ?? value?.bits ?? 0
            let size = (native.form.bits ?? 64) / 8
            let padding = [UInt8](repeating: 0, count: native.padding)
            let unused = padding.isEmpty ? "" : ", \(padding.count) unused bytes"
            return [AnnotatedBytes(bytes: Self.little(bits, size) + padding, note: note + unused)]
        case .text: return [AnnotatedBytes(bytes: Self.text(value?.content ?? []), note: note)]
        case .unpaddedText: return [AnnotatedBytes(bytes: (value?.content ?? []) + [0], note: note)]
        case .blob, .unpaddedBlob, .rest, .array, .payloadHalf, .payloadWord, .inline:
            let bytes = value?.content ?? []
            let length = AnnotatedBytes(
                bytes: Self.little(UInt64(bytes.count), 8), note: "\(field.name): \(bytes.count) bytes")
            let content = native.form == .blob ? Self.padded(bytes) : bytes
            return [length, AnnotatedBytes(bytes: content, note: "the bytes")]
        case .tuple: return self.tuple(value?.elements ?? [], revision: revision)
        case .counted: return self.counted(value?.elements ?? [], field, revision: revision)
        case .rows:
            let columns = message.nativeFields.first.flatMap { sample[$0.name]?.elements.count } ?? 0
            return self.rows(value?.elements ?? [], columns: columns)
        case .rowsEnd:
            let more = value?.bits == 1
            return [
                AnnotatedBytes(
                    bytes: [UInt8](repeating: more ? 0xee : 0xff, count: 8),
                    note: more ? "\(field.name): another part follows" : "\(field.name): the result is complete")
            ]
        }
    }

    private func counted(_ elements: [Sample], _ field: Field, revision: Int) -> [AnnotatedBytes] {
        let count = AnnotatedBytes(
            bytes: Self.little(UInt64(elements.count), 8), note: "\(field.name): \(elements.count)")
        return [count]
            + elements.flatMap { element -> [AnnotatedBytes] in
                if case .message(let name) = field.type, let inner = self.schema.message(name) {
                    return self.dqliteBody(inner, element, revision: revision)
                }
                return [AnnotatedBytes(bytes: Self.text(element.content), note: element.shown)]
            }
    }

    private func tuple(_ values: [Sample], revision: Int) -> [AnnotatedBytes] {
        guard !values.isEmpty else { return [] }
        let codes = values.map(self.typeCode)
        let count = Self.little(UInt64(values.count), revision == 0 ? 1 : 4)
        let list = codes.map { "\($0)" }.joined(separator: ", ")
        let note = "\(values.count) parameters, of the types \(list)"
        return [AnnotatedBytes(bytes: Self.padded(count + codes.map { UInt8($0) }), note: note)] + values.map(self.cell)
    }

    private func rows(_ values: [Sample], columns: Int) -> [AnnotatedBytes] {
        guard columns > 0 else { return [] }
        return stride(from: 0, to: values.count, by: columns).flatMap { start -> [AnnotatedBytes] in
            let row = values[start..<min(start + columns, values.count)]
            let codes = row.map(self.typeCode)
            var header = [UInt8](repeating: 0, count: (columns + 1) / 2)
            for (column, code) in codes.enumerated() { header[column / 2] |= UInt8(code) << UInt8(column % 2 * 4) }
            let note = "row of the types \(codes.map { "\($0)" }.joined(separator: ", "))"
            return [AnnotatedBytes(bytes: Self.padded(header), note: note)] + row.map(self.cell)
        }
    }

    /// The field of Value that a sample sets.
    private func choice(_ sample: Sample) -> (field: Field, value: Sample)? {
        guard let value = self.schema.message("Value") else { return nil }
        for field in value.fields {
            if let set = sample[field.name] { return (field, set) }
        }
        return nil
    }

    private func typeCode(_ sample: Sample) -> Int { self.choice(sample)?.field.number ?? 5 }

    private func cell(_ sample: Sample) -> AnnotatedBytes {
        guard let (field, value) = self.choice(sample) else {
            return AnnotatedBytes(bytes: Self.little(0, 8), note: "NULL")
        }
        if field.isUnit { return AnnotatedBytes(bytes: Self.little(0, 8), note: "NULL") }
        switch field.native?.form {
        case .text: return AnnotatedBytes(bytes: Self.text(value.content), note: value.shown)
        case .blob:
            let bytes = Self.little(UInt64(value.content.count), 8) + Self.padded(value.content)
            return AnnotatedBytes(bytes: bytes, note: value.shown)
        default: return AnnotatedBytes(bytes: Self.little(value.bits, 8), note: value.shown)
        }
    }

    private func shown(_ value: Sample?, of field: Field) -> String {
        if case .enumeration(let name) = field.type, let enumeration = self.schema.enumeration(name) {
            let number = Int(value?.bits ?? 0)
            let label = enumeration.cases.first { $0.number == number }?.name ?? "\(number)"
            return "\(number), \(label)"
        }
        return value?.shown ?? ([.text, .unpaddedText].contains(field.native?.form) ? "\"\"" : "0")
    }

    private static func little(_ value: UInt64, _ count: Int) -> [UInt8] {
        (0..<count).map { UInt8(truncatingIfNeeded: value >> UInt64(8 * $0)) }
    }

    private static func padded(_ bytes: [UInt8]) -> [UInt8] {
        bytes + [UInt8](repeating: 0, count: (8 - bytes.count % 8) % 8)
    }

    private static func text(_ bytes: [UInt8]) -> [UInt8] { Self.padded(bytes + [0]) }

    // MARK: The protobuf encoding

    /// An envelope with its length.
    func protobufFrame(_ name: String, _ sample: Sample) -> [AnnotatedBytes] {
        guard let message = self.schema.message(name) else { return [] }
        let fields = self.protobuf(message, sample)
        let size = fields.reduce(0) { $0 + $1.bytes.count }
        return [AnnotatedBytes(bytes: Self.varint(UInt64(size)), note: "\(name) of \(size) bytes")] + fields
    }

    func protobuf(_ message: Message, _ sample: Sample) -> [AnnotatedBytes] {
        message.fields.sorted { $0.number < $1.number }.flatMap { field -> [AnnotatedBytes] in
            guard let value = sample[field.name] else { return [] }
            if field.isRepeated { return value.elements.flatMap { self.protobuf(field, $0) } }
            if field.oneof == nil, value.bits == 0, value.content.isEmpty, value.elements.isEmpty {
                if case .message = value {} else { return [] }
            }
            return self.protobuf(field, value)
        }
    }

    private func protobuf(_ field: Field, _ value: Sample) -> [AnnotatedBytes] {
        let note = "\(field.name) (\(field.number)): \(self.shown(value, of: field))"
        func key(_ wireType: UInt64) -> [UInt8] { Self.varint(UInt64(field.number) << 3 | wireType) }
        switch field.type {
        case .message(let name):
            guard let inner = self.schema.message(name) else { return [] }
            let parts = self.protobuf(inner, value)
            let size = parts.reduce(0) { $0 + $1.bytes.count }
            let head = key(2) + Self.varint(UInt64(size))
            if inner.isChoice {
                // A value reads better in one piece.
                let bytes = head + parts.flatMap(\.bytes)
                let shown = self.choice(value).map { $0.field.isUnit ? "NULL" : $0.value.shown } ?? "NULL"
                return [AnnotatedBytes(bytes: bytes, note: "\(field.name) (\(field.number)): \(shown)")]
            }
            return [
                AnnotatedBytes(bytes: head, note: "\(field.name) (\(field.number)): \(name) of \(size) bytes")
            ] + parts
        case .scalar(.string), .scalar(.bytes):
            return [
                AnnotatedBytes(bytes: key(2) + Self.varint(UInt64(value.content.count)) + value.content, note: note)
            ]
        case .scalar(.double), .scalar(.fixed64):
            return [AnnotatedBytes(bytes: key(1) + Self.little(value.bits, 8), note: note)]
        case .scalar(.sint64):
            let bits = Int64(bitPattern: value.bits)
            return [AnnotatedBytes(bytes: key(0) + Self.varint(UInt64(bitPattern: bits << 1 ^ bits >> 63)), note: note)]
        case .scalar, .enumeration:
            return [AnnotatedBytes(bytes: key(0) + Self.varint(value.bits), note: note)]
        }
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
}
