#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The statements of a connection that were compiled last, found by their SQL without copying it.
struct StatementCache {
    /// (A class, so that it is not copied to be looked at. It belongs to one cache.)
    private final class Entry {
        let sql: [UInt8]
        let statement: Statement
        var lastUse: UInt64

        init(sql: [UInt8], statement: Statement, lastUse: UInt64) {
            self.sql = sql
            self.statement = statement
            self.lastUse = lastUse
        }
    }

    let capacity: Int
    /// By the hash of their SQL: of two texts with the same hash only one is kept.
    private var entries: [UInt64: Entry] = [:]
    private var uses: UInt64 = 0
    /// Bytes of the texts.
    private var byteCount = 0

    init(capacity: Int) { self.capacity = max(0, capacity) }

    var count: Int { self.entries.count }

    /// The statement that was compiled from exactly these bytes.
    mutating func statement(for sql: UnsafeRawBufferPointer) -> Statement? {
        guard !self.entries.isEmpty, let entry = self.entries[Self.hash(sql)] else { return nil }
        let isSame = entry.sql.withUnsafeBytes {
            $0.count == sql.count && memcmp($0.baseAddress!, sql.baseAddress!, sql.count) == 0
        }
        guard isSame else { return nil }
        self.uses += 1
        entry.lastUse = self.uses
        return entry.statement
    }

    /// Keeps a statement; those that were not used for longest go for it.
    mutating func insert(_ statement: Statement, for sql: UnsafeRawBufferPointer) {
        guard self.capacity > 0, !sql.isEmpty, sql.count <= Self.maximumLength else { return }
        let hash = Self.hash(sql)
        self.remove(hash)
        while self.entries.count >= self.capacity || self.byteCount + sql.count > Self.maximumBytes {
            guard let oldest = self.entries.min(by: { $0.value.lastUse < $1.value.lastUse }) else { break }
            self.remove(oldest.key)
        }
        self.uses += 1
        self.entries[hash] = Entry(sql: Array(sql), statement: statement, lastUse: self.uses)
        self.byteCount += sql.count
    }

    private mutating func remove(_ hash: UInt64) {
        if let entry = self.entries.removeValue(forKey: hash) { self.byteCount -= entry.sql.count }
    }

    /// Forgets a statement.
    mutating func remove(_ statement: Statement) {
        if let hash = self.entries.first(where: { $0.value.statement === statement })?.key { self.remove(hash) }
    }

    mutating func removeAll() { self = StatementCache(capacity: self.capacity) }

    /// Bytes that the texts may have together, and each of them.
    static let maximumBytes = 1 << 20
    static let maximumLength = 256 << 10

    /// FNV-1a, eight bytes at a time. Texts are compared whole, so that who makes two equal wins nothing but that one is
    /// compiled again.
    private static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325 ^ UInt64(bytes.count)
        var offset = 0
        while offset + 8 <= bytes.count {
            hash = (hash ^ bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)) &* 0x100_0000_01b3
            hash ^= hash >> 32
            offset += 8
        }
        while offset < bytes.count {
            hash = (hash ^ UInt64(bytes[offset])) &* 0x100_0000_01b3
            offset += 1
        }
        return hash
    }
}
