/// The tables of the reference, made from the schema.
struct DocumentTables {
    let schema: Schema
    /// The forms of options.proto with their comments.
    let forms: [EnumerationCase]

    private static let separator = " · "

    // MARK: Indexes

    /// What bytes each form stands for.
    func formTable() -> [String] {
        ["| form | bytes |", "| --- | --- |"]
            + self.forms.filter { $0.number != 0 }.map { "| `\($0.name)` | \(Self.cell($0.comment)) |" }
    }

    /// The type codes of values.
    func typeCodes() -> [String] {
        let fields = self.schema.message("Value")?.fields ?? []
        return ["| code | `Value` | form | protobuf | meaning |", "| --: | --- | --- | --- | --- |"]
            + fields.map { field in
                let form = field.isUnit ? "`WORD`, zero" : "`\(field.native?.form.name ?? "")`"
                return "| \(field.number) | `\(field.name)` | \(form) | `\(field.type)` | \(Self.cell(field.comment)) |"
            }
    }

    /// Requests or responses by number.
    func index(_ kind: String) -> [String] {
        let isRequest = kind == "requests"
        let messages = self.numbered(kind)
        let head =
            isRequest
            ? ["| number | request | revisions | answered by |", "| --: | --- | --- | --- |"]
            : ["| number | response | revisions |", "| --: | --- | --- |"]
        return head
            + messages.map { number, message in
                let native = message.native ?? NativeMessage()
                let revisions = native.revision == 0 ? "0" : "0 to \(native.revision)"
                let legacy = native.legacy ? ", legacy" : ""
                let row = "| \(number) | \(self.link(message.name))\(legacy) | \(revisions) |"
                guard isRequest else { return row }
                let answers = native.answers.map(self.link).joined(separator: ", ")
                return row + " \(answers.isEmpty ? "nothing" : answers) |"
            }
    }

    private func numbered(_ kind: String) -> [(number: Int, message: Message)] {
        self.schema.messages.compactMap { message in
            switch (kind, message.native?.frame) {
            case ("requests", .request(let number)), ("responses", .response(let number)): (number, message)
            default: nil
            }
        }.sorted { ($0.0, $0.1.position) < ($1.0, $1.1.position) }
    }

    // MARK: Sections

    /// A section for each request or response, by number.
    func sections(_ kind: String) -> [String] { self.numbered(kind).flatMap { self.section($0.message) } }

    /// A section for each type of a file that has no number in the client protocol. `protobuf`: whether the protobuf encoding of
    /// the messages is in use.
    func sections(file name: String, protobuf: Bool) -> [String] {
        guard let file = self.schema.files.first(where: { $0.name == name }) else { return [] }
        let messages = file.messages.filter { message in
            switch message.native?.frame {
            case .request, .response: false
            default: true
            }
        }
        let sections =
            messages.map { ($0.position, self.section($0, protobuf: protobuf)) }
            + file.enumerations.map { ($0.position, self.section($0)) }
        return sections.sorted { $0.0 < $1.0 }.flatMap(\.1)
    }

    /// The comment at the head of a file of the schema.
    func comment(file name: String) -> [String] {
        Self.prose(self.schema.files.first { $0.name == name }?.comment ?? "")
    }

    private func section(_ enumeration: Enumeration) -> [String] {
        ["### \(enumeration.name)", ""] + Self.prose(enumeration.comment) + [
            "", "| value | name | meaning |", "| --: | --- | --- |",
        ]
            + enumeration.cases.map { "| \($0.number) | `\($0.name)` | \(Self.cell($0.comment)) |" } + [""]
    }

    private func section(_ message: Message, protobuf: Bool = true) -> [String] {
        var lines = ["### \(message.name)", ""]
        let facts = self.facts(of: message)
        if !facts.isEmpty { lines += [facts.joined(separator: Self.separator), ""] }
        lines += Self.prose(message.comment) + [""]
        guard !message.fields.isEmpty else { return lines + ["No fields.", ""] }
        if message.native == nil { return lines + self.protobufTable(of: message) + [""] }
        return lines + self.nativeTable(of: message, protobuf: protobuf) + [""]
    }

    /// What stands below the heading: how the message is framed.
    private func facts(of message: Message) -> [String] {
        guard let native = message.native else { return [] }
        var facts: [String] = []
        var envelope: String?
        switch native.frame {
        case .request(let number): (facts, envelope) = (["**Request \(number)**"], "Request")
        case .response(let number):
            (facts, envelope) = (["**Response \(number)**\(native.legacy ? ", legacy" : "")"], "Response")
        case .raft(let number):
            facts = ["**Message \(number)**", self.headerLength(of: message, native)].compactMap { $0 }
        case .command(let number): facts = ["**Command \(number)**"]
        case .plain: return []
        }
        if native.revision > 0 { facts.append("revisions 0 to \(native.revision)") }
        if !native.answers.isEmpty {
            facts.append("answered by \(native.answers.map(self.link).joined(separator: ", "))")
        } else if case .request = native.frame {
            facts.append("not answered")
        }
        if let envelope, !native.legacy {
            let field = self.schema.message(envelope)?.fields.first { $0.type == .message(message.name) }
            if let field { facts.append("envelope field \(field.number), `\(field.name)`") }
        }
        return facts
    }

    private func headerLength(of message: Message, _ native: NativeMessage) -> String? {
        let sizes = message.nativeFields.map { field in
            field.native?.form.bits.map { $0 / 8 + (field.native?.padding ?? 0) }
        }
        guard !sizes.contains(nil) else { return nil }
        let size = sizes.compactMap { $0 }.reduce(native.slack, +)
        let trailing = message.nativeFields.filter { $0.native?.trailing == true }
        guard !trailing.isEmpty else { return "header of \(size) bytes" }
        let names = trailing.map { "`\($0.name)`" }.joined(separator: ", ")
        return "header of \(size) bytes, \(size - 8 * trailing.count) without \(names)"
    }

    // MARK: Fields

    private func protobufTable(of message: Message) -> [String] {
        var lines = ["| field | number | type | meaning |", "| --- | --: | --- | --- |"]
        for field in message.fields {
            var meaning = field.comment
            if meaning.isEmpty, case .message(let name) = field.type {
                meaning = self.schema.message(name)?.comment ?? ""
                meaning = meaning.isEmpty ? "" : Self.firstSentence(meaning)
            }
            lines.append("| `\(field.name)` | \(field.number) | \(self.type(of: field)) | \(Self.cell(meaning)) |")
        }
        return lines
    }

    private func nativeTable(of message: Message, protobuf: Bool) -> [String] {
        var lines =
            protobuf
            ? ["| at | form | field | protobuf | meaning |", "| --- | --- | --- | --- | --- |"]
            : ["| at | form | field | meaning |", "| --- | --- | --- | --- |"]
        var place = Place()
        func row(_ at: String, _ form: String, _ field: String, _ type: String, _ meaning: String) {
            lines.append("| \(at) | \(form) | \(field) |\(protobuf ? " \(type) |" : "") \(meaning) |")
        }
        for field in message.fields {
            let type = "\(field.number), \(self.type(of: field))"
            guard let native = field.native else {
                row("", "—", "`\(field.name)`", type, Self.cell(field.comment))
                continue
            }
            row(
                place.text, self.form(of: field, native), "`\(field.name)`", type,
                self.meaning(of: field, native, in: message))
            place.advance(by: native.form.headerSize, field: field.name)
            if native.padding > 0 {
                row(place.text, "\(native.padding) bytes", "", "", "Unused: zeros when written, ignored when read.")
                place.advance(by: native.padding, field: field.name)
            }
        }
        let native = message.native ?? NativeMessage()
        if native.slack > 0 {
            row("", "\(native.slack) bytes", "", "", "Unused, counted in the length of the header. Ignored when read.")
        }
        if native.padded {
            row("", "up to 7 bytes", "", "", "Up to a multiple of 8: zeros when written, ignored when read.")
        }
        return lines
    }

    /// Where the next field lies: so many bytes after the beginning, or after the last field of no fixed size.
    private struct Place {
        private var offset = 0
        private var variable: String?

        var text: String {
            guard let variable = self.variable else { return "\(self.offset)" }
            return self.offset == 0 ? "after `\(variable)`" : "after `\(variable)` + \(self.offset)"
        }

        mutating func advance(by size: Int?, field: String) {
            self.offset = size.map { self.offset + $0 } ?? 0
            if size == nil { self.variable = field }
        }
    }

    private func form(of field: Field, _ native: NativeField) -> String {
        switch (native.form, field.type) {
        case (.counted, .message(let name)), (.inline, .message(let name)):
            "`\(native.form.name)` of \(self.link(name))"
        case (.counted, .scalar(.string)): "`COUNTED` of `TEXT`"
        case (.array, _): "`ARRAY` of `WORD`"
        default: "`\(native.form.name)`"
        }
    }

    private func meaning(of field: Field, _ native: NativeField, in message: Message) -> String {
        var sentences = [Self.cell(field.comment)]
        if native.since > 0 { sentences.append("*Since revision \(native.since).*") }
        if native.trailing { sentences.append("*May be missing at the end; it is zero then.*") }
        if let constant = native.constant {
            let shown = constant < 256 ? "\(constant)" : "0x" + String(constant, radix: 16)
            sentences.append("*Always \(shown).*")
        }
        if !native.count.isEmpty { sentences.append("*As many as `\(native.count)` says.*") }
        return sentences.joined(separator: " ")
    }

    private func type(of field: Field) -> String {
        let label = field.isRepeated ? "repeated " : ""
        switch field.type {
        case .scalar(let type): return "\(label)`\(type.name)`"
        case .message("Value"): return "\(label)[Value](#values)"
        case .message(let name), .enumeration(let name): return label + self.link(name)
        }
    }

    // MARK: Text

    private func link(_ name: String) -> String { "[\(name)](#\(name.lowercased()))" }

    /// A comment in one line, for a cell of a table.
    private static func cell(_ comment: String) -> String {
        comment.split(separator: "\n").joined(separator: " ").replacing("|", with: "\\|")
    }

    private static func firstSentence(_ comment: String) -> String {
        let text = comment.split(separator: "\n").joined(separator: " ")
        guard let end = text.firstRange(of: ". ") else { return text }
        return String(text[..<end.lowerBound]) + "."
    }

    /// A comment as paragraphs.
    private static func prose(_ comment: String) -> [String] {
        comment.split(separator: "\n", omittingEmptySubsequences: false).map { String($0) }
    }
}

extension Form {
    /// Bytes that a field takes where it stands; nil when that depends on its value.
    fileprivate var headerSize: Int? {
        switch self {
        case .payloadHalf: 4
        case .payloadWord: 8
        default: self.bits.map { $0 / 8 }
        }
    }
}
