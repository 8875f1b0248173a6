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
        case configuration(StoredConfiguration)
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
        case .configuration(let stored):
            let body = ConfigurationRecord(index: stored.index.rawValue, configuration: stored.data)
            bodySize = Self.configurationSize(stored) - Self.headerSize
            self.head = Self.head(bodySize: bodySize) { body.encodeDqlite(into: &$0, revision: 0) }
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

    /// Bytes that the record of a configuration takes in a segment.
    static func configurationSize(_ stored: StoredConfiguration) -> Int {
        Self.headerSize + 16 + roundedUpToWord(stored.data.count)
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
        case .configuration: .configuration
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

/// A configuration of the cluster and the entry that holds it.
public struct StoredConfiguration: Hashable, Sendable {
    public var index: LogIndex
    /// The data of the entry.
    public var data: [UInt8]

    public init(index: LogIndex, data: [UInt8]) {
        self.index = index
        self.data = data
    }
}

/// The configurations that entries of the log hold, and the newest one before its first entry.
struct StoredConfigurations: Sendable {
    private(set) var elements: [StoredConfiguration] = []

    /// What a segment repeats of what was before it: the newest, and the one before, as the newest may be cut off yet. All others
    /// are committed, since a leader changes the configuration only when the change before is.
    var carried: ArraySlice<StoredConfiguration> { self.elements.suffix(2) }

    mutating func append(_ entries: [Entry]) {
        for entry in entries where entry.kind == .configuration {
            self.elements.append(StoredConfiguration(index: entry.index, data: entry.data))
        }
    }

    /// A record repeats one, or says what it was in entries that are not here: what is known of later ones is of no use any more,
    /// or is repeated as well.
    mutating func note(_ stored: StoredConfiguration) {
        self.elements.removeAll { $0.index >= stored.index }
        self.elements.append(stored)
    }

    /// The entries behind one do not count any more.
    mutating func cut(to index: LogIndex) { self.elements.removeAll { $0.index > index } }

    /// The log begins after an entry now.
    mutating func dropHead(before first: LogIndex) {
        let superseded = self.elements.prefix { $0.index < first }.count - 1
        if superseded > 0 { self.elements.removeFirst(superseded) }
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
