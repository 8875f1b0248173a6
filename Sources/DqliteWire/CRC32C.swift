/// CRC-32C (Castagnoli): the checksum of everything that a node keeps in files of its own.
///
/// Eight bytes a step, with a table for each. (The instruction that processors have for it is not within Swift's reach.)
public struct CRC32C: Sendable {
    @usableFromInline static let tables: [UInt32] = {
        var tables = [UInt32](repeating: 0, count: 8 * 256)
        for byte in 0..<256 {
            tables[byte] = (0..<8).reduce(UInt32(byte)) { crc, _ in crc & 1 == 1 ? crc >> 1 ^ 0x82f6_3b78 : crc >> 1 }
        }
        for index in 256..<tables.count {
            let crc = tables[index - 256]
            tables[index] = crc >> 8 ^ tables[Int(crc & 0xff)]
        }
        return tables
    }()

    @usableFromInline var state: UInt32 = ~0

    /// The checksum of nothing yet.
    @inlinable public init() {}

    /// The checksum of all bytes so far.
    @inlinable public var value: UInt32 { ~self.state }

    /// Goes on with `bytes`.
    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard var position = bytes.baseAddress else { return }
        let end = position + bytes.count
        self.state = Self.tables.withUnsafeBufferPointer { table in
            // The tables are complete, and every index below is at most 8 * 256 - 1.
            let table = table.baseAddress!
            var crc = self.state
            while end - position >= 8 {
                let low = UInt32(littleEndian: position.loadUnaligned(as: UInt32.self)) ^ crc
                let high = UInt32(littleEndian: position.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
                let first = table[1792 &+ Int(low & 0xff)] ^ table[1536 &+ Int(low >> 8 & 0xff)]
                let second = table[1280 &+ Int(low >> 16 & 0xff)] ^ table[1024 &+ Int(low >> 24)]
                let third = table[768 &+ Int(high & 0xff)] ^ table[512 &+ Int(high >> 8 & 0xff)]
                let fourth = table[256 &+ Int(high >> 16 & 0xff)] ^ table[Int(high >> 24)]
                crc = first ^ second ^ third ^ fourth
                position += 8
            }
            while position < end {
                crc = crc >> 8 ^ table[Int((crc ^ UInt32(position.load(as: UInt8.self))) & 0xff)]
                position += 1
            }
            return crc
        }
    }

    /// The checksum of `bytes`.
    public static func checksum(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var crc = Self()
        crc.update(bytes)
        return crc.value
    }

    /// The checksum of `bytes`.
    public static func checksum(_ bytes: [UInt8]) -> UInt32 { bytes.withUnsafeBytes { Self.checksum($0) } }
}
