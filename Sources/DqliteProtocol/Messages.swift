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
}
