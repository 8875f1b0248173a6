/// Reads `schema.lock` into the same model as the schema. Positions are those in the lock; comments there are none.
struct LockReader {
    private let name: String
    private var enumerations: [Enumeration] = []
    private var messages: [Message] = []
    private var position = SourcePosition()
    private var isInMessage = false

    /// The schema that was recorded in `text`. `name` is the name of the file, for errors.
    static func schema(from text: String, name: String) throws(SchemaErrors) -> Schema {
        var reader = LockReader(name: name)
        for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            let indent = line.prefix { $0 == " " }.count
            reader.position = SourcePosition(file: name, line: index + 1, column: indent + 1)
            let content = line.dropFirst(indent)
            guard !content.isEmpty, !content.hasPrefix("#") else { continue }
            guard reader.read(content, isMember: indent > 0) else {
                let error = SchemaError(
                    position: reader.position, message: "this line is not one of a lock: “\(content)”")
                throw SchemaErrors(errors: [error])
            }
        }
        return reader.finish()
    }

    private init(name: String) { self.name = name }

    private mutating func read(_ content: Substring, isMember: Bool) -> Bool {
        let (start, properties) = Self.split(content)
        let words = start.split(separator: " ")
        guard isMember else {
            guard words.count == 2 else { return false }
            switch words[0] {
            case "enum":
                self.isInMessage = false
                self.enumerations.append(Enumeration())
                self.enumerations[self.enumerations.count - 1].name = String(words[1])
                self.enumerations[self.enumerations.count - 1].position = self.position
                return properties.isEmpty
            case "message":
                self.isInMessage = true
                var message = Message()
                message.name = String(words[1])
                message.position = self.position
                if !properties.isEmpty {
                    guard let native = Self.nativeMessage(properties) else { return false }
                    message.nativeOption = native
                }
                self.messages.append(message)
                return true
            default: return false
            }
        }
        if words.first == "reserved" { return self.reserved(words.dropFirst()) }
        guard let number = words.first.flatMap({ Int($0) }) else { return false }
        return self.isInMessage
            ? self.field(number, words.dropFirst(), properties) : self.value(number, words.dropFirst())
    }

    private mutating func value(_ number: Int, _ words: ArraySlice<Substring>) -> Bool {
        guard words.count == 1, let name = words.first, !self.enumerations.isEmpty else { return false }
        self.enumerations[self.enumerations.count - 1].cases.append(
            EnumerationCase(name: String(name), number: number, position: self.position))
        return true
    }

    private mutating func field(_ number: Int, _ words: ArraySlice<Substring>, _ properties: [Substring]) -> Bool {
        var words = words
        var field = Field()
        field.number = number
        field.position = self.position
        if words.first == "repeated" {
            field.isRepeated = true
            words = words.dropFirst()
        }
        guard words.count == 2 || words.count == 4, let type = words.popFirst(), let name = words.popFirst(),
            !self.messages.isEmpty
        else { return false }
        // Whether a type is a message or an enumeration is known when everything has been read.
        field.type = Self.scalar(type) ?? .message(String(type))
        field.name = String(name)
        if !words.isEmpty {
            guard words.popFirst() == "in", let oneof = words.popFirst() else { return false }
            field.oneof = self.oneof(String(oneof))
        }
        guard Self.read(properties, into: &field) else { return false }
        self.messages[self.messages.count - 1].fields.append(field)
        return true
    }

    private mutating func oneof(_ name: String) -> Int {
        let last = self.messages.count - 1
        if let index = self.messages[last].oneofs.firstIndex(where: { $0.name == name }) { return index }
        self.messages[last].oneofs.append(Oneof(name: name, position: self.position))
        return self.messages[last].oneofs.count - 1
    }

    private mutating func reserved(_ words: ArraySlice<Substring>) -> Bool {
        guard let first = words.first else { return false }
        let name = first.hasPrefix("\"") ? [String(first.dropFirst().dropLast())] : []
        var range: [ClosedRange<Int>] = []
        if name.isEmpty {
            guard let start = Int(first), let end = words.last.flatMap({ Int($0) }), start <= end else { return false }
            range = [start...end]
        }
        if self.isInMessage {
            self.messages[self.messages.count - 1].reservedNumbers += range
            self.messages[self.messages.count - 1].reservedNames += name
        } else {
            guard !self.enumerations.isEmpty else { return false }
            self.enumerations[self.enumerations.count - 1].reservedNumbers += range
            self.enumerations[self.enumerations.count - 1].reservedNames += name
        }
        return true
    }

    private func finish() -> Schema {
        let names = Set(self.enumerations.map(\.name))
        var file = SchemaFile()
        file.path = self.name
        file.enumerations = self.enumerations
        file.messages = self.messages.map { message in
            var message = message
            for index in message.fields.indices {
                if case .message(let name) = message.fields[index].type, names.contains(name) {
                    message.fields[index].type = .enumeration(name)
                }
            }
            return message
        }
        var schema = Schema()
        schema.files = [file]
        return schema
    }

    // MARK: Properties

    /// What stands before the colon, and what stands after it, cut at its commas.
    private static func split(_ content: Substring) -> (start: Substring, properties: [Substring]) {
        guard let colon = content.firstIndex(of: ":") else { return (content, []) }
        let properties = content[content.index(after: colon)...].split(separator: ",").map { property in
            property.drop { $0 == " " }
        }
        return (content[..<colon], properties)
    }

    private static func scalar(_ name: Substring) -> FieldType? {
        (1...18).lazy.compactMap { ScalarType(rawValue: $0) }.first { $0.name == name }.map { .scalar($0) }
    }

    private static func nativeMessage(_ properties: [Substring]) -> NativeMessage? {
        var native = NativeMessage()
        for property in properties {
            let words = property.split(separator: " ")
            let number = words.count == 2 ? Int(words[1]) : nil
            switch words.first {
            case "plain": break
            case "request": native.request = number
            case "response": native.response = number
            case "raft": native.raft = number
            case "command": native.command = number
            case "revision" where property == "revision by request": native.revisionByRequest = true
            case "revision": native.revision = number ?? 0
            case "padded": native.padded = true
            case "slack": native.slack = number ?? 0
            case "legacy": native.legacy = true
            case "answered": native.answers += words.dropFirst(2).map { String($0) }
            default: return nil
            }
        }
        return native
    }

    private static func read(_ properties: [Substring], into field: inout Field) -> Bool {
        var native: NativeField?
        for property in properties {
            let words = property.split(separator: " ")
            let argument = words.dropFirst().first
            switch words.first {
            case "since": native?.since = argument.flatMap { Int($0) } ?? 0
            case "trailing": native?.trailing = true
            case "padding": native?.padding = argument.flatMap { Int($0) } ?? 0
            case "count": native?.count = argument.map { String($0) } ?? ""
            case "constant": native?.constant = argument.flatMap { UInt64($0) }
            case "text": field.isText = true
            case "unit": field.isUnit = true
            default:
                guard let form = Form.allCases.first(where: { $0.name == property }) else { return false }
                native = NativeField(form: form)
            }
        }
        field.native = native
        return true
    }
}
