import DqliteProtocol
import DqliteWire
import NIOCore

/// The envelope around a Rows response: how large it is, and where it is written. It is put in front of a body that is there
/// already, for how long its length is is only known then.
struct RowsEnvelope {
    let requestID: UInt64

    /// Bytes that are kept free in front of a body: 5 and 5 for two lengths, 11 for the id, 2 for the key of the body.
    static let room = 24

    /// Key of the Rows response in a `Response`: its field, of the wire type with a length.
    private static let key = UInt64(RequestEnvelope.firstBodyField + UInt32(ResponseCode.rows.rawValue)) << 3 | 2

    private func innerSize(bodySize: Int) -> Int {
        1 + varintSize(self.requestID) + varintSize(Self.key) + lengthDelimitedSize(bodySize)
    }

    /// Size of the envelope with its own length in front.
    func size(bodySize: Int) -> Int { lengthDelimitedSize(self.innerSize(bodySize: bodySize)) }

    /// Size of the largest body whose envelope has at most `size` bytes. Negative: not even an empty one fits.
    func largestBody(in size: Int) -> Int {
        var bodySize = size - 4 - varintSize(self.requestID)
        while bodySize >= 0, self.size(bodySize: bodySize) > size { bodySize -= 1 }
        return max(-1, bodySize)
    }

    /// Writes everything in front of a body into the ``room`` bytes that the buffer begins with, and makes it begin there.
    func write(to buffer: inout ByteBuffer) {
        let bodySize = buffer.readableBytes - Self.room
        let inner = self.innerSize(bodySize: bodySize)
        let start = Self.room - (lengthDelimitedSize(inner) - bodySize)
        buffer.withUnsafeMutableReadableBytes { memory in
            var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(rebasing: memory[start..<Self.room]))
            writer.varint(UInt64(inner))
            writer.varint(1 << 3)
            writer.varint(self.requestID)
            writer.varint(Self.key)
            writer.varint(UInt64(bodySize))
        }
        buffer.moveReaderIndex(forwardBy: start)
    }
}

/// What one result may still send, and the part that waits for its reader to grant more.
struct ResultWindow {
    /// A part that does not fit.
    struct Held {
        var envelope: ByteBuffer
        var more: Bool
    }

    /// Bytes that were granted and are not used.
    private(set) var remaining: Int
    /// A part that is made, but larger than what remains.
    private(set) var held: Held?
    /// Size of the part that waits, made or not.
    private(set) var needed: Int?

    init(granted: UInt64) { self.remaining = Int(clamping: granted) }

    /// A part was made.
    ///
    /// - Returns: Whether it may be sent. Otherwise it is held, and the reader is to be told.
    mutating func send(_ envelope: ByteBuffer, more: Bool) -> Bool {
        let size = envelope.readableBytes
        guard size <= self.remaining else {
            self.held = Held(envelope: envelope, more: more)
            self.needed = size
            return false
        }
        self.remaining -= size
        return true
    }

    /// A part of `size` bytes cannot be made.
    ///
    /// - Returns: Whether the reader is to be told. Otherwise there is room for it meanwhile.
    mutating func blocked(size: Int) -> Bool {
        guard size > self.remaining else { return false }
        self.needed = size
        return true
    }

    /// What a grant sets free.
    enum Release {
        case nothing
        case resume
        case send(Held)
    }

    /// The reader lets more through.
    mutating func grant(_ bytes: UInt64) -> Release {
        let (sum, overflow) = self.remaining.addingReportingOverflow(Int(clamping: bytes))
        self.remaining = overflow ? .max : sum
        guard let needed = self.needed, needed <= self.remaining else { return .nothing }
        self.needed = nil
        guard let held = self.held else { return .resume }
        self.held = nil
        self.remaining -= needed
        return .send(held)
    }

    /// The result is over. Gives back the part that was held.
    mutating func end() -> Held? {
        defer {
            self.held = nil
            self.needed = nil
        }
        return self.held
    }
}
