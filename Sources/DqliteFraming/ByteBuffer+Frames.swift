public import DqliteProtocol
public import DqliteWire
public import NIOCore

extension ByteBuffer {
    /// Appends a request as a frame of the dqlite encoding: header and body.
    ///
    /// - Throws: ``WireEncodingError`` when this encoding cannot carry the message; nothing is appended then.
    @inlinable
    public mutating func writeDqliteRequest<Message: RequestMessage>(
        _ message: Message, revision: UInt8 = 0
    ) throws(WireEncodingError) {
        try self.writeDqliteFrame(message, code: Message.code.rawValue, revision: revision, headerRevision: revision)
    }

    /// Appends a response as a frame of the dqlite encoding: header and body.
    ///
    /// - Throws: ``WireEncodingError`` when this encoding cannot carry the message; nothing is appended then.
    @inlinable
    public mutating func writeDqliteResponse<Message: ResponseMessage>(
        _ message: Message, revision: UInt8 = 0
    ) throws(WireEncodingError) {
        try self.writeDqliteFrame(
            message, code: Message.code.rawValue, revision: revision,
            headerRevision: Message.revisionIsInHeader ? revision : 0)
    }

    @inlinable
    mutating func writeDqliteFrame<Message: DqliteEncodable>(
        _ message: Message, code: UInt8, revision: UInt8, headerRevision: UInt8
    ) throws(WireEncodingError) {
        let size = try message.dqliteEncodedSize(revision: revision)
        guard size % 8 == 0 else { throw WireEncodingError(.notWholeWords, field: Message.messageName) }
        guard size / 8 <= UInt32.max else { throw WireEncodingError(.messageTooLarge, field: "FrameHeader.bodyWords") }
        let header = FrameHeader(bodyWords: UInt32(size / 8), code: code, revision: headerRevision)
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: FrameHeader.size + size) { memory in
            var writer = WordWriter(memory)
            header.encode(into: &writer)
            message.encodeDqlite(into: &writer, revision: revision)
            return writer.count
        }
    }

    /// Appends a message of the protobuf encoding, preceded by its length as a varint.
    @inlinable
    public mutating func writeEnvelope(_ message: some ProtobufEncodable) {
        let size = message.protobufEncodedSize
        self.writeWithUnsafeMutableBytes(minimumWritableBytes: lengthDelimitedSize(size)) { memory in
            var writer = ProtobufWriter(memory)
            writer.varint(UInt64(size))
            message.encodeProtobuf(into: &writer)
            return writer.count
        }
    }

    /// The message of the dqlite encoding that the readable bytes are the body of.
    @inlinable
    public func dqliteMessage<Message: DqliteEncodable>(
        _: Message.Type = Message.self, revision: UInt8 = 0
    ) throws(WireError) -> Message {
        try self.withReadableMemory { bytes throws(WireError) in
            var reader = WordReader(bytes, message: Message.messageName)
            return try Message(dqlite: &reader, revision: revision)
        }
    }

    /// The message of the protobuf encoding that the readable bytes are.
    @inlinable
    public func protobufMessage<Message: ProtobufEncodable>(
        _: Message.Type = Message.self
    ) throws(WireError) -> Message {
        try self.withReadableMemory { bytes throws(WireError) in
            var reader = ProtobufReader(bytes, message: Message.messageName)
            return try Message(protobuf: &reader)
        }
    }

    /// `withUnsafeReadableBytes` for bodies that throw one type of error.
    @inlinable
    public func withReadableMemory<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        // NIO's closure rethrows any error, so the typed one travels as a value.
        let result = self.withUnsafeReadableBytes { bytes -> Swift.Result<Result, Failure> in
            do throws(Failure) { return .success(try body(bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }
}
