// Fields: by their number, and in the dqlite encoding by their order.

extension Compatibility {
    mutating func compareFields(_ locked: Message, _ now: Message) {
        for field in locked.fields {
            let namesake = now.fields.first { $0.name == field.name }
            guard let same = now.fields.first(where: { $0.number == field.number }) else {
                self.reportRemoved(field, namesake: namesake, of: locked, now)
                continue
            }
            self.compare(field, of: locked, with: same, of: now, namesake: namesake)
        }
        for field in now.fields where !locked.fields.contains(where: { $0.number == field.number }) {
            let isMoved = locked.fields.contains { $0.name == field.name }
            guard !isMoved else { continue }
            // A number of a choice is a type code: released readers of the dqlite encoding refuse it, and those of protobuf
            // see no value.
            let warning =
                locked.isChoice ? "; released peers cannot read it: send it only to those that ask for it" : ""
            self.addition(field.position, "field \(field.number) of \(now.name), `\(field.name)`, is new\(warning)")
        }
    }

    private mutating func reportRemoved(_ field: Field, namesake: Field?, of locked: Message, _ now: Message) {
        if let namesake {
            self.breaksWire(
                namesake.numberPosition,
                "`\(field.name)` of \(now.name) was field \(field.number) in the lock, is field \(namesake.number)")
            return
        }
        let was =
            "field \(field.number) of \(now.name) was \(self.description(of: field, in: locked)) in the lock, is gone"
        if field.native != nil, !locked.isChoice {
            self.breaksWire(
                now.position, "\(was): it has a place in the dqlite encoding; keep it there, and say that it is unused")
        } else if !now.reservedNumbers.contains(where: { $0.contains(field.number) }) {
            self.breaksWire(now.position, "\(was) without `reserved \(field.number)`")
        } else {
            self.removal(now.position, was)
        }
    }

    private mutating func compare(
        _ field: Field, of locked: Message, with same: Field, of now: Message, namesake: Field?
    ) {
        let was = "field \(field.number) of \(now.name) was \(self.description(of: field, in: locked)) in the lock, "
        let change = was + "is \(self.description(of: same, in: now))"
        // A field of another name is the same field renamed when it is of the same shape, and no other field has a claim.
        let isSameType = self.match.translated(field.type) == same.type && field.isRepeated == same.isRepeated
        let isSameForm = self.renamedCount(field.native, of: locked, now) == same.native
        let isOther = namesake != nil || locked.fields.contains { $0.name == same.name }
        if field.name != same.name, isOther || !isSameType || !isSameForm {
            if let namesake, namesake.number != field.number {
                self.breaksWire(
                    namesake.numberPosition,
                    "`\(field.name)` of \(now.name) was field \(field.number) in the lock, is field \(namesake.number)")
            }
            self.breaksWire(same.numberPosition, "\(change): a number is used again")
            return
        }
        if field.name != same.name {
            self.breaksSource(same.position, was + "is called `\(same.name)`")
        }
        if self.match.translated(field.type) != same.type {
            self.breaksWire(same.typePosition, "\(change): the type changed")
        } else if field.isRepeated != same.isRepeated {
            self.breaksWire(same.typePosition, "\(change): the label changed")
        } else if !isSameForm {
            // A form that is added is looked at as a new native field.
            if field.native != nil { self.breaksWire(same.nativePosition, "\(change): the native layout changed") }
        }
        if field.isText != same.isText || field.isUnit != same.isUnit {
            self.breaksSource(
                same.position, "field \(field.number) of \(now.name), `\(same.name)`, is another type in Swift")
        }
        self.compareOneof(of: field, in: locked, with: same, in: now)
    }

    private mutating func compareOneof(of field: Field, in locked: Message, with same: Field, in now: Message) {
        let was = field.oneof.map { locked.oneofs[$0].name }
        let name = same.oneof.map { now.oneofs[$0].name }
        guard was != name else { return }
        if let was, let name, let index = same.oneof, !now.oneofs.contains(where: { $0.name == was }),
            !locked.oneofs.contains(where: { $0.name == name })
        {
            self.breaksSource(
                now.oneofs[index].position, "oneof `\(was)` of \(now.name), as the lock has it, is called `\(name)`")
        } else {
            let before = was.map { "in oneof `\($0)`" } ?? "in no oneof"
            self.breaksWire(
                same.position,
                "field \(field.number) of \(now.name), `\(same.name)`, was \(before) in the lock, is "
                    + (name.map { "in oneof `\($0)`" } ?? "in none"))
        }
    }

    /// The place of a locked field, with the field that counts its elements called as it is now.
    private func renamedCount(_ native: NativeField?, of locked: Message, _ now: Message) -> NativeField? {
        guard var native, !native.count.isEmpty else { return native }
        if let number = locked.fields.first(where: { $0.name == native.count })?.number,
            let name = now.fields.first(where: { $0.number == number })?.name
        {
            native.count = name
        }
        return native
    }

    /// As complaints show a field: `repeated Value parameters` (TUPLE).
    private func description(of field: Field, in message: Message) -> String {
        let label = field.isRepeated ? "repeated " : ""
        let native = field.native.map { Lock.properties($0).joined(separator: ", ") } ?? "protobuf only"
        return "`\(label)\(field.type) \(field.name)` (\(native))"
    }

    // MARK: The dqlite encoding

    /// Complains about the first native field that does not follow the one that it followed.
    mutating func compareNativeOrder(_ locked: Message, _ now: Message) {
        // A choice is one of its fields: they have no order.
        guard !locked.isChoice else { return }
        let was = locked.nativeFields.map(\.number).filter { number in now.nativeFields.contains { $0.number == number }
        }
        let fields = now.nativeFields.filter { was.contains($0.number) }
        guard let index = fields.indices.first(where: { fields[$0].number != was[$0] }) else { return }
        let field = fields[index]
        func place(_ position: Int?, in names: [String]) -> String {
            guard let position, position > 0 else { return "first" }
            return "after `\(names[position - 1])`"
        }
        let names = was.map { number in fields.first { $0.number == number }?.name ?? "" }
        self.breaksWire(
            field.nativePosition,
            "`\(field.name)` of \(now.name) lay \(place(was.firstIndex(of: field.number), in: names)) in the lock, "
                + "lies \(place(index, in: fields.map(\.name))): fields of the dqlite encoding keep their order")
    }

    /// A new field may only appear where released peers look for none.
    mutating func compareNewNativeFields(_ locked: Message, _ now: Message) {
        guard locked.native != nil, !now.isChoice else { return }
        let old = Set(locked.nativeFields.map(\.number))
        let fields = now.nativeFields
        let released = self.releasedRevision(of: locked.name)
        for (index, field) in fields.enumerated() where !old.contains(field.number) {
            guard let place = field.native else { continue }
            let isLast = fields[index...].allSatisfy { !old.contains($0.number) }
            if place.trailing, isLast { continue }
            if let released, place.since > released { continue }
            let reason: String
            if let released {
                reason =
                    "revision \(released) is released without it: give it `since: \(released + 1)`, or make it trailing"
            } else {
                reason = "released peers do not have it: make it trailing, at the end, or make a new message"
            }
            self.breaksWire(
                field.nativePosition, "`\(field.name)` is new in the dqlite encoding of \(now.name); \(reason)")
        }
    }

    /// The highest revision that was released of a message, which for a structure is that of the messages which contain it.
    /// nil: it has no revisions.
    private func releasedRevision(of name: String) -> Int? {
        guard let message = self.lock.message(name), let native = message.native else { return nil }
        switch native.frame {
        case .request, .response: return native.revision
        case .raft, .command: return nil
        case .plain:
            let containers = self.lock.messages.filter { $0.nativeFields.contains { $0.type == .message(name) } }
            return containers.compactMap { self.releasedRevision(of: $0.name) }.max()
        }
    }
}
