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
