/// A page of a simulated database.
struct Page: Hashable, Sendable {
    /// Longer than a sector of the simulated disk, and no multiple of it, so that crashes tear pages.
    static let wordCount = 80
    static let size = Self.wordCount * 8

    var words: [UInt64]

    static let empty = Page(words: [UInt64](repeating: 0, count: Self.wordCount))

    init(words: [UInt64]) { self.words = words }

    init(_ bytes: UnsafeRawBufferPointer) {
        self.words = (0..<Self.wordCount).map {
            UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self))
        }
    }

    /// The pages that a file holds.
    static func pages(_ bytes: [UInt8]) -> [Page] {
        bytes.withUnsafeBytes { memory in
            stride(from: 0, to: memory.count, by: Self.size).map {
                Page(UnsafeRawBufferPointer(rebasing: memory[$0..<$0 + Self.size]))
            }
        }
    }

    func append(to bytes: inout [UInt8]) {
        self.words.withUnsafeBytes { bytes.append(contentsOf: $0) }
    }

    var bytes: [UInt8] { self.words.withUnsafeBytes { [UInt8]($0) } }

    /// A hash that is the same in every process, for the page at a place.
    func hash(at number: Int) -> UInt64 {
        var hash = UInt64(number) &+ 0x9e37_79b9_7f4a_7c15
        for word in self.words {
            hash = (hash ^ word) &* 0xff51_afd7_ed55_8ccd
            hash ^= hash >> 32
        }
        return hash
    }
}

/// The parts of a database: its first page, then registers, then lists.
package struct DatabaseShape: Hashable, Sendable {
    package var registers = 6
    package var lists = 8

    var pageCount: Int { 1 + self.registers + self.lists }
    func page(ofRegister number: Int) -> Int { 1 + number }
    func page(ofList number: Int) -> Int { 1 + self.registers + number }
}
