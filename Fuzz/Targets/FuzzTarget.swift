import DqliteProtocol
public import DqliteWire

/// A rule that a decoder broke.
public struct FuzzFinding: Error, CustomStringConvertible {
    public var description: String

    init(_ description: String) { self.description = description }
}

/// One group of decoders, fed with arbitrary bytes. An input is the place of a message in ``messages``, its revision (both
/// one byte, taken modulo what there is), then the bytes to decode.
///
/// Decoding must neither trap nor read out of bounds, which the sanitizer sees; and what decodes must encode again, to bytes
/// that decode to the same.
public enum FuzzTarget: String, CaseIterable, Sendable {
    /// Bodies of requests in the dqlite encoding, as structs and as views.
    case requests
    /// Bodies of responses in the dqlite encoding, rows as structs and through cursors.
    case responses
    /// Everything else in the dqlite encoding: messages between nodes, commands, snapshots, files.
    case storage
    /// All messages in the protobuf encoding, envelopes, views and cursors among them.
    case protobuf

    /// The messages that the target decodes.
    public var messages: [any WireMessage.Type] {
        switch self {
        case .requests: Self.requestMessages
        case .responses: Self.responseMessages
        case .storage: Self.storageMessages
        case .protobuf: Self.protobufMessages
        }
    }

    private static let requestMessages = allMessages.filter { $0 is any RequestMessage.Type }
    private static let responseMessages = allMessages.filter {
        $0 is any ResponseMessage.Type || $0 == LegacyServerResponse.self
    }
    private static let storageMessages = allMessages.filter { message in
        message is any DqliteEncodable.Type
            && !(requestMessages + responseMessages).contains { $0 == message }
    }
    private static let protobufMessages = allMessages.filter { $0 is any ProtobufEncodable.Type }

    /// An input for a message of this target.
    public func input(_ message: any WireMessage.Type, revision: UInt8, bytes: [UInt8]) -> [UInt8]? {
        guard let index = self.messages.firstIndex(where: { $0 == message }) else { return nil }
        return [UInt8(index), revision] + bytes
    }

    /// Decodes the input.
    ///
    /// - Throws: ``FuzzFinding`` when a decoder breaks a rule. Input that is no message is none.
    public func run(_ input: UnsafeRawBufferPointer) throws {
        guard input.count >= 2 else { return }
        let message = self.messages[Int(input[0]) % self.messages.count]
        // Memory of exactly that size: what reads past its end touches what the sanitizer guards.
        let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: input.count - 2, alignment: 1)
        defer { copy.deallocate() }
        copy.copyMemory(from: UnsafeRawBufferPointer(rebasing: input[2...]))
        let bytes = UnsafeRawBufferPointer(copy)

        switch self {
        case .protobuf:
            guard let message = message as? any ProtobufEncodable.Type else { return }
            try checkProtobuf(message, bytes)
            try checkProtobufViews(message, bytes)
        default:
            guard let message = message as? any DqliteEncodable.Type else { return }
            let revision = input[1] % (message.highestRevision + 1)
            try checkDqlite(message, revision: revision, bytes)
            try checkDqliteViews(message, revision: revision, bytes)
        }
    }
}

func checkDqlite<Message: DqliteEncodable>(
    _: Message.Type, revision: UInt8, _ bytes: UnsafeRawBufferPointer
) throws {
    guard let message = try? decodeDqlite(Message.self, revision: revision, bytes).message else { return }
    guard let encoded = try? message.dqliteBytes(revision: revision) else {
        throw FuzzFinding("\(Message.messageName), revision \(revision): decodes, but does not encode")
    }
    let again = encoded.withUnsafeBytes { try? decodeDqlite(Message.self, revision: revision, $0) }
    guard let again else {
        throw FuzzFinding("\(Message.messageName), revision \(revision): does not decode what it encoded")
    }
    guard again.read == encoded.count else {
        throw FuzzFinding("\(Message.messageName), revision \(revision): reads less than it wrote")
    }
    // Bytes are compared, not values: NaN is not equal to itself.
    guard (try? again.message.dqliteBytes(revision: revision)) == encoded else {
        throw FuzzFinding("\(Message.messageName), revision \(revision): changes when it is encoded again")
    }
}

func decodeDqlite<Message: DqliteEncodable>(
    _: Message.Type, revision: UInt8, _ bytes: UnsafeRawBufferPointer
) throws(WireError) -> (message: Message, read: Int) {
    var reader = WordReader(bytes, message: Message.messageName)
    let message = try Message(dqlite: &reader, revision: revision)
    return (message, reader.offset)
}

func checkProtobuf<Message: ProtobufEncodable>(
    _: Message.Type, _ bytes: UnsafeRawBufferPointer
) throws {
    guard let message = try? decodeProtobuf(Message.self, bytes) else { return }
    let encoded = message.protobufBytes()
    guard let again = encoded.withUnsafeBytes({ try? decodeProtobuf(Message.self, $0) }) else {
        throw FuzzFinding("\(Message.messageName), protobuf: does not decode what it encoded")
    }
    guard again.protobufBytes() == encoded else {
        throw FuzzFinding("\(Message.messageName), protobuf: changes when it is encoded again")
    }
}

func decodeProtobuf<Message: ProtobufEncodable>(
    _: Message.Type, _ bytes: UnsafeRawBufferPointer
) throws(WireError) -> Message {
    var reader = ProtobufReader(bytes, message: Message.messageName)
    return try Message(protobuf: &reader)
}
