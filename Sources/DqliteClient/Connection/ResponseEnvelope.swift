import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// A response of the protobuf encoding, of which only the frame is read: whose it is and what.
struct ResponseEnvelope: Hashable {
    enum Kind: Hashable {
        case blocked
        case response(ResponseCode)
    }

    /// Id of the request that it answers.
    var requestID: UInt64
    /// What it is.
    var kind: Kind
    /// Its body: a slice of the envelope.
    var body: ByteBuffer
    /// What the envelope took on the wire, its length included.
    var wireSize: Int

    /// Reads an envelope.
    ///
    /// - Throws: ``WireError`` when it is malformed, or has no body that this client knows.
    init(_ envelope: ByteBuffer) throws(WireError) {
        self = try envelope.withReadableMemory { bytes throws(WireError) in
            var reader = ProtobufReader(bytes, message: "Response")
            var requestID: UInt64 = 0
            var kind: Kind?
            var body = bytes[0..<0]
            while let key = try reader.nextKey() {
                switch key {
                case 1 << 3: requestID = try reader.varint()
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
            guard let kind else { throw reader.error(.invalidValue) }
            return ResponseEnvelope(
                requestID: requestID, kind: kind,
                body: envelope.getSlice(at: envelope.readerIndex + body.startIndex, length: body.count)!,
                wireSize: lengthDelimitedSize(bytes.count))
        }
    }

    init(requestID: UInt64, kind: Kind, body: ByteBuffer, wireSize: Int) {
        self.requestID = requestID
        self.kind = kind
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
