/// The schema, understood: what the descriptor set says, with our options read and every type found.
///
/// Everything is in the order of the source, files in the order of their dependencies as protoc gives them.
struct Schema {
    var files: [SchemaFile] = []

    var messages: [Message] { self.files.flatMap(\.messages) }
    var enumerations: [Enumeration] { self.files.flatMap(\.enumerations) }

    /// The message of that name, without the package.
    func message(_ name: String) -> Message? { self.messages.first { $0.name == name } }
    /// The enumeration of that name, without the package.
    func enumeration(_ name: String) -> Enumeration? { self.enumerations.first { $0.name == name } }
}

/// One file of the schema.
struct SchemaFile {
    /// Path below the schema's root: `dqlite/client.proto`.
    var path = ""
    var package = ""
    /// What stands above `syntax`.
    var comment = ""
    /// Paths of the files of the schema that it imports. The files that define options are not among them.
    var imports: [String] = []
    var messages: [Message] = []
    var enumerations: [Enumeration] = []
    var position = SourcePosition()

    /// `client` of `dqlite/client.proto`.
    var name: String { String(self.path.split(separator: "/").last?.dropLast(".proto".count) ?? "") }
}

/// A place in the source.
struct SourcePosition: Hashable, Comparable, CustomStringConvertible {
    var file = ""
    /// From 1.
    var line = 1
    /// From 1.
    var column = 1

    var description: String { "\(self.file):\(self.line):\(self.column)" }

    static func < (a: Self, b: Self) -> Bool { (a.file, a.line, a.column) < (b.file, b.line, b.column) }
}

/// A mistake in the schema.
struct SchemaError: Error, Hashable, Comparable, CustomStringConvertible {
    var position: SourcePosition
    var message: String

    var description: String { "\(self.position): error: \(self.message)" }

    static func < (a: Self, b: Self) -> Bool { (a.position, a.message) < (b.position, b.message) }
}

/// All mistakes of a schema, in the order of the source.
struct SchemaErrors: Error, CustomStringConvertible {
    var errors: [SchemaError]

    var description: String { self.errors.map(\.description).joined(separator: "\n") }
}

struct Message {
    /// Without the package.
    var name = ""
    var comment = ""
    /// Of the name.
    var position = SourcePosition()
    /// Of the native option; of the name when there is none.
    var nativePosition = SourcePosition()
    /// In the order of the source, which is the order on the native wire. Those of the oneofs are among them.
    var fields: [Field] = []
    var oneofs: [Oneof] = []
    var reservedNumbers: [ClosedRange<Int>] = []
    var reservedNames: [String] = []
    /// nil when the message does not say how it is framed.
    var nativeOption: NativeMessage?

    /// How the message lies on the native wire; nil when it does not.
    var native: NativeMessage? {
        if let option = self.nativeOption { return option }
        return self.fields.contains(where: { $0.native != nil }) ? NativeMessage() : nil
    }

    /// The fields that have a place on the native wire, in their order there.
    var nativeFields: [Field] { self.fields.filter { $0.native != nil } }

    /// Whether the message is nothing but a choice of one field, as a value of SQLite is.
    var isChoice: Bool { self.oneofs.count == 1 && self.fields.allSatisfy { $0.oneof == 0 } }
}

struct Oneof {
    var name = ""
    var comment = ""
    var position = SourcePosition()
}

struct Field {
    /// As in the schema: `database_id`.
    var name = ""
    var number = 0
    var comment = ""
    var type = FieldType.scalar(.uint64)
    var isRepeated = false
    /// Index of the oneof that the field belongs to.
    var oneof: Int?
    /// Whether Swift sees bytes as text.
    var isText = false
    /// Whether a case of a choice says nothing beyond being chosen.
    var isUnit = false
    /// nil when the field exists in the protobuf encoding only.
    var native: NativeField?

    /// Of the name.
    var position = SourcePosition()
    var numberPosition = SourcePosition()
    var typePosition = SourcePosition()
    /// Of the native option; of the name when there is none.
    var nativePosition = SourcePosition()
}

enum FieldType: Hashable, CustomStringConvertible {
    case scalar(ScalarType)
    /// A message, by its name without the package.
    case message(String)
    /// An enumeration, by its name without the package.
    case enumeration(String)

    /// As in the schema.
    var description: String {
        switch self {
        case .scalar(let type): type.name
        case .message(let name), .enumeration(let name): name
        }
    }

    /// Whether it is an integer, an enumeration or a boolean.
    var isIntegral: Bool {
        switch self {
        case .scalar(let type): type != .double && type != .string && type != .bytes
        case .enumeration: true
        case .message: false
        }
    }
}

/// The scalar types of protobuf that a schema may use; the raw values are descriptor.proto's.
enum ScalarType: Int {
    case double = 1
    case int64 = 3
    case uint64 = 4
    case int32 = 5
    case fixed64 = 6
    case bool = 8
    case string = 9
    case bytes = 12
    case uint32 = 13
    case sint64 = 18

    /// As in the schema.
    var name: String { "\(self)" }
}

struct Enumeration {
    /// Without the package.
    var name = ""
    var comment = ""
    var position = SourcePosition()
    var cases: [EnumerationCase] = []
    var reservedNumbers: [ClosedRange<Int>] = []
    var reservedNames: [String] = []
}

struct EnumerationCase {
    /// As in the schema: `SERVER_ROLE_VOTER`.
    var name = ""
    var number = 0
    var comment = ""
    var position = SourcePosition()
}

/// How a message is framed on the native wire: the option `native_message`.
struct NativeMessage: Hashable {
    /// Numbers, of which at most one is set.
    var request: Int?
    var response: Int?
    var raft: Int?
    var command: Int?
    /// Highest revision.
    var revision = 0
    var revisionByRequest = false
    var padded = false
    var slack = 0
    var legacy = false
    var answers: [String] = []

    enum Frame: Hashable {
        case request(Int)
        case response(Int)
        case raft(Int)
        case command(Int)
        /// No frame: a plain structure.
        case plain
    }

    var frame: Frame {
        if let number = self.request { return .request(number) }
        if let number = self.response { return .response(number) }
        if let number = self.raft { return .raft(number) }
        if let number = self.command { return .command(number) }
        return .plain
    }
}

/// The place of a field on the native wire: the option `native`.
struct NativeField: Hashable {
    var form = Form.word
    /// First revision that has the field.
    var since = 0
    var trailing = false
    /// Unused bytes after the field.
    var padding = 0
    /// ARRAY: name of the field with the count.
    var count = ""
    var constant: UInt64?
}

/// The forms of options.proto, by their numbers there. (PROTOBUF_ONLY is the absence of a NativeField.)
enum Form: Int, CaseIterable {
    case word = 1
    case half
    case short
    case byte
    case text
    case unpaddedText
    case blob
    case unpaddedBlob
    case tuple
    case counted
    case array
    case rows
    case rowsEnd
    case payloadHalf
    case payloadWord
    case rest
    case inline

    /// As in the schema.
    var name: String {
        switch self {
        case .word: "WORD"
        case .half: "HALF"
        case .short: "SHORT"
        case .byte: "BYTE"
        case .text: "TEXT"
        case .unpaddedText: "UNPADDED_TEXT"
        case .blob: "BLOB"
        case .unpaddedBlob: "UNPADDED_BLOB"
        case .tuple: "TUPLE"
        case .counted: "COUNTED"
        case .array: "ARRAY"
        case .rows: "ROWS"
        case .rowsEnd: "ROWS_END"
        case .payloadHalf: "PAYLOAD_HALF"
        case .payloadWord: "PAYLOAD_WORD"
        case .rest: "REST"
        case .inline: "INLINE"
        }
    }

    /// Bits of an integer in this form; nil when it is another kind of form.
    var bits: Int? {
        switch self {
        case .word: 64
        case .half: 32
        case .short: 16
        case .byte: 8
        default: nil
        }
    }

    var isPayload: Bool { self == .payloadHalf || self == .payloadWord }
}
