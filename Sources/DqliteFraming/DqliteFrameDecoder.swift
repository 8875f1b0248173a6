public import DqliteProtocol
public import NIOCore

/// A frame of the dqlite encoding.
public struct DqliteFrame: Sendable, Hashable {
    /// What it is.
    public var header: FrameHeader
    /// Its body: a slice of what was received.
    public var body: ByteBuffer

    @inlinable
    public init(header: FrameHeader, body: ByteBuffer) {
        self.header = header
        self.body = body
    }
}

/// Why the bytes of a connection cannot be cut into frames. The connection cannot go on.
public struct FrameError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What is wrong, for a person.
    public var description: String

    @usableFromInline
    init(_ description: String) { self.description = description }
}

/// Cuts what arrives on a connection into frames of the dqlite encoding.
public struct DqliteFrameDecoder: NIOSingleStepByteToMessageDecoder {
    public typealias InboundOut = DqliteFrame

    @usableFromInline let maximumBodySize: Int

    /// - Parameter maximumBodySize: Bodies above it, in bytes, end the connection with a ``FrameError``, before anything is
    ///   kept of them.
    @inlinable
    public init(maximumBodySize: Int) { self.maximumBodySize = maximumBodySize }

    @inlinable
    public mutating func decode(buffer: inout ByteBuffer) throws -> DqliteFrame? {
        guard buffer.readableBytes >= FrameHeader.size else { return nil }
        let header = buffer.withUnsafeReadableBytes { FrameHeader($0) }
        let size = Int(header.bodyWords) * 8
        guard size <= self.maximumBodySize else {
            throw FrameError("frame of \(size) bytes is above the limit of \(self.maximumBodySize)")
        }
        guard buffer.readableBytes >= FrameHeader.size + size else { return nil }
        buffer.moveReaderIndex(forwardBy: FrameHeader.size)
        return DqliteFrame(header: header, body: buffer.readSlice(length: size)!)
    }

    @inlinable
    public mutating func decodeLast(buffer: inout ByteBuffer, seenEOF: Bool) throws -> DqliteFrame? {
        try self.decode(buffer: &buffer)
    }
}
