// The rules about the native wire.

extension Validation {
    // MARK: Messages

    mutating func checkNativeMessages() {
        var requests: [Int: String] = [:]
        var responses: [Int: String] = [:]
        var raft: [Int: String] = [:]
        var commands: [Int: String] = [:]
        for message in self.schema.messages {
            guard let native = message.native else { continue }
            self.checkOptions(native, of: message)
            guard !native.legacy else { continue }
            switch native.frame {
            case .request(let number): self.claim(number, "request", for: message, in: &requests)
            case .response(let number): self.claim(number, "response", for: message, in: &responses)
            case .raft(let number): self.claim(number, "raft message", for: message, in: &raft)
            case .command(let number): self.claim(number, "command", for: message, in: &commands)
            case .plain: break
            }
        }
        for message in self.schema.messages where message.native?.legacy == true {
            let number = message.native?.response ?? message.native?.request ?? -1
            let others = message.native?.response != nil ? responses : requests
            if others[number] == nil {
                self.fail(message.nativePosition, "\(message.name) is legacy, but no other message has its number")
            }
        }
    }

    private mutating func claim(_ number: Int, _ kind: String, for message: Message, in known: inout [Int: String]) {
        if !(0...255).contains(number) {
            self.fail(message.nativePosition, "the number of a \(kind) is one byte; \(number) is not")
        }
        if let other = known[number] {
            self.fail(message.nativePosition, "\(kind) \(number) is taken by \(other)")
        } else {
            known[number] = message.name
        }
    }

    private mutating func checkOptions(_ native: NativeMessage, of message: Message) {
        let position = message.nativePosition
        if native.request != nil, !message.name.hasSuffix("Request") || message.name == "Request" {
            self.fail(message.position, "the name of a request ends with Request")
        }
        if native.response != nil, !message.name.hasSuffix("Response") || message.name == "Response" {
            self.fail(message.position, "the name of a response ends with Response")
        }
        if native.request == nil, !native.answers.isEmpty { self.fail(position, "only a request has answers") }
        for answer in native.answers {
            guard let response = self.schema.message(answer) else {
                self.fail(position, "answers names \(answer), which is not a message")
                continue
            }
            if response.native?.response == nil {
                self.fail(position, "answers names \(answer), which is not a response")
            }
        }
        if native.slack > 0, native.raft == nil { self.fail(position, "only a raft message has slack") }
        if native.slack < 0 || native.slack > 4096 {
            self.fail(position, "slack of \(native.slack) bytes is not sensible")
        }
        if native.legacy, native.request == nil, native.response == nil {
            self.fail(position, "only a request or a response is legacy")
        }
        if native.revision > 0, native.request == nil, native.response == nil {
            self.fail(position, "only a request or a response has revisions")
        }
        if !(0...255).contains(native.revision) {
            self.fail(position, "a revision is one byte; \(native.revision) is not")
        }
        if native.revisionByRequest, native.response == nil || native.revision == 0 {
            self.fail(position, "revision_by_request is for responses that have more than one revision")
        }
    }

    // MARK: Fields

    mutating func checkNativeFields(of message: Message) {
        guard let native = message.native, !message.isChoice || message.fields.isEmpty else { return }
        var trailing: Field?
        var protobufOnly: Field?
        let fields = message.nativeFields
        for field in message.fields {
            guard let place = field.native else {
                protobufOnly = protobufOnly ?? field
                continue
            }
            if let other = protobufOnly {
                self.fail(
                    field.position,
                    "\(field.name) has a native form but follows \(other.name), which has none: native fields come first"
                )
                protobufOnly = nil
            }
            if let other = trailing, !place.trailing {
                self.fail(
                    field.nativePosition,
                    "\(field.name) follows \(other.name), which may be left out: it has to be trailing too")
            }
            if place.trailing { trailing = trailing ?? field }
            self.checkForm(of: field, in: message)
            self.checkRange(of: field, in: message)
            self.checkRevision(of: field, in: message, native)
            self.checkModifiers(of: field, in: message)
            self.checkTrailing(field, in: message, native)
        }
        for (index, field) in fields.enumerated() {
            self.checkNeighbours(of: field, at: index, in: fields, of: message)
        }
        self.checkPayload(of: message, native)
    }

    /// Whether the form suits the type.
    private mutating func checkForm(of field: Field, in message: Message) {
        guard let form = field.native?.form else { return }
        let isBytes = field.type == .scalar(.bytes)
        let isText = field.type == .scalar(.string) || isBytes && field.isText
        if field.isText, !isBytes { self.fail(field.typePosition, "text is for bytes; \(field.name) is \(field.type)") }
        let isList = [.tuple, .counted, .array, .rows].contains(form)
        if isList, !field.isRepeated { self.fail(field.nativePosition, "\(form.name) is for repeated fields") }
        if !isList, field.isRepeated {
            self.fail(field.nativePosition, "\(form.name) is for a single value; \(field.name) is repeated")
        }
        var mismatch: String?
        switch form {
        case .word:
            if field.type == .scalar(.int32) || !field.type.isIntegral && field.type != .scalar(.double) {
                mismatch = "integers of 64 bits or without a sign, enumerations, bool and double"
            }
        case .half, .short, .byte:
            let signed: Set<FieldType> = [.scalar(.int64), .scalar(.sint64)]
            if !field.type.isIntegral { mismatch = "integers, enumerations and bool" }
            if signed.contains(field.type) || field.type == .scalar(.int32) && form != .half {
                mismatch = "integers without a sign, enumerations and bool"
            }
        case .text, .unpaddedText: if !isText { mismatch = "string, and bytes that are text" }
        case .blob, .unpaddedBlob, .rest, .payloadHalf, .payloadWord:
            if !isBytes || field.isText { mismatch = "bytes that are not text" }
        case .tuple, .rows:
            if self.message(of: field)?.isChoice != true { mismatch = "messages that are a choice, as Value is" }
        case .counted:
            if field.type == .scalar(.double) || field.type == .scalar(.int32) {
                mismatch = "messages, string, bytes and integers"
            }
        case .array: if field.type != .scalar(.uint64) { mismatch = "uint64" }
        case .rowsEnd: if field.type != .scalar(.bool) { mismatch = "bool" }
        case .inline: if self.message(of: field) == nil { mismatch = "messages" }
        }
        if let mismatch {
            self.fail(field.nativePosition, "\(form.name) is for \(mismatch); \(field.name) is \(field.type)")
        }
        if form == .counted || form == .inline, let inner = self.message(of: field) {
            self.checkContained(inner, by: field)
        }
    }

    private func message(of field: Field) -> Message? {
        guard case .message(let name) = field.type else { return nil }
        return self.schema.message(name)
    }

    /// A message that lies in another one has to end where its last field ends, and bring no frame.
    private mutating func checkContained(_ inner: Message, by field: Field) {
        guard let native = inner.native else {
            self.fail(
                field.typePosition, "\(inner.name) has no place on the native wire, so \(field.name) cannot have one")
            return
        }
        if native.frame != .plain {
            self.fail(field.typePosition, "\(inner.name) has a frame of its own: it cannot lie in another message")
        }
        if inner.isChoice { self.fail(field.nativePosition, "\(inner.name) is a choice: use TUPLE or ROWS") }
        for part in inner.nativeFields {
            guard let place = part.native else { continue }
            if place.trailing || place.form == .rest {
                self.fail(
                    field.typePosition,
                    "\(inner.name).\(part.name) lies at the end of its message, so \(inner.name) cannot lie in another one"
                )
            }
        }
        if inner.fields.contains(where: { $0.native == nil }) {
            self.fail(field.typePosition, "\(inner.name) has fields that the native wire does not carry")
        }
    }

    private mutating func checkRevision(of field: Field, in message: Message, _ native: NativeMessage) {
        guard let place = field.native else { return }
        if !(0...255).contains(place.since) {
            self.fail(field.nativePosition, "a revision is one byte; \(place.since) is not")
        }
        guard native.frame != .plain else { return }
        if place.since > native.revision {
            self.fail(
                field.nativePosition,
                "\(field.name) is there since revision \(place.since), but \(message.name) has revisions up to \(native.revision)"
            )
        }
        if place.form == .counted || place.form == .inline, let inner = self.message(of: field) {
            for part in inner.nativeFields where (part.native?.since ?? 0) > native.revision {
                self.fail(
                    field.typePosition,
                    "\(inner.name).\(part.name) is there since revision \(part.native?.since ?? 0), "
                        + "but \(message.name) has revisions up to \(native.revision)")
            }
        }
    }

    private mutating func checkModifiers(of field: Field, in message: Message) {
        guard let place = field.native else { return }
        let isNumber = place.form.bits != nil
        if let constant = place.constant {
            let types: [FieldType] = [.scalar(.uint32), .scalar(.uint64), .scalar(.fixed64)]
            if !types.contains(field.type) || !isNumber {
                self.fail(
                    field.nativePosition, "a constant is for uint32, uint64 and fixed64 in WORD, HALF, SHORT or BYTE")
            } else {
                let bits = min(place.form.bits ?? 64, field.type == .scalar(.uint32) ? 32 : 64)
                if bits < 64, constant >> UInt64(bits) != 0 {
                    self.fail(field.nativePosition, "the constant \(constant) does not fit into \(bits) bits")
                }
            }
            if constant == 0 {
                self.fail(field.nativePosition, "a constant is not zero: readers could not tell it from no field")
            }
            if place.trailing { self.fail(field.nativePosition, "a constant cannot be trailing") }
        }
        if place.trailing, !(isNumber || [.text, .blob].contains(place.form)) {
            self.fail(field.nativePosition, "trailing is for numbers, TEXT and BLOB, not for \(place.form.name)")
        }
        if place.trailing, place.since > 0 {
            self.fail(field.nativePosition, "a field is trailing or since a revision, not both")
        }
        if !(0...4096).contains(place.padding) {
            self.fail(field.nativePosition, "padding of \(place.padding) bytes is not sensible")
        }
        if place.padding > 0, !isNumber {
            self.fail(field.nativePosition, "padding is for numbers, not for \(place.form.name)")
        }
        if place.form != .array, !place.count.isEmpty {
            self.fail(field.nativePosition, "count is for ARRAY, not for \(place.form.name)")
        }
    }

    /// Only the end of a frame tells whether a field is missing at the end: after a structure something else follows, slack
    /// holds whatever a peer's memory held, and padding is no field.
    private mutating func checkTrailing(_ field: Field, in message: Message, _ native: NativeMessage) {
        guard field.native?.trailing == true else { return }
        if native.frame == .plain {
            self.fail(
                field.nativePosition,
                "a field of a plain structure cannot be trailing: what follows the structure would be read as \(field.name)"
            )
        } else if native.slack > 0 {
            self.fail(
                field.nativePosition,
                "a field before slack cannot be trailing: what peers send there would be read as \(field.name)")
        }
        if native.padded {
            self.fail(
                field.nativePosition, "a field before padding cannot be trailing: \(field.name) would be read from it")
        }
    }

    /// Values of an enumeration that do not fit into the place that a message has for them.
    private mutating func checkRange(of field: Field, in message: Message) {
        guard case .enumeration(let name) = field.type, let form = field.native?.form, let bits = form.bits, bits < 32,
            let enumeration = self.schema.enumeration(name)
        else { return }
        for value in enumeration.cases where value.number >> bits != 0 {
            self.fail(
                value.position,
                "\(value.name) is \(value.number), which does not fit into \(message.name).\(field.name): it is a \(form.name)"
            )
        }
    }

    /// What a form demands of the fields around it.
    private mutating func checkNeighbours(of field: Field, at index: Int, in fields: [Field], of message: Message) {
        guard let place = field.native else { return }
        let previous = index > 0 ? fields[index - 1].native?.form : nil
        let next = index + 1 < fields.count ? fields[index + 1].native?.form : nil
        switch place.form {
        case .array: self.checkCount(place.count, of: field, before: index, in: fields)
        case .rows:
            if previous != .counted || next != .rowsEnd {
                self.fail(
                    field.nativePosition, "ROWS follows the COUNTED names of the columns and is followed by ROWS_END")
            }
        case .rowsEnd:
            if previous != .rows { self.fail(field.nativePosition, "ROWS_END follows ROWS") }
        case .rest:
            if next != nil {
                self.fail(field.nativePosition, "\(field.name) takes all bytes that remain: nothing can follow it")
            }
            if message.native?.padded == true {
                self.fail(field.nativePosition, "a message with REST cannot be padded")
            }
        case .tuple:
            // A tuple without values is nothing at all, which only the end of the message can tell.
            if next != nil { self.fail(field.nativePosition, "\(field.name) is a TUPLE: nothing can follow it") }
        default: break
        }
    }

    private mutating func checkCount(_ name: String, of field: Field, before index: Int, in fields: [Field]) {
        guard !name.isEmpty else {
            self.fail(
                field.nativePosition,
                "\(field.name) is an ARRAY: say in `count` which field holds the number of elements")
            return
        }
        guard let position = fields.firstIndex(where: { $0.name == name }) else {
            self.fail(field.nativePosition, "the count of \(field.name), \(name), is not a native field of the message")
            return
        }
        let count = fields[position]
        let types: [FieldType] = [.scalar(.uint32), .scalar(.uint64)]
        if position >= index {
            self.fail(field.nativePosition, "the count of \(field.name), \(name), has to lie before it")
        }
        if !types.contains(count.type) || count.isRepeated || count.native?.constant != nil {
            self.fail(
                field.nativePosition,
                "the count of \(field.name), \(name), has to be a uint32 or uint64 and no constant")
        }
    }

    /// Bytes of the payload need a header that says where it begins: the one of a raft message, or one of fixed size.
    private mutating func checkPayload(of message: Message, _ native: NativeMessage) {
        if let field = message.nativeFields.first(where: { $0.native?.form.isPayload == true }) {
            let isFixed = message.nativeFields.allSatisfy { field in
                field.native.map { $0.form.bits != nil || $0.form.isPayload } ?? true
            }
            switch native.frame {
            case .raft: break
            case .plain where isFixed: break
            case .plain:
                self.fail(field.nativePosition, "a plain structure with a payload has fields of fixed size only")
            default: self.fail(field.nativePosition, "only raft messages, and what lies in them, have a payload")
            }
        }
        for field in message.nativeFields where field.native?.form == .counted || field.native?.form == .inline {
            guard let inner = self.message(of: field), native.raft == nil else { continue }
            if inner.nativeFields.contains(where: { $0.native?.form.isPayload == true }) {
                self.fail(field.typePosition, "\(inner.name) has a payload, so it can lie in a raft message only")
            }
        }
    }
}
