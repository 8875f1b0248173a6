import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// What travels on a connection that sends a snapshot, in both directions.
enum SnapshotMessage: Hashable, Sendable {
    case begin(SnapshotBegin)
    case file(SnapshotFile)
    /// As `SnapshotChunk`, without copying the bytes.
    case chunk(offset: UInt64, ByteBuffer)
    case fileEnd(SnapshotFileEnd)
    case end(SnapshotEnd)
    case accepted(SnapshotAccepted)
    case progress(SnapshotProgress)
    case received(SnapshotReceived)
    case failed(SnapshotFailed)

    /// Type, length of the header, and the header of a chunk.
    static let chunkHeaderSize = 32
    static let chunkType: UInt64 = 66
}

extension SnapshotMessage {
    /// The numbers of the messages but that of chunks, and how each is read.
    fileprivate static func reader(
        of type: UInt64
    ) -> ((ByteBuffer) -> Result<SnapshotMessage, WireError>)? {
        switch type {
        case 64: { Self.read($0, SnapshotMessage.begin) }
        case 65: { Self.read($0, SnapshotMessage.file) }
        case 67: { Self.read($0, SnapshotMessage.fileEnd) }
        case 68: { Self.read($0, SnapshotMessage.end) }
        case 69: { Self.read($0, SnapshotMessage.accepted) }
        case 70: { Self.read($0, SnapshotMessage.progress) }
        case 71: { Self.read($0, SnapshotMessage.received) }
        case 72: { Self.read($0, SnapshotMessage.failed) }
        default: nil
        }
    }

    private static func read<Message: DqliteEncodable>(
        _ buffer: ByteBuffer, _ make: (Message) -> SnapshotMessage
    ) -> Result<SnapshotMessage, WireError> {
        do throws(WireError) {
            return .success(make(try buffer.dqliteMessage()))
        } catch {
            return .failure(error)
        }
    }
}

/// Cuts what arrives into messages.
struct SnapshotFrameDecoder: NIOSingleStepByteToMessageDecoder {
    typealias InboundOut = SnapshotMessage

    /// The longest header: that of a configuration.
    static let maximumHeaderSize = 1 << 20

    /// - Parameter maximumChunkSize: Longer chunks end the connection, before anything is kept of them.
    let maximumChunkSize: Int

    mutating func decode(buffer: inout ByteBuffer) throws -> SnapshotMessage? {
        let start = buffer.readerIndex
        guard let word = buffer.getInteger(at: start, endianness: .little, as: UInt64.self),
            let size = buffer.getInteger(at: start + 8, endianness: .little, as: UInt64.self)
        else { return nil }
        let type = word & 0xffff
        guard size <= Self.maximumHeaderSize else {
            throw SnapshotError(.malformed, "a message of type \(type) has a header of \(size) bytes")
        }
        if type == SnapshotMessage.chunkType { return try self.decodeChunk(buffer: &buffer, headerSize: Int(size)) }
        guard let read = SnapshotMessage.reader(of: type) else {
            throw SnapshotError(.malformed, "messages of type \(type) do not belong to a snapshot")
        }
        guard let frame = buffer.readSlice(length: 16 + Int(size)) else { return nil }
        do {
            return try read(frame).get()
        } catch {
            throw SnapshotError(.malformed, "\(error)")
        }
    }

    private func decodeChunk(buffer: inout ByteBuffer, headerSize: Int) throws(SnapshotError) -> SnapshotMessage? {
        guard headerSize >= 16 else { throw SnapshotError(.malformed, "the header of a chunk has \(headerSize) bytes") }
        let start = buffer.readerIndex
        guard let offset = buffer.getInteger(at: start + 16, endianness: .little, as: UInt64.self),
            let size = buffer.getInteger(at: start + 24, endianness: .little, as: UInt64.self)
        else { return nil }
        guard size <= self.maximumChunkSize else {
            throw SnapshotError(.limit, "a chunk has \(size) bytes; at most \(self.maximumChunkSize) are taken")
        }
        guard buffer.readableBytes >= 16 + headerSize + Int(size) else { return nil }
        buffer.moveReaderIndex(forwardBy: 16 + headerSize)
        return .chunk(offset: offset, buffer.readSlice(length: Int(size))!)
    }

    mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> SnapshotMessage? {
        try self.decode(buffer: &buffer)
    }
}

extension ByteBuffer {
    /// Appends a message of a snapshot as a frame.
    ///
    /// - Throws: When a text in it holds NUL.
    mutating func writeSnapshotMessage(_ message: SnapshotMessage) throws(WireEncodingError) {
        switch message {
        case .begin(let message): try self.writeFrame(message)
        case .file(let message): try self.writeFrame(message)
        case .chunk(let offset, var bytes):
            self.writeMultipleIntegers(
                SnapshotMessage.chunkType, UInt64(16), offset, UInt64(bytes.readableBytes), endianness: .little)
            self.writeBuffer(&bytes)
        case .fileEnd(let message): try self.writeFrame(message)
        case .end(let message): try self.writeFrame(message)
        case .accepted(let message): try self.writeFrame(message)
        case .progress(let message): try self.writeFrame(message)
        case .received(let message): try self.writeFrame(message)
        case .failed(let message): try self.writeFrame(message)
        }
    }

    private mutating func writeFrame(_ message: some DqliteEncodable) throws(WireEncodingError) {
        self.writeBytes(try message.dqliteBytes())
    }
}
