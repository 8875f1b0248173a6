internal import DqliteProtocol
public import DqliteRaft
internal import DqliteWire

/// A record to be written. It is made by who asks for it, checksum and all; its place and number are given to it later.
struct Record: Sendable {
    static let headerSize = 32

    /// What it means for the log.
    enum Effect: Sendable {
        case entries([Entry])
        case checkpoint(database: String, CheckpointMarks)
        case cut(lastIndex: LogIndex, lastTerm: Term)
        case mark
    }

    let effect: Effect
    /// Header and the beginning of the body, or all of it. The data of the entries follows.
    private var head: [UInt8]
    private let bodySize: Int
    private let bodyChecksum: UInt32

    init(_ effect: Effect) {
        self.effect = effect
        var bodySize: Int
        switch effect {
        case .entries(let entries):
            let start = EntriesRecord(firstIndex: entries[0].index.rawValue, entryCount: UInt64(entries.count))
            bodySize = 16 + 16 * entries.count
            self.head = Self.head(bodySize: bodySize) { writer in
                start.encodeDqlite(into: &writer, revision: 0)
                for entry in entries {
                    writer.word(entry.term.rawValue)
                    writer.word(UInt64(entry.kind.rawValue) | UInt64(entry.data.count) << 32)
                    bodySize += entry.data.count
                }
            }
        case .checkpoint(let name, let marks):
            let body = CheckpointRecord(name: name, intent: marks.intent.rawValue, done: marks.done.rawValue)
            bodySize = Self.checkpointSize(name) - Self.headerSize
            self.head = Self.head(bodySize: bodySize) { body.encodeDqlite(into: &$0, revision: 0) }
        case .cut(let index, let term):
            let body = CutRecord(lastIndex: index.rawValue, lastTerm: term.rawValue)
            bodySize = 16
            self.head = Self.head(bodySize: bodySize) { body.encodeDqlite(into: &$0, revision: 0) }
        case .mark:
            bodySize = 0
            self.head = Self.head(bodySize: 0) { _ in }
        }
        self.bodySize = bodySize
        var checksum = CRC32C()
        self.head.withUnsafeBytes { checksum.update(UnsafeRawBufferPointer(rebasing: $0[Self.headerSize...])) }
        if case .entries(let entries) = effect {
            for entry in entries { entry.data.withUnsafeBytes { checksum.update($0) } }
        }
        Self.zeros(bodySize).withUnsafeBytes { checksum.update($0) }
        self.bodyChecksum = checksum.value
    }

    /// Bytes that it takes in a segment.
    var size: Int { Self.headerSize + roundedUpToWord(self.bodySize) }

    /// Bytes that the record of a database's checkpoints takes in a segment.
    static func checkpointSize(_ database: String) -> Int {
        Self.headerSize + roundedUpToWord(database.utf8.count + 1) + 16
    }

    /// What it consists of, in order.
    func pieces(sequence: UInt64, synced: UInt64, logID: UInt64) -> [[UInt8]] {
        var head = self.head
        head.withUnsafeMutableBytes { bytes in
            let memory = UnsafeMutableRawBufferPointer(rebasing: bytes[..<Self.headerSize])
            var header = RecordHeader(
                bodyChecksum: self.bodyChecksum, type: self.type, bodySize: UInt32(self.bodySize), sequence: sequence,
                synced: synced)
            var writer = WordWriter(memory)
            header.encodeDqlite(into: &writer, revision: 0)
            header.headerChecksum = Self.headerChecksum(UnsafeRawBufferPointer(memory), logID: logID)
            writer = WordWriter(memory)
            writer.half(header.headerChecksum)
        }
        var pieces = [head]
        if case .entries(let entries) = self.effect {
            pieces += entries.lazy.map(\.data).filter { !$0.isEmpty }
            let padding = Self.zeros(self.bodySize)
            if !padding.isEmpty { pieces.append(padding) }
        }
        return pieces
    }

    /// The checksum that belongs into a header.
    static func headerChecksum(_ header: UnsafeRawBufferPointer, logID: UInt64) -> UInt32 {
        var checksum = CRC32C()
        withUnsafeBytes(of: logID.littleEndian) { checksum.update($0) }
        checksum.update(UnsafeRawBufferPointer(rebasing: header[4..<Self.headerSize]))
        return checksum.value
    }

    private var type: RecordType {
        switch self.effect {
        case .entries: .entries
        case .checkpoint: .checkpoint
        case .cut: .cut
        case .mark: .mark
        }
    }

    private static func zeros(_ bodySize: Int) -> [UInt8] {
        [UInt8](repeating: 0, count: roundedUpToWord(bodySize) - bodySize)
    }

    private static func head(bodySize: Int, _ write: (inout WordWriter) -> Void) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.headerSize + bodySize) { memory, count in
            var writer = WordWriter(UnsafeMutableRawBufferPointer(memory))
            writer.zeros(Self.headerSize)
            write(&writer)
            count = writer.count
        }
    }
}

/// How far the checkpoints of one database are.
public struct CheckpointMarks: Hashable, Sendable {
    /// The highest index whose pages a checkpoint may have written into the file.
    public var intent: LogIndex
    /// The index up to which the file is complete and synced.
    public var done: LogIndex

    public init(intent: LogIndex = .zero, done: LogIndex = .zero) {
        self.intent = intent
        self.done = done
    }
}
