/// The rules that a schema has to keep beyond those of protoc. Those about the native wire are in `Validation+Native.swift`.
struct Validation {
    let schema: Schema
    private(set) var errors: [SchemaError] = []

    static func errors(in schema: Schema) -> [SchemaError] {
        var validation = Validation(schema: schema)
        validation.checkComments()
        validation.checkNames()
        validation.checkEnumerations()
        validation.checkOneofs()
        validation.checkContainment()
        validation.checkNativeMessages()
        for message in schema.messages { validation.checkNativeFields(of: message) }
        validation.checkEnvelope("Request", number: { $0.request })
        validation.checkEnvelope("Response", number: { $0.response })
        return validation.errors
    }

    private init(schema: Schema) { self.schema = schema }

    mutating func fail(_ position: SourcePosition, _ message: String) {
        self.errors.append(SchemaError(position: position, message: message))
    }

    // MARK: Comments

    private mutating func checkComments() {
        for file in self.schema.files {
            if file.comment.isEmpty {
                self.fail(file.position, "the file has no comment above `syntax`: say what it is about")
            }
            for enumeration in file.enumerations {
                self.require(enumeration.comment, of: enumeration.name, at: enumeration.position)
                for value in enumeration.cases { self.require(value.comment, of: value.name, at: value.position) }
            }
            for message in file.messages {
                self.require(message.comment, of: message.name, at: message.position)
                for oneof in message.oneofs where !message.isChoice {
                    self.require(oneof.comment, of: "\(message.name).\(oneof.name)", at: oneof.position)
                }
                for field in message.fields {
                    // A body of an envelope is documented by its message.
                    if field.oneof != nil, case .message = field.type { continue }
                    self.require(field.comment, of: "\(message.name).\(field.name)", at: field.position)
                }
            }
        }
    }

    private mutating func require(_ comment: String, of name: String, at position: SourcePosition) {
        if comment.isEmpty { self.fail(position, "\(name) has no comment above it: comments are the documentation") }
    }

    // MARK: Names

    /// Types that the generator makes besides the messages, that stand beside them in the module, or that every file uses.
    private static let takenTypes: Set<String> = [
        "Any", "Array", "Bool", "Character", "Collection", "Comparable", "Double", "DqliteEncodable",
        "DqliteRowsEncoder",
        "Duration", "Equatable", "Error", "FrameHeader", "Hashable", "Hasher", "Int", "Int32", "Int64", "Never",
        "Optional",
        "ParameterCursor", "ProtobufEncodable", "ProtobufReader", "ProtobufRowsEncoder", "ProtobufWriter",
        "RawRepresentable", "RequestCode", "RequestDescription", "RequestMessage", "ResponseCode",
        "ResponseDescription",
        "ResponseMessage", "Result", "RowCursor", "Self", "Sendable", "Sequence", "Set", "StaticString", "String",
        "Type",
        "UInt16", "UInt32", "UInt64", "UInt8", "UnsafeRawBufferPointer", "Void", "WireEncoding", "WireEncodingError",
        "WireError", "WordReader", "WordWriter",
    ]
    /// Members that every message has.
    private static let takenMembers: Set<String> = [
        "`init`", "`self`", "hash", "hashValue", "protobufEncodedSize", "type",
    ]

    private mutating func checkNames() {
        let views = self.schema.messages.filter(\.hasView).map { "\($0.name)View" }
        let taken = Self.takenTypes.union(views)
        for message in self.schema.messages {
            self.checkTypeName(message.name, at: message.position, taken: taken)
            self.checkMembers(of: message)
        }
        for enumeration in self.schema.enumerations {
            self.checkTypeName(enumeration.name, at: enumeration.position, taken: taken)
        }
    }

    private mutating func checkTypeName(_ name: String, at position: SourcePosition, taken: Set<String>) {
        if taken.contains(name) { self.fail(position, "the name \(name) is taken in Swift") }
        if name.first?.isUppercase != true || name.contains("_") {
            self.fail(position, "\(name) is not a name of a type: write it like ExecSQLRequest")
        }
    }

    private mutating func checkMembers(of message: Message) {
        var known: [String: String] = [:]
        for field in message.fields {
            if field.name.contains(where: \.isUppercase) {
                self.fail(field.position, "\(field.name) is not a name of a field: write it like database_id")
                continue
            }
            let name = Naming.property(field.name)
            if Self.takenMembers.contains(name), name != "type" {
                self.fail(field.position, "the name \(name) is taken in Swift")
            }
            if let other = known[name] {
                self.fail(field.position, "\(field.name) and \(other) would both be \(name) in Swift")
            }
            known[name] = field.name
        }
        for oneof in message.oneofs where !message.isChoice {
            let name = Naming.property(oneof.name)
            if let other = known[name] {
                self.fail(oneof.position, "\(oneof.name) and \(other) would both be \(name) in Swift")
            }
            known[name] = oneof.name
        }
    }

    // MARK: Enumerations

    private mutating func checkEnumerations() {
        for enumeration in self.schema.enumerations {
            if !enumeration.cases.contains(where: { $0.number == 0 }) {
                self.fail(enumeration.position, "\(enumeration.name) has no value 0, which a field has that is not set")
            }
            let prefix = Naming.casePrefix(of: enumeration.name)
            var known: [String: String] = [:]
            for value in enumeration.cases {
                guard value.name.hasPrefix(prefix), value.name.count > prefix.count else {
                    self.fail(value.position, "\(value.name) has to begin with \(prefix)")
                    continue
                }
                if value.number < 0 {
                    self.fail(value.position, "\(value.name) is negative, which the native wire cannot carry")
                }
                let name = Naming.enumerationCase(value.name, of: enumeration.name)
                if name.first?.isLetter != true, !name.hasPrefix("`") {
                    self.fail(value.position, "\(value.name) would be \(name) in Swift, which is not a name")
                }
                if ["rawValue", "`init`", "`self`"].contains(name) {
                    self.fail(value.position, "the name \(name) is taken in Swift")
                }
                if let other = known[name] {
                    self.fail(value.position, "\(value.name) and \(other) would both be \(name) in Swift")
                }
                known[name] = value.name
            }
        }
    }

    // MARK: Oneofs

    private mutating func checkOneofs() {
        for message in self.schema.messages {
            if message.isChoice, message.nativeFields.count > 0 {
                self.checkChoice(message)
                continue
            }
            for field in message.fields {
                if field.isUnit {
                    self.fail(field.position, "\(field.name) is not in a choice: only there a field may be a unit")
                }
                guard field.oneof != nil else { continue }
                if field.native != nil {
                    self.fail(
                        field.nativePosition, "the native wire has no oneofs, unless a message is nothing but one")
                } else if case .message = field.type {
                } else {
                    self.fail(field.typePosition, "a field of this oneof has to be a message")
                }
            }
        }
    }

    private mutating func checkChoice(_ message: Message) {
        if message.nativeOption != nil {
            self.fail(message.nativePosition, "a choice is not framed: remove the option")
        }
        let units = message.fields.filter(\.isUnit)
        if units.count != 1 {
            let position = units.last?.position ?? message.position
            self.fail(position, "the choice \(message.name) needs exactly one unit: what it is when no field is set")
        }
        for field in message.fields {
            guard let native = field.native else {
                self.fail(field.position, "\(field.name) has no native form, as the other fields of this choice have")
                continue
            }
            if field.isUnit, field.type != .scalar(.bool) {
                self.fail(field.typePosition, "a unit has to be a bool, not \(field.type)")
            }
            if ![.word, .text, .blob].contains(native.form) {
                self.fail(field.nativePosition, "a field of a choice is WORD, TEXT or BLOB, not \(native.form.name)")
            }
            if native.since > 0 || native.trailing || native.padding > 0 || native.constant != nil {
                self.fail(field.nativePosition, "a field of a choice has no since, trailing, padding or constant")
            }
            if field.number > 13 {
                self.fail(field.numberPosition, "a type code is at most 13: 14 and 15 would look like the end of rows")
            }
        }
    }

    // MARK: Containment

    /// Messages that contain themselves, however indirectly: Swift could not store them, nor readers bound their depth.
    private mutating func checkContainment() {
        for message in self.schema.messages {
            for field in message.fields {
                guard case .message(let name) = field.type else { continue }
                var reached: Set<String> = []
                if self.reaches(message.name, from: name, &reached) {
                    self.fail(field.typePosition, "\(message.name) contains itself through \(field.name)")
                }
            }
        }
    }

    private func reaches(_ target: String, from name: String, _ reached: inout Set<String>) -> Bool {
        if name == target { return true }
        guard reached.insert(name).inserted, let message = self.schema.message(name) else { return false }
        for field in message.fields {
            if case .message(let next) = field.type, self.reaches(target, from: next, &reached) { return true }
        }
        return false
    }

    // MARK: Envelopes

    /// Every request has its place in the envelope of the protobuf encoding, at its number plus 20.
    private mutating func checkEnvelope(_ name: String, number: (NativeMessage) -> Int?) {
        let members = self.schema.messages.filter { message in
            message.native.map { number($0) != nil && !$0.legacy } ?? false
        }
        guard let envelope = self.schema.message(name) else {
            if let first = members.first {
                self.fail(first.position, "the schema has no envelope \(name) for \(first.name)")
            }
            return
        }
        for member in members {
            let expected = (member.native.flatMap(number) ?? 0) + 20
            guard let field = envelope.fields.first(where: { $0.type == .message(member.name) && $0.oneof != nil })
            else {
                self.fail(
                    member.position,
                    "\(member.name) is missing in the envelope \(name), as field \(expected) of its oneof")
                continue
            }
            if field.number != expected {
                self.fail(
                    field.numberPosition,
                    "\(field.name) has to be field \(expected): the number of \(member.name), \(expected - 20), plus 20"
                )
            }
            let title = Naming.member(Naming.title(member.name, without: name))
            if Naming.property(field.name) != title {
                self.fail(
                    field.position, "\(field.name) has to be named like \(member.name), so that it is \(title) in Swift"
                )
            }
        }
        for field in envelope.fields where field.oneof != nil && field.number >= 20 {
            guard case .message(let type) = field.type, !members.contains(where: { $0.name == type }) else { continue }
            self.fail(field.numberPosition, "\(type) has no number on the native wire, so its field lies below 20")
        }
    }
}

extension Message {
    /// Whether there is a view of the message that leaves its parameters where they are.
    var hasView: Bool { self.fields.contains { $0.native?.form == .tuple } }
}
