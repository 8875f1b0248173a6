internal import DqliteProtocol
internal import DqliteWire

/// A file of the log.
struct Segment: Sendable {
    static let headerSize = 64
    /// Name of the file that becomes the next segment.
    static let spareName = "spare"

    let number: UInt64
    let size: Int
    /// Where the next record belongs; in all segments but the last, where the records end.
    var end: Int

    var name: String { Self.name(self.number) }

    static func name(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return "segment-" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// The number in a name. nil: it is not the name of a segment.
    static func number(_ name: String) -> UInt64? {
        guard name.hasPrefix("segment-"), let number = UInt64(name.dropFirst(8), radix: 16), name == Self.name(number)
        else { return nil }
        return number
    }
}

/// A structure that begins with a magic word, a format, and a checksum over all of it.
protocol Sealed: DqliteEncodable {
    var checksum: UInt32 { get set }
}

extension SegmentHeader: Sealed {}
extension TermAndVote: Sealed {}

extension Sealed {
    /// Its bytes, with their checksum.
    func sealedBytes() -> [UInt8] {
        var copy = self
        copy.checksum = 0
        // All fields have a fixed size that holds all their values.
        guard let bytes = try? copy.dqliteBytes() else { preconditionFailure("a structure without texts has a size") }
        copy.checksum = CRC32C.checksum(bytes)
        return (try? copy.dqliteBytes()) ?? bytes
    }

    /// Reads it. nil: the bytes do not match their checksum, or are something else.
    init?(sealed bytes: UnsafeRawBufferPointer) {
        var reader = WordReader(bytes, message: Self.messageName)
        guard let value = try? Self(dqlite: &reader, revision: 0) else { return nil }
        guard value.sealedBytes().elementsEqual(bytes.prefix(reader.offset)) else { return nil }
        self = value
    }
}
