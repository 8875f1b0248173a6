import DqliteProtocol
import DqliteRaft
import DqliteWire

/// The file that all entries make, one after the other: what every node's database is to be, byte for byte.
struct CommittedFile {
    private static let pageSize = 4096

    private(set) var bytes: [UInt8] = []
    private var hashes: [UInt64] = []
    /// Of all pages, after each entry from index 0 on.
    private var history: [UInt64] = [0]
    /// The newest entry that holds pages.
    private(set) var lastCommand = LogIndex.zero

    var hash: UInt64 { self.history[self.history.count - 1] }

    func hash(after index: LogIndex) -> UInt64 { self.history[Int(index.rawValue)] }

    /// - Returns: Whether the entry can be read.
    mutating func apply(_ entry: Entry) -> Bool {
        guard entry.kind == .command else {
            self.history.append(self.hash)
            return true
        }
        let command = entry.data.withUnsafeBytes { bytes -> FramesCommand? in
            var reader = WordReader(bytes, message: "FramesCommand")
            return try? FramesCommand(dqlite: &reader, revision: 0)
        }
        guard let command else { return false }
        self.lastCommand = entry.index
        for (place, number) in command.pageNumbers.enumerated() {
            let page = command.pages[place * Self.pageSize..<(place + 1) * Self.pageSize]
            self.resize(to: max(self.hashes.count, Int(number)))
            let offset = (Int(number) - 1) * Self.pageSize
            self.bytes.replaceSubrange(offset..<offset + Self.pageSize, with: page)
            self.hashes[Int(number) - 1] = Self.hash(page, at: Int(number))
        }
        // Where SQLite says how many pages there are.
        let count = self.bytes[28..<32].reduce(0) { $0 << 8 | Int($1) }
        self.resize(to: count)
        self.history.append(self.hashes.reduce(0, ^))
        return true
    }

    private mutating func resize(to count: Int) {
        let surplus = self.hashes.count - count
        if surplus > 0 {
            self.hashes.removeLast(surplus)
            self.bytes.removeLast(surplus * Self.pageSize)
        } else if surplus < 0 {
            let empty = [UInt8](repeating: 0, count: Self.pageSize)
            for number in self.hashes.count..<count { self.hashes.append(Self.hash(empty[...], at: number + 1)) }
            self.bytes += [UInt8](repeating: 0, count: -surplus * Self.pageSize)
        }
    }

    static func hash(of bytes: [UInt8]) -> UInt64 {
        stride(from: 0, to: bytes.count, by: Self.pageSize).reduce(0) { hash, offset in
            hash ^ Self.hash(bytes[offset..<min(offset + Self.pageSize, bytes.count)], at: offset / Self.pageSize + 1)
        }
    }

    private static func hash(_ page: ArraySlice<UInt8>, at number: Int) -> UInt64 {
        page.withUnsafeBytes { memory in
            var hash = UInt64(number) &+ 0x9e37_79b9_7f4a_7c15
            for offset in stride(from: 0, to: memory.count & ~7, by: 8) {
                hash = (hash ^ memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0xff51_afd7_ed55_8ccd
                hash ^= hash >> 32
            }
            return hash
        }
    }
}
