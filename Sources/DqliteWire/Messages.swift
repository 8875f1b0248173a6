/// A message of the schema.
public protocol WireMessage: Sendable {
    /// Its name in the schema, for errors.
    static var messageName: StaticString { get }
}

/// A message, or a part of one, that the dqlite encoding can carry.
public protocol DqliteEncodable: WireMessage {
    /// The highest revision of the layout; 0 when there is only one.
    static var highestRevision: UInt8 { get }

    /// Size of the body in bytes, as ``encodeDqlite(into:revision:)`` will write it.
    ///
    /// - Throws: ``WireEncodingError`` when this encoding cannot carry the message.
    func dqliteEncodedSize(revision: UInt8) throws(WireEncodingError) -> Int

    /// Writes the body, in exactly as many bytes as ``dqliteEncodedSize(revision:)`` says, which has to be asked first.
    func encodeDqlite(into writer: inout WordWriter, revision: UInt8)

    /// Reads a body, or a part of one. What follows it stays unread.
    init(dqlite reader: inout WordReader, revision: UInt8) throws(WireError)
}

/// A message of the protobuf encoding.
public protocol ProtobufEncodable: WireMessage {
    /// Size in bytes, as ``encodeProtobuf(into:)`` will write it.
    var protobufEncodedSize: Int { get }

    /// Writes the message, in exactly as many bytes as ``protobufEncodedSize`` says.
    func encodeProtobuf(into writer: inout ProtobufWriter)

    /// Reads the message up to the end of the reader. Unknown fields are passed over.
    init(protobuf reader: inout ProtobufReader) throws(WireError)
}

extension DqliteEncodable {
    /// The body, by itself.
    public func dqliteBytes(revision: UInt8 = 0) throws(WireEncodingError) -> [UInt8] {
        let size = try self.dqliteEncodedSize(revision: revision)
        guard size > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: size) { memory, count in
            var writer = WordWriter(UnsafeMutableRawBufferPointer(memory))
            self.encodeDqlite(into: &writer, revision: revision)
            count = writer.count
        }
    }
}

extension ProtobufEncodable {
    /// The message, by itself.
    public func protobufBytes() -> [UInt8] {
        let size = self.protobufEncodedSize
        guard size > 0 else { return [] }
        return [UInt8](unsafeUninitializedCapacity: size) { memory, count in
            var writer = ProtobufWriter(UnsafeMutableRawBufferPointer(memory))
            self.encodeProtobuf(into: &writer)
            count = writer.count
        }
    }
}
