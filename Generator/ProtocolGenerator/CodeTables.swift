// The tables of requests and responses.

/// The two kinds of messages that have codes.
enum CodeKind: CaseIterable {
    case request
    case response

    var envelope: String { self == .request ? "Request" : "Response" }
    var typeName: String { "\(self.envelope)Code" }
    var description: String { "\(self.envelope)Description" }

    /// The message's number; nil for one of the other kind, and for a legacy form.
    func number(of message: Message) -> Int? {
        guard let native = message.native, !native.legacy else { return nil }
        return self == .request ? native.request : native.response
    }
}

extension SwiftGenerator {
    /// The member of a table that is a message's; a legacy form shares that of another.
    func member(of message: Message, in kind: CodeKind) -> String? {
        guard let native = message.native, let number = kind == .request ? native.request : native.response else {
            return nil
        }
        let owner = self.schema.messages.first { kind.number(of: $0) == number } ?? message
        return Naming.member(Naming.title(owner.name, without: kind.envelope))
    }

    func codes(_ kind: CodeKind, _ writer: inout SourceWriter) {
        let messages = self.schema.messages.compactMap { message in
            kind.number(of: message).map { (message: message, number: $0) }
        }.sorted { $0.number < $1.number }
        let what = kind == .request ? "request" : "response"
        writer.documentation("The number of a \(what) on the dqlite encoding.")
        writer.block("public struct \(kind.typeName): RawRepresentable, Hashable, Sendable") { writer in
            writer.line("public var rawValue: UInt8")
            writer.line()
            writer.line("@inlinable")
            writer.block("public init(rawValue: UInt8)") { $0.line("self.rawValue = rawValue") }
            for (message, number) in messages {
                writer.line()
                writer.documentation("``\(message.name)``.")
                let member = self.member(of: message, in: kind) ?? ""
                writer.line("@inlinable public static var \(member): Self { Self(rawValue: \(number)) }")
            }
        }
        writer.line()
        self.description(kind, &writer)
        writer.line()
        writer.block("extension \(kind.typeName)") { writer in
            writer.documentation("Every \(what), by its number.")
            writer.line("public static let all: [\(kind.description)] = [")
            writer.indented { writer in
                for (message, _) in messages { writer.list(".init", self.arguments(of: message, kind), ",") }
            }
            writer.line("]")
            writer.line()
            writer.documentation("What is known of it; nil when the number is not.")
            writer.block("public var details: \(kind.description)?") { $0.line("Self.all.first { $0.code == self }") }
            self.envelopeKeys(messages, kind, &writer)
        }
        writer.line()
        writer.block("extension \(kind.typeName): CustomStringConvertible") { writer in
            writer.line(
                "public var description: String { self.details?.name ?? \"\(kind.typeName)(\\(self.rawValue))\" }")
        }
    }

    /// Where the messages lie in their envelope.
    private func envelopeKeys(
        _ messages: [(message: Message, number: Int)], _ kind: CodeKind, _ writer: inout SourceWriter
    ) {
        guard let envelope = self.schema.message(kind.envelope) else { return }
        let keys = messages.compactMap { message, _ -> (key: UInt32, member: String)? in
            guard let field = envelope.fields.first(where: { $0.oneof != nil && $0.type == .message(message.name) }),
                let member = self.member(of: message, in: kind)
            else { return nil }
            return (ProtobufField(field: field, message: envelope, schema: self.schema).key, member)
        }
        writer.line()
        writer.documentation(
            "What the field of \(kind.envelope) with that key holds, in the protobuf encoding; nil for others.")
        writer.line("@inlinable")
        writer.block("public init?(protobufKey: UInt32)") { writer in
            writer.line("switch protobufKey {")
            for (key, member) in keys { writer.line("case \(key): self = .\(member)") }
            writer.line("default: return nil")
            writer.line("}")
        }
        writer.line()
        writer.documentation(
            "Key of the field of \(kind.envelope) that holds it, in the protobuf encoding; nil when it is not known.")
        writer.line("@inlinable")
        writer.block("public var protobufKey: UInt32?") { writer in
            writer.line("switch self {")
            for (key, member) in keys { writer.line("case .\(member): \(key)") }
            writer.line("default: nil")
            writer.line("}")
        }
    }

    private func description(_ kind: CodeKind, _ writer: inout SourceWriter) {
        writer.documentation("What is known of a \(kind == .request ? "request" : "response") besides its fields.")
        writer.block("public struct \(kind.description): Hashable, Sendable") { writer in
            writer.documentation("Its number.")
            writer.line("public var code: \(kind.typeName)")
            writer.documentation("Its name, without \(kind.envelope).")
            writer.line("public var name: String")
            writer.documentation("The highest revision of its body.")
            writer.line("public var highestRevision: UInt8")
            if kind == .request {
                writer.documentation(
                    "The responses that answer it besides Failure; the last one ends the exchange. Empty: it is not answered."
                )
                writer.line("public var answers: [ResponseCode]")
            } else {
                writer.documentation("Whether its header says the revision; otherwise the request decided.")
                writer.line("public var revisionIsInHeader: Bool")
            }
        }
    }

    private func arguments(of message: Message, _ kind: CodeKind) -> [String] {
        var arguments = [
            "code: .\(self.member(of: message, in: kind) ?? "")",
            "name: \"\(Naming.title(message.name, without: kind.envelope))\"",
            "highestRevision: \(message.native?.revision ?? 0)",
        ]
        if kind == .request {
            let answers = (message.native?.answers ?? []).compactMap { name in
                self.schema.message(name).flatMap { self.member(of: $0, in: .response) }
            }
            arguments.append("answers: [\(answers.map { ".\($0)" }.joined(separator: ", "))]")
        } else {
            arguments.append("revisionIsInHeader: \(message.native?.revisionByRequest != true)")
        }
        return arguments
    }
}
