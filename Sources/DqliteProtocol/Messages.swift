public import DqliteWire

/// A request of the client protocol, in both encodings.
public protocol RequestMessage: DqliteEncodable, ProtobufEncodable {
    /// Its number.
    static var code: RequestCode { get }
}

/// A response of the client protocol, in both encodings.
public protocol ResponseMessage: DqliteEncodable, ProtobufEncodable {
    /// Its number.
    static var code: ResponseCode { get }

    /// Whether the header of the frame says which revision the body has. Otherwise it says 0, and the request decided.
    static var revisionIsInHeader: Bool { get }
}

extension ResponseMessage {
    @inlinable public static var revisionIsInHeader: Bool { true }
}

extension Request {
    /// Numbers of the fields that must not be ignored: a node that does not know one that is set runs nothing, and answers
    /// Failure with the outcome "not committed". See schema/dqlite/envelope.proto.
    @inlinable public static var criticalFields: ClosedRange<UInt32> { 15...19 }
}
