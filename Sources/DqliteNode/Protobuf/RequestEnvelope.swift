import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// A `Request` of the protobuf encoding of which only the envelope is read: the body stays the bytes that it is, for the engine
/// reads parameters where they lie.
struct RequestEnvelope: Sendable {
    var requestID: UInt64 = 0
    var sessionID: UInt64 = 0
    var timeout: Duration?
    var window: UInt64 = 0
    var readConsistency: UInt64 = 0
    /// In milliseconds.
    var maximumStaleness: UInt64 = 0
    var minimumCommitIndex: UInt64 = 0
    var exactlyOnceSession: UInt64 = 0
    var exactlyOnceSequence: UInt64 = 0
    /// Whether it may run only in a transaction of its session that is open.
    var inTransaction = false
    /// A field that is not known and must not be passed over.
    var criticalField: UInt32?
    /// Number of the field that the body is. 0: none that is known.
    var bodyField: UInt32 = 0
    var body = ByteBuffer()

    /// How current a read must be.
    enum Consistency: Hashable {
        /// Everything that was acknowledged before.
        case linearizable
        /// What the node has that believes to be the leader.
        case leader
        /// What any node has, not older than that.
        case stale(Duration)

        var needsLeader: Bool { if case .stale = self { false } else { true } }
    }

    var consistency: Consistency {
        switch ReadConsistency(rawValue: UInt32(truncatingIfNeeded: self.readConsistency)) {
        case .leader: .leader
        case .stale: .stale(.milliseconds(Int64(clamping: self.maximumStaleness)))
        default: .linearizable
        }
    }

    /// Fields of the body that are not requests of the dqlite encoding.
    static let cancel: UInt32 = 10
    static let grant: UInt32 = 11
    static let closeSession: UInt32 = 12
    static let batch: UInt32 = 13
    /// What is added to the number of a request, or of a response, to make its field.
    static let firstBodyField: UInt32 = 20

    /// The request of the dqlite encoding that the body is, if it is one.
    var code: RequestCode? {
        guard self.bodyField >= Self.firstBodyField else { return nil }
        return RequestCode(rawValue: UInt8(truncatingIfNeeded: self.bodyField - Self.firstBodyField))
    }

    /// Fields that ask for something without which the request must not run: a node that does not know one refuses it.
    static let criticalFields: ClosedRange<UInt32> = 15...19

    /// Reads an envelope. As in any protobuf, the last of several bodies counts, and most unknown fields do not.
    init(_ envelope: ByteBuffer) throws(WireError) {
        try envelope.withReadableMemory { bytes throws(WireError) in
            var reader = ProtobufReader(bytes, message: "Request")
            while let key = try reader.nextKey() {
                switch key {
                case 1 << 3: self.requestID = try reader.varint()
                case 2 << 3: self.sessionID = try reader.varint()
                case 3 << 3:
                    let milliseconds = try reader.varint()
                    self.timeout = milliseconds == 0 ? nil : .milliseconds(Int64(clamping: milliseconds))
                case 4 << 3: self.window = try reader.varint()
                case 5 << 3: self.readConsistency = try reader.varint()
                case 6 << 3: self.maximumStaleness = try reader.varint()
                case 7 << 3: self.minimumCommitIndex = try reader.varint()
                case 8 << 3: self.exactlyOnceSession = try reader.varint()
                case 9 << 3: self.exactlyOnceSequence = try reader.varint()
                case 14 << 3: self.inTransaction = try reader.varint() != 0
                case _ where key & 7 == 2 && Self.isBody(key >> 3):
                    let body = try reader.bytes()
                    self.bodyField = key >> 3
                    self.body = envelope.getSlice(
                        at: envelope.readerIndex + reader.offset - body.count, length: body.count)!
                default:
                    if Self.criticalFields.contains(key >> 3) { self.criticalField = key >> 3 }
                    try reader.skip(key)
                }
            }
        }
    }

    private static func isBody(_ field: UInt32) -> Bool {
        switch field {
        case Self.cancel...Self.batch: true
        case Self.firstBodyField..<Self.firstBodyField + 256:
            RequestCode(rawValue: UInt8(field - Self.firstBodyField)).highestRevision != nil
        default: false
        }
    }

    /// What a node cannot do that the envelope asks for.
    var unsupported: String? {
        if let criticalField {
            return "this node does not know field \(criticalField) of Request, without which it must not be run"
        }
        if self.readConsistency > 3 { return "unrecognized read consistency \(self.readConsistency)" }
        if self.minimumCommitIndex != 0 {
            return "this node has no commit index yet: minimum_commit_index must be zero"
        }
        if self.exactlyOnceSession != 0 || self.exactlyOnceSequence != 0 {
            return "this node has no exactly-once sessions yet: exactly_once_session and _sequence must be zero"
        }
        if self.bodyField == Self.batch { return "this node does not run batches yet" }
        return nil
    }
}

extension RequestEnvelope {
    /// The body as a message. nil: it is none that is known.
    func decodedBody() throws(WireError) -> Request.Body? {
        guard self.bodyField != 0 else { return nil }
        // The generated decoder knows the bodies by their fields, so it gets an envelope that has nothing else.
        var envelope = ByteBuffer()
        let count = self.body.readableBytes
        let key = UInt64(self.bodyField) << 3 | 2
        envelope.writeWithUnsafeMutableBytes(minimumWritableBytes: varintSize(key) + lengthDelimitedSize(count)) {
            memory in
            var writer = ProtobufWriter(memory)
            writer.varint(key)
            self.body.withUnsafeReadableBytes { writer.bytes($0) }
            return writer.count
        }
        let request: Request = try envelope.protobufMessage()
        return request.body
    }
}
