#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// The statements of a session that were compiled last, found by their SQL without copying it.
struct StatementCache {
    private struct Entry {
        var hash: UInt64
        var sql: [UInt8]
        var statement: Statement
        var lastUse: UInt64
    }

    let capacity: Int
    private var entries: [Entry] = []
    private var uses: UInt64 = 0

    init(capacity: Int) { self.capacity = max(0, capacity) }

    var count: Int { self.entries.count }

    /// The statement that was compiled from exactly these bytes.
    mutating func statement(for sql: UnsafeRawBufferPointer) -> Statement? {
        guard !self.entries.isEmpty else { return nil }
        let hash = Self.hash(sql)
        for index in self.entries.indices where self.entries[index].hash == hash {
            let isSame = self.entries[index].sql.withUnsafeBytes {
                $0.count == sql.count && memcmp($0.baseAddress!, sql.baseAddress!, sql.count) == 0
            }
            guard isSame else { continue }
            self.uses += 1
            self.entries[index].lastUse = self.uses
            return self.entries[index].statement
        }
        return nil
    }

    /// Keeps a statement; if the cache is full the one that was not used for longest goes.
    mutating func insert(_ statement: Statement, for sql: UnsafeRawBufferPointer) {
        // Large texts are rarely sent twice, and would be kept for nothing.
        guard self.capacity > 0, !sql.isEmpty, sql.count <= Self.maximumLength else { return }
        self.uses += 1
        let entry = Entry(hash: Self.hash(sql), sql: Array(sql), statement: statement, lastUse: self.uses)
        if self.entries.count < self.capacity {
            self.entries.append(entry)
            return
        }
        var oldest = 0
        for index in self.entries.indices where self.entries[index].lastUse < self.entries[oldest].lastUse {
            oldest = index
        }
        self.entries[oldest] = entry
    }

    /// Forgets a statement.
    mutating func remove(_ statement: Statement) {
        self.entries.removeAll { $0.statement === statement }
    }

    mutating func removeAll() { self.entries.removeAll() }

    /// The longest text, in bytes, that is kept.
    static let maximumLength = 16_384

    /// FNV-1a, eight bytes at a time. Entries are few and compared whole, so that nothing is won by making two equal.
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
