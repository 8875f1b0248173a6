/// What became of a released schema: the lock on one side, the schema as it is now on the other.
///
/// Messages and enumerations of both sides are matched as ``CompatibilityMatch`` says; fields and values by their number.
struct Compatibility {
    /// One difference.
    struct Finding: Hashable, Comparable {
        enum Severity: Int {
            /// Released peers would misread or refuse what they are sent.
            case breaksWire
            /// Only code that uses the generated types has to change.
            case breaksSource
            /// Removed with `reserved`: nothing is misread, but peers that count on it get it no longer.
            case removal
            /// New; the lock does not have it.
            case addition
        }

        var severity: Severity
        var position: SourcePosition
        var message: String

        static func < (a: Self, b: Self) -> Bool {
            (a.severity.rawValue, a.position, a.message) < (b.severity.rawValue, b.position, b.message)
        }
    }

    let lock: Schema
    let schema: Schema
    let match: CompatibilityMatch
    private(set) var findings: [Finding] = []

    /// All differences, what breaks the wire first, each kind in the order of the source.
    static func findings(lock: Schema, schema: Schema) -> [Finding] {
        var compatibility = Compatibility(lock: lock, schema: schema)
        compatibility.compareEnumerations()
        compatibility.compareMessages()
        return Set(compatibility.findings).sorted()
    }

    private init(lock: Schema, schema: Schema) {
        self.lock = lock
        self.schema = schema
        self.match = CompatibilityMatch(lock: lock, schema: schema)
    }

    mutating func breaksWire(_ position: SourcePosition, _ message: String) {
        self.findings.append(Finding(severity: .breaksWire, position: position, message: message))
    }

    mutating func breaksSource(_ position: SourcePosition, _ message: String) {
        self.findings.append(
            Finding(severity: .breaksSource, position: position, message: "\(message): this breaks source only"))
    }

    mutating func removal(_ position: SourcePosition, _ message: String) {
        self.findings.append(
            Finding(
                severity: .removal, position: position,
                message: "\(message), reserved: no released peer may need it"))
    }

    mutating func addition(_ position: SourcePosition, _ message: String) {
        self.findings.append(Finding(severity: .addition, position: position, message: message))
    }

    // MARK: Enumerations

    private mutating func compareEnumerations() {
        for locked in self.lock.enumerations {
            guard let name = self.match.enumerations[locked.name], let now = self.schema.enumeration(name) else {
                if !self.isRetired(.enumeration(locked.name)) {
                    self.breaksWire(locked.position, "\(locked.name) is in the lock, but no longer in the schema")
                }
                continue
            }
            if now.name != locked.name {
                self.breaksSource(now.position, "\(locked.name), as the lock has it, is called \(now.name)")
            }
            self.compare(locked, now)
        }
        let known = Set(self.match.enumerations.values)
        for now in self.schema.enumerations where !known.contains(now.name) {
            self.addition(now.position, "\(now.name) is new")
        }
    }

    private mutating func compare(_ locked: Enumeration, _ now: Enumeration) {
        for value in locked.cases {
            if let moved = now.cases.first(where: { $0.name == value.name }), moved.number != value.number {
                self.breaksWire(
                    moved.position, "\(value.name) of \(now.name) was \(value.number) in the lock, is \(moved.number)")
            }
            guard let same = now.cases.first(where: { $0.number == value.number }) else {
                let isReserved = now.reservedNumbers.contains { $0.contains(value.number) }
                if now.cases.contains(where: { $0.name == value.name }) { continue }
                let was = "value \(value.number) of \(now.name) was \(value.name) in the lock, is gone"
                if isReserved {
                    self.removal(now.position, was)
                } else {
                    self.breaksWire(now.position, "\(was) without `reserved \(value.number)`")
                }
                continue
            }
            if same.name != value.name {
                if locked.cases.contains(where: { $0.name == same.name })
                    || now.cases.contains(where: { $0.name == value.name })
                {
                    self.breaksWire(
                        same.position,
                        "value \(value.number) of \(now.name) was \(value.name) in the lock, is \(same.name): "
                            + "a number is used again")
                } else {
                    self.breaksSource(
                        same.position,
                        "value \(value.number) of \(now.name) was \(value.name) in the lock, is called \(same.name)")
                }
            }
        }
        for value in now.cases where !locked.cases.contains(where: { $0.number == value.number }) {
            self.addition(value.position, "\(value.name) of \(now.name) is new")
        }
        self.compareReserved(
            of: now.name, at: now.position, locked: (locked.reservedNumbers, locked.reservedNames),
            now: (now.reservedNumbers, now.reservedNames),
            used: Dictionary(now.cases.map { ($0.number, $0.position) }) { first, _ in first })
    }

    // MARK: Messages

    private mutating func compareMessages() {
        for locked in self.lock.messages {
            guard let name = self.match.messages[locked.name], let now = self.schema.message(name) else {
                self.reportRemoved(locked)
                continue
            }
            if now.name != locked.name {
                self.breaksSource(now.position, "\(locked.name), as the lock has it, is called \(now.name)")
            }
            self.compareFrames(locked, now)
            self.compareFields(locked, now)
            self.compareNativeOrder(locked, now)
            self.compareNewNativeFields(locked, now)
            self.compareReserved(
                of: now.name, at: now.position, locked: (locked.reservedNumbers, locked.reservedNames),
                now: (now.reservedNumbers, now.reservedNames),
                used: Dictionary(now.fields.map { ($0.number, $0.numberPosition) }) { first, _ in first })
        }
        let known = Set(self.match.messages.values)
        for now in self.schema.messages where !known.contains(now.name) {
            let number = now.native.map { Lock.properties($0)[0] } ?? "plain"
            self.addition(now.position, "\(now.name)\(number == "plain" ? "" : ", \(number),") is new")
            self.checkNumberIsFree(of: now)
        }
    }

    /// The number of a request or response stays taken when it is retired, by the place it has in the envelope. Other messages
    /// go with the last field that could hold them.
    private mutating func reportRemoved(_ locked: Message) {
        let envelope: (name: String, number: Int)? =
            switch locked.native?.frame {
            case .request(let number) where locked.native?.legacy == false: ("Request", number + 20)
            case .response(let number) where locked.native?.legacy == false: ("Response", number + 20)
            default: nil
            }
        if let envelope {
            let reserved = self.schema.message(envelope.name)?.reservedNumbers ?? []
            if reserved.contains(where: { $0.contains(envelope.number) }) {
                self.removal(
                    locked.position,
                    "\(locked.name) (\(self.frame(of: locked))) is in the lock, is gone from the schema")
                return
            }
            self.breaksWire(
                locked.position,
                "\(locked.name) (\(self.frame(of: locked))) is in the lock, but no longer in the schema: "
                    + "retire it with `reserved \(envelope.number)` in \(envelope.name)")
        } else if locked.native?.frame == .plain || locked.native == nil {
            if self.isRetired(.message(locked.name)) { return }
            self.breaksWire(locked.position, "\(locked.name) is in the lock, but no longer in the schema")
        } else {
            self.breaksWire(
                locked.position,
                "\(locked.name) (\(self.frame(of: locked))) is in the lock, but no longer in the schema: released peers send it"
            )
        }
    }

    /// Whether a type that is gone was only the type of fields that are gone too.
    private func isRetired(_ type: FieldType) -> Bool {
        var isUsed = false
        for message in self.lock.messages {
            for field in message.fields where field.type == type {
                isUsed = true
                guard let name = self.match.messages[message.name], let now = self.schema.message(name) else {
                    continue
                }
                if now.fields.contains(where: { $0.number == field.number }) { return false }
            }
        }
        return isUsed
    }

    private mutating func compareFrames(_ locked: Message, _ now: Message) {
        guard let was = locked.native else {
            // What is new in the dqlite encoding as a whole disturbs nobody.
            if now.native?.frame ?? .plain != .plain { self.checkNumberIsFree(of: now) }
            return
        }
        guard let native = now.native else {
            self.breaksWire(
                now.position,
                "\(now.name) had a place in the dqlite encoding in the lock (\(self.frame(of: locked))), has none")
            return
        }
        let position = now.nativePosition
        func compare(_ what: String, _ old: String, _ new: String) {
            if old != new {
                self.breaksWire(position, "\(what) of \(now.name) was \(old) in the lock, is \(new)")
            }
        }
        if was.frame != native.frame || was.legacy != native.legacy {
            self.breaksWire(
                position, "\(now.name) was \(self.frame(of: locked)) in the lock, is \(self.frame(of: now))")
            self.checkNumberIsFree(of: now)
        }
        if native.revision < was.revision {
            compare("the revision", "\(was.revision)", "\(native.revision)")
        } else if native.revision > was.revision {
            self.addition(position, "revision \(native.revision) of \(now.name) is new")
        }
        compare("revision_by_request", "\(was.revisionByRequest)", "\(native.revisionByRequest)")
        compare("padded", "\(was.padded)", "\(native.padded)")
        compare("slack", "\(was.slack)", "\(native.slack)")
        let answers = was.answers.map { self.match.messages[$0] ?? $0 }
        compare("the answer", list(answers), list(native.answers))
    }

    /// Complains when the lock has given the number to another message.
    private mutating func checkNumberIsFree(of now: Message) {
        guard let native = now.native, native.frame != .plain else { return }
        let owner = self.lock.messages.first { locked in
            locked.native?.frame == native.frame && locked.native?.legacy == native.legacy
        }
        guard let owner, self.match.messages[owner.name] != now.name else { return }
        self.breaksWire(
            now.nativePosition,
            "\(self.frame(of: now)) was \(owner.name) in the lock, is \(now.name): a number is used again")
    }

    private func frame(of message: Message) -> String {
        guard let native = message.native else { return "no message of the dqlite encoding" }
        let number =
            switch native.frame {
            case .request(let number): "request \(number)"
            case .response(let number): "response \(number)"
            case .raft(let number): "raft message \(number)"
            case .command(let number): "command \(number)"
            case .plain: "a plain structure"
            }
        return native.legacy ? "\(number), legacy" : number
    }

    // MARK: Reserved

    private mutating func compareReserved(
        of name: String, at position: SourcePosition, locked: ([ClosedRange<Int>], [String]),
        now: ([ClosedRange<Int>], [String]), used: [Int: SourcePosition]
    ) {
        for range in locked.0 {
            let numbers = range.count == 1 ? "\(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"
            if let (number, position) = used.filter({ range.contains($0.key) }).min(by: { $0.key < $1.key }) {
                self.breaksWire(position, "number \(number) of \(name) was reserved in the lock, is used")
            } else if !self.covers(now.0, range) {
                self.breaksWire(position, "\(name) had `reserved \(numbers)` in the lock, has it no longer")
            }
        }
        for reserved in locked.1 where !now.1.contains(reserved) {
            self.breaksWire(position, "\(name) had `reserved \"\(reserved)\"` in the lock, has it no longer")
        }
    }

    private func covers(_ ranges: [ClosedRange<Int>], _ range: ClosedRange<Int>) -> Bool {
        var next = range.lowerBound
        for candidate in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) where candidate.contains(next) {
            next = candidate.upperBound + 1
        }
        return next > range.upperBound
    }
}

private func list(_ names: [String]) -> String { names.isEmpty ? "none" : names.joined(separator: ", ") }
