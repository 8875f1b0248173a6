/// One of the two encodings of the protocol, told apart by the first 8 bytes of a connection.
public enum WireEncoding: Hashable, Sendable {
    /// What dqlite and go-dqlite speak: words of 8 bytes, one request at a time.
    case dqlite
    /// Envelopes of protobuf: many requests at a time, in sessions.
    case protobuf
}
