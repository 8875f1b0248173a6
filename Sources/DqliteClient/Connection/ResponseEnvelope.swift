import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// A response of the protobuf encoding, of which only the frame is read: whose it is and what.
struct ResponseEnvelope: Hashable {
    enum Kind: Hashable {
        case blocked
        case response(ResponseCode)
        /// One that this client does not know, or none.
        case other
    }

    /// Id of the request that it answers.
    var requestID: UInt64
    /// What it is.
    var kind: Kind
    /// Whether another answer to the request follows. Rows and Blocked say so themselves.
    var more: Bool
    /// Its body: a slice of the envelope.
    var body: ByteBuffer
    /// What the envelope took on the wire, its length included.
    var wireSize: Int

    /// Reads an envelope.
    ///
    /// - Throws: ``WireError`` when it is malformed.
    init(_ envelope: ByteBuffer) throws(WireError) {
        self = try envelope.withReadableMemory { bytes throws(WireError) in
            var reader = ProtobufReader(bytes, message: "Response")
            var requestID: UInt64 = 0
            var kind = Kind.other
            var more = false
            var body = bytes[0..<0]
            while let key = try reader.nextKey() {
                switch key {
                case 1 << 3: requestID = try reader.varint()
                case 3 << 3: more = try reader.varint() != 0
                case 10 << 3 | 2:
                    kind = .blocked
                    let field = try reader.bytes()
                    body = bytes[(reader.offset - field.count)..<reader.offset]
                case (20 << 3 | 2)...(30 << 3 | 2) where key & 7 == 2:
                    // The responses of the dqlite encoding have the field numbers from 20 on.
                    kind = .response(ResponseCode(rawValue: UInt8(key >> 3) - 20))
                    let field = try reader.bytes()
                    body = bytes[(reader.offset - field.count)..<reader.offset]
                default: try reader.skip(key)
                }
            }
            return ResponseEnvelope(
                requestID: requestID, kind: kind, more: more,
                body: envelope.getSlice(at: envelope.readerIndex + body.startIndex, length: body.count)!,
                wireSize: lengthDelimitedSize(bytes.count))
        }
    }

    init(requestID: UInt64, kind: Kind, more: Bool, body: ByteBuffer, wireSize: Int) {
        self.requestID = requestID
        self.kind = kind
        self.more = more
        self.body = body
        self.wireSize = wireSize
    }

    /// Whether another part follows this Rows response. Passes over the values without looking into them.
    static func rowsHaveMore(_ body: ByteBuffer) throws(WireError) -> Bool {
        try body.withReadableMemory { bytes throws(WireError) in
            var reader = ProtobufReader(bytes, message: "RowsResponse")
            var more = false
            while let key = try reader.nextKey() {
                if key == 3 << 3 { more = try reader.varint() != 0 } else { try reader.skip(key) }
            }
            return more
        }
    }
}
