internal import CDqliteProtocol
public import SwiftProtobuf

/// A message of the schema in two implementations that are not ours.
public struct OracleMessage: Sendable {
    /// Name of the message in the schema.
    public let name: String
    /// The message in swift-protobuf.
    public let swiftType: any SwiftProtobuf.Message.Type
    /// protobuf-c's decoder of the message.
    let unpack: @Sendable (Int, UnsafePointer<UInt8>?) -> UnsafeMutableRawPointer?

    init(
        _ name: String, _ swiftType: any SwiftProtobuf.Message.Type,
        unpack: @escaping @Sendable (Int, UnsafePointer<UInt8>?) -> UnsafeMutableRawPointer?
    ) {
        self.name = name
        self.swiftType = swiftType
        self.unpack = unpack
    }

    /// What protobuf-c makes of the bytes when it decodes and encodes them; nil when it refuses them.
    public func throughProtobufC(_ bytes: [UInt8]) -> [UInt8]? {
        let decoded = bytes.withUnsafeBufferPointer { self.unpack($0.count, $0.baseAddress) }
        guard let message = decoded?.assumingMemoryBound(to: ProtobufCMessage.self) else { return nil }
        defer { protobuf_c_message_free_unpacked(message, nil) }
        let size = protobuf_c_message_get_packed_size(message)
        return [UInt8](unsafeUninitializedCapacity: max(size, 1)) { memory, count in
            count = protobuf_c_message_pack(message, memory.baseAddress)
        }
    }

    /// What swift-protobuf makes of the bytes when it decodes and encodes them.
    public func throughSwiftProtobuf(_ bytes: [UInt8]) throws -> [UInt8] {
        try self.swiftType.init(serializedBytes: bytes).serializedBytes()
    }

    /// The message as JSON, by swift-protobuf.
    public func json(_ bytes: [UInt8]) throws -> String {
        var options = JSONEncodingOptions()
        options.alwaysPrintInt64sAsNumbers = true
        return try self.swiftType.init(serializedBytes: bytes).jsonString(options: options)
    }
}
