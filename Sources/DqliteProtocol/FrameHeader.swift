public import DqliteWire

/// What precedes every request and every response of the dqlite encoding.
///
/// Requests and responses have overlapping codes: which one it is, the direction says.
public struct FrameHeader: Hashable, Sendable {
    /// Size of a header in bytes.
    public static let size = 8

    /// Size of the body in words of 8 bytes. Up to 32 GiB: the limit is the reader's business.
    public var bodyWords: UInt32
    /// Number of the request or of the response.
    public var code: UInt8
    /// Revision of the body.
    public var revision: UInt8

    @inlinable
    public init(bodyWords: UInt32, code: UInt8, revision: UInt8 = 0) {
        self.bodyWords = bodyWords
        self.code = code
        self.revision = revision
    }

    /// Reads a header from the first 8 of `bytes`; there must be as many. The last two have no meaning.
    @inlinable
    public init(_ bytes: UnsafeRawBufferPointer) {
        let word = UInt64(littleEndian: bytes.loadUnaligned(as: UInt64.self))
        self.bodyWords = UInt32(truncatingIfNeeded: word)
        self.code = UInt8(truncatingIfNeeded: word >> 32)
        self.revision = UInt8(truncatingIfNeeded: word >> 40)
    }

    /// Size of the body in bytes.
    @inlinable public var bodySize: Int { Int(self.bodyWords) &* 8 }

    /// Writes the header.
    @inlinable
    public func encode(into writer: inout WordWriter) {
        writer.word(UInt64(self.bodyWords) | UInt64(self.code) << 32 | UInt64(self.revision) << 40)
    }
}
