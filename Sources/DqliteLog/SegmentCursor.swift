internal import DqliteProtocol
internal import DqliteRaft
internal import DqliteWire

/// Reads the records of a segment, or of a part of one, from memory, one after the other.
struct SegmentCursor {
    /// A record whose checksums match.
    struct Found {
        let header: RecordHeader
        let body: UnsafeRawBufferPointer
    }

    private let bytes: UnsafeRawBufferPointer
    private let logID: UInt64
    /// Where the next record begins.
    private(set) var offset: Int

    init(_ bytes: UnsafeRawBufferPointer, at offset: Int = 0, logID: UInt64) {
        self.bytes = bytes
        self.logID = logID
        self.offset = offset
    }

    /// The record at the offset, which moves behind it. nil, and the offset stays: there is no valid record.
    mutating func next() -> Found? {
        guard let header = self.header(at: self.offset) else { return nil }
        let start = self.offset + Record.headerSize
        let end = start + roundedUpToWord(Int(header.bodySize))
        guard end <= self.bytes.count,
            CRC32C.checksum(UnsafeRawBufferPointer(rebasing: self.bytes[start..<end])) == header.bodyChecksum
        else { return nil }
        self.offset = end
        return Found(
            header: header, body: UnsafeRawBufferPointer(rebasing: self.bytes[start..<start + Int(header.bodySize)]))
    }

    /// A header whose checksum matches.
    private func header(at offset: Int) -> RecordHeader? {
        guard self.bytes.count - offset >= Record.headerSize else { return nil }
        let bytes = UnsafeRawBufferPointer(rebasing: self.bytes[offset..<offset + Record.headerSize])
        // Most of what is looked at while searching is zero.
        guard bytes.loadUnaligned(as: UInt64.self) != 0 else { return nil }
        var reader = WordReader(bytes, message: RecordHeader.messageName)
        guard let header = try? RecordHeader(dqlite: &reader, revision: 0), header.type != .none,
            Record.headerChecksum(bytes, logID: self.logID) == header.headerChecksum
        else { return nil }
        return header
    }

    /// Looks behind the offset for a record that was written after record `sequence` was synced.
    ///
    /// What users store cannot deceive it: whatever is part of an entry was written before the number of the record that
    /// it would have to hold was given, and under a log id that nobody is told.
    func proof(thatSynced sequence: UInt64) -> Int? {
        var offset = self.offset
        while offset + Record.headerSize <= self.bytes.count {
            if let header = self.header(at: offset), header.sequence > sequence, header.synced >= sequence,
                header.synced < header.sequence
            {
                return offset
            }
            offset += 8
        }
        return nil
    }
}

extension SegmentCursor.Found {
    /// What the record means. For `withData: false` the data of entries is not copied, but that of configurations. nil: it
    /// means nothing that is known.
    func effect(withData: Bool) throws(WireError) -> Record.Effect? {
        var reader = WordReader(self.body, message: RecordHeader.messageName)
        switch self.header.type {
        case .entries:
            let entries = try self.entries(in: LogIndex.zero...LogIndex(.max)) { withData || $0 == .configuration }
            return .entries(entries)
        case .checkpoint:
            let record = try CheckpointRecord(dqlite: &reader, revision: 0)
            let marks = CheckpointMarks(intent: LogIndex(record.intent), done: LogIndex(record.done))
            return .checkpoint(database: record.name, marks)
        case .cut:
            let record = try CutRecord(dqlite: &reader, revision: 0)
            return .cut(lastIndex: LogIndex(record.lastIndex), lastTerm: Term(record.lastTerm))
        case .mark: return .mark
        case .configuration:
            let record = try ConfigurationRecord(dqlite: &reader, revision: 0)
            return .configuration(
                StoredConfiguration(index: LogIndex(record.index), data: record.configuration))
        default: return nil
        }
    }

    /// Those entries of the record that are in a range.
    func entries(
        in range: ClosedRange<LogIndex>, withData: (Entry.Kind) -> Bool = { _ in true }
    ) throws(WireError) -> [Entry] {
        var reader = WordReader(self.body, message: EntriesRecord.messageName)
        let record = try EntriesRecord(dqlite: &reader, revision: 0)
        guard record.entryCount > 0, record.entryCount <= UInt64(reader.remaining / 16),
            record.firstIndex > 0, record.firstIndex <= UInt64.max / 2
        else { throw reader.error(.impossibleLength) }
        var headers = WordReader(try reader.bytes(16 * Int(record.entryCount)), message: EntriesRecord.messageName)
        var entries: [Entry] = []
        var index = LogIndex(record.firstIndex)
        while !headers.isAtEnd {
            let term = Term(try headers.word())
            let word = try headers.word()
            let data = try reader.bytes(Int(word >> 32))
            if range.contains(index) {
                let kind = Entry.Kind(rawValue: UInt8(truncatingIfNeeded: word))
                entries.append(
                    Entry(index: index, term: term, kind: kind, data: withData(kind) ? [UInt8](data) : []))
            }
            index = index.next
        }
        guard reader.isAtEnd else { throw reader.error(.impossibleLength) }
        return entries
    }
}
