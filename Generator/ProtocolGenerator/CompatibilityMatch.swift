/// Which message and which enumeration of the schema is which of the lock.
///
/// By name. One whose name is gone was renamed into a new one, if there is one that, in this order:
///
/// 1. has its number on the native wire (request 3, raft message 5),
/// 2. is the type of a field that had it as type,
/// 3. looks the same: fields of the same numbers, types and forms, and it is the only one that does, or the only one whose fields
///    have the same names too. For enumerations: the same numbers.
struct CompatibilityMatch {
    /// Names in the schema, by names in the lock. What is gone is missing.
    private(set) var messages: [String: String] = [:]
    private(set) var enumerations: [String: String] = [:]

    private let lock: Schema
    private let schema: Schema

    init(lock: Schema, schema: Schema) {
        self.lock = lock
        self.schema = schema
        for message in lock.messages where schema.message(message.name) != nil {
            self.messages[message.name] = message.name
        }
        for enumeration in lock.enumerations where schema.enumeration(enumeration.name) != nil {
            self.enumerations[enumeration.name] = enumeration.name
        }
        self.matchByNumber()
        self.matchByUse()
        self.matchByShape()
    }

    /// A type of the lock under its name in the schema.
    func translated(_ type: FieldType) -> FieldType {
        switch type {
        case .scalar: type
        case .message(let name): .message(self.messages[name] ?? name)
        case .enumeration(let name): .enumeration(self.enumerations[name] ?? name)
        }
    }

    private func isNew(_ message: Message) -> Bool {
        self.lock.message(message.name) == nil && !self.messages.values.contains(message.name)
    }

    private func isNew(_ enumeration: Enumeration) -> Bool {
        self.lock.enumeration(enumeration.name) == nil && !self.enumerations.values.contains(enumeration.name)
    }

    private mutating func matchByNumber() {
        for locked in self.lock.messages where self.messages[locked.name] == nil {
            guard let native = locked.native, native.frame != .plain else { continue }
            let renamed = self.schema.messages.first {
                $0.native?.frame == native.frame && $0.native?.legacy == native.legacy && self.isNew($0)
            }
            if let renamed { self.messages[locked.name] = renamed.name }
        }
    }

    private mutating func matchByUse() {
        for locked in self.lock.messages {
            guard let now = self.messages[locked.name].flatMap(self.schema.message) else { continue }
            for field in locked.fields {
                guard let same = now.fields.first(where: { $0.number == field.number }) else { continue }
                switch (field.type, same.type) {
                case (.message(let was), .message(let name)):
                    if self.messages[was] == nil, let message = self.schema.message(name), self.isNew(message) {
                        self.messages[was] = name
                    }
                case (.enumeration(let was), .enumeration(let name)):
                    if self.enumerations[was] == nil, let enumeration = self.schema.enumeration(name),
                        self.isNew(enumeration)
                    {
                        self.enumerations[was] = name
                    }
                default: break
                }
            }
        }
    }

    private mutating func matchByShape() {
        for locked in self.lock.messages where self.messages[locked.name] == nil && !locked.fields.isEmpty {
            let alike = self.schema.messages.filter { self.isNew($0) && self.looksLike(locked, $0) }
            let namesakes = alike.filter { $0.fields.map(\.name) == locked.fields.map(\.name) }
            if let only = namesakes.count == 1 ? namesakes.first : alike.count == 1 ? alike.first : nil {
                self.messages[locked.name] = only.name
            }
        }
        for locked in self.lock.enumerations where self.enumerations[locked.name] == nil {
            let numbers = Set(locked.cases.map(\.number))
            let alike = self.schema.enumerations.filter { self.isNew($0) && Set($0.cases.map(\.number)) == numbers }
            if alike.count == 1 { self.enumerations[locked.name] = alike[0].name }
        }
    }

    private func looksLike(_ locked: Message, _ now: Message) -> Bool {
        let isFramed = { (message: Message) in (message.native?.frame ?? .plain) != .plain }
        guard locked.fields.count == now.fields.count, !isFramed(locked), !isFramed(now) else { return false }
        return zip(locked.fields, now.fields).allSatisfy { was, field in
            was.number == field.number && was.isRepeated == field.isRepeated && was.native?.form == field.native?.form
                && self.translated(was.type) == field.type
        }
    }
}
