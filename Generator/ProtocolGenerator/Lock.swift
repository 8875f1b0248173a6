/// `schema.lock`: what was released of the schema, one line for each thing that a peer may depend on.
///
/// ```
/// enum ServerRole
///     0 SERVER_ROLE_VOTER
/// message StatementResponse: response 5, revision 1
///     1 uint32 database_id: HALF
///     4 uint64 tail_offset: WORD, since 1
///     reserved 7, 9 to 11
/// ```
///
/// Types are in the order of their names, so that moving one within the schema changes nothing; fields are in the order of the
/// schema, which is their order in the dqlite encoding.
enum Lock {
    /// Opens the file.
    static let heading = """
        # What was released of the protocol. `scripts/check-schema` holds the schema against it.
        # Written by `scripts/check-schema --record`, never by hand. Enumerations, then messages, by name; fields in the order of
        # the dqlite encoding, each with its form there. A field without a form exists in the protobuf encoding only.

        """

    /// What a schema looks like when it is recorded.
    static func text(of schema: Schema) -> String {
        var lines: [String] = []
        for enumeration in schema.enumerations.sorted(by: { $0.name < $1.name }) {
            lines += ["", "enum \(enumeration.name)"]
            for value in enumeration.cases.sorted(by: { $0.number < $1.number }) {
                lines.append("    \(value.number) \(value.name)")
            }
            lines += self.reserved(enumeration.reservedNumbers, enumeration.reservedNames)
        }
        for message in schema.messages.sorted(by: { $0.name < $1.name }) {
            lines += ["", self.line("message \(message.name)", message.native.map(self.properties) ?? [])]
            for field in message.fields {
                var properties = field.native.map(self.properties) ?? []
                if field.isText { properties.append("text") }
                if field.isUnit { properties.append("unit") }
                let oneof = field.oneof.map { " in \(message.oneofs[$0].name)" } ?? ""
                let name = "\(field.isRepeated ? "repeated " : "")\(field.type) \(field.name)\(oneof)"
                lines.append(self.line("    \(field.number) \(name)", properties))
            }
            lines += self.reserved(message.reservedNumbers, message.reservedNames)
        }
        return self.heading + lines.joined(separator: "\n") + "\n"
    }

    private static func line(_ start: String, _ properties: [String]) -> String {
        properties.isEmpty ? start : "\(start): \(properties.joined(separator: ", "))"
    }

    private static func reserved(_ numbers: [ClosedRange<Int>], _ names: [String]) -> [String] {
        let ranges = numbers.sorted { $0.lowerBound < $1.lowerBound }.map { range in
            "    reserved \(range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)")"
        }
        return ranges + names.sorted().map { "    reserved \"\($0)\"" }
    }

    /// How a message is framed, as the lock says it.
    static func properties(_ native: NativeMessage) -> [String] {
        var properties: [String] = []
        switch native.frame {
        case .request(let number): properties.append("request \(number)")
        case .response(let number): properties.append("response \(number)")
        case .raft(let number): properties.append("raft \(number)")
        case .command(let number): properties.append("command \(number)")
        case .plain: properties.append("plain")
        }
        if native.revision > 0 { properties.append("revision \(native.revision)") }
        if native.revisionByRequest { properties.append("revision by request") }
        if native.padded { properties.append("padded") }
        if native.slack > 0 { properties.append("slack \(native.slack)") }
        if native.legacy { properties.append("legacy") }
        properties += native.answers.map { "answered by \($0)" }
        return properties
    }

    /// The place of a field, as the lock says it.
    static func properties(_ native: NativeField) -> [String] {
        var properties = [native.form.name]
        if native.since > 0 { properties.append("since \(native.since)") }
        if native.trailing { properties.append("trailing") }
        if native.padding > 0 { properties.append("padding \(native.padding)") }
        if !native.count.isEmpty { properties.append("count \(native.count)") }
        if let constant = native.constant { properties.append("constant \(constant)") }
        return properties
    }
}
