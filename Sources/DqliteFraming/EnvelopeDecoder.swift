public import NIOCore

/// Cuts what arrives on a connection into envelopes of the protobuf encoding, without their lengths.
public struct EnvelopeDecoder: NIOSingleStepByteToMessageDecoder {
    public typealias InboundOut = ByteBuffer

    @usableFromInline let maximumSize: Int

    /// - Parameter maximumSize: Envelopes above it, in bytes, end the connection with a ``FrameError``, before anything is
    ///   kept of them.
    @inlinable
    public init(maximumSize: Int) { self.maximumSize = maximumSize }

    @inlinable
    public mutating func decode(buffer: inout ByteBuffer) throws -> ByteBuffer? {
        var size: UInt64 = 0
        var prefix = 0
        while true {
            // 2^28 - 1 is the most that four bytes say, and more than any limit.
            guard prefix < 4 else { throw FrameError("length of an envelope is longer than 4 bytes") }
            guard let byte = buffer.getInteger(at: buffer.readerIndex + prefix, as: UInt8.self) else { return nil }
            size |= UInt64(byte & 0x7f) << UInt64(7 * prefix)
            prefix += 1
            if byte < 0x80 { break }
        }
        guard size <= UInt64(self.maximumSize) else {
            throw FrameError("envelope of \(size) bytes is above the limit of \(self.maximumSize)")
        }
        guard buffer.readableBytes >= prefix + Int(size) else { return nil }
        buffer.moveReaderIndex(forwardBy: prefix)
        return buffer.readSlice(length: Int(size))!
    }

    @inlinable
    public mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> ByteBuffer? {
        try self.decode(buffer: &buffer)
    }
}
