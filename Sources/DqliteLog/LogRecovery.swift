internal import DqliteProtocol
internal import DqliteRaft
internal import DqliteWire

/// Opens what a log left behind.
///
/// How a torn end is told from damage. A group of records is written at once, and only after the group before it was synced; so
/// a crash can have torn nothing but the last group, of which any sectors may be there or not, also later ones without earlier
/// ones. Whether the first record that does not match its checksums was part of the last group, the records behind it say:
/// each names the newest record that was synced when it was written. If one names the broken record, or a later one, then that
/// was whole once: it is damage, and the log refuses to open. If none does, nobody was told that the record is durable,
/// unless it was in the last group that was ever synced and nothing was written since, which no one can tell from a crash
/// a moment earlier. Therefore closing a log, and opening one that was not closed, writes a mark, which leaves nothing but
/// itself unproven.
///
/// In all segments but the last, and in what the header of the last one says was synced with it, nothing can be torn.
///
/// What is cut off is overwritten with zeros before anything new is written, or a whole record of the torn group could follow
/// what takes the place of a torn one. What is kept, but not proven, is written again and synced: it may be in the memory
/// of the operating system only, and a sync that failed before the crash may have left it there as if it were on disk.
struct LogRecovery {
    /// What was found.
    struct Found {
        var machine: LogMachine
        var worker: LogWorker
        var termFiles: TermFiles
        /// The segments' files.
        var files: [UInt64: any LogFile]
        /// How many bytes of a torn group were cut off.
        var tornBytes: Int
    }

    private let fileSystem: any LogFileSystem
    private let configuration: LogConfiguration
    private var map = EntryMap(previousIndex: .zero, previousTerm: .zero)
    private var checkpoints: [String: CheckpointMarks] = [:]
    private var configurations = StoredConfigurations()
    private var segments: [Segment] = []
    private var files: [UInt64: any LogFile] = [:]
    private var nextRecord: UInt64 = 1
    /// The newest record that is known to have been synced.
    private var provenRecord: UInt64 = 0
    /// Whether a mark would prove something.
    private var needsMark = true
    private var tornBytes = 0
    /// What is written over the end of the last segment.
    private var repair: (offset: Int, bytes: [UInt8])?

    private init(fileSystem: any LogFileSystem, configuration: LogConfiguration) {
        self.fileSystem = fileSystem
        self.configuration = configuration
    }

    /// Opens a log, or creates one. Nothing is changed before everything was found to be whole.
    ///
    /// - Parameter newLogID: The id of the log, if it is a new one.
    static func open(
        fileSystem: any LogFileSystem, configuration: LogConfiguration, newLogID: UInt64
    ) throws(LogError) -> Found {
        do {
            var recovery = Self(fileSystem: fileSystem, configuration: configuration)
            return try recovery.run(newLogID: newLogID)
        } catch let error as LogFileError {
            throw error.isNoSpace ? .noSpace(error) : .failed(error)
        } catch let error as LogError {
            throw error
        } catch {
            preconditionFailure("recovery throws an error that is not its own: \(error)")
        }
    }

    private mutating func run(newLogID: UInt64) throws -> Found {
        // What is seen may not have been made durable by who made it.
        try self.fileSystem.sync()
        let names = Set(try self.fileSystem.names())
        let logID = try self.readSegments(names) ?? newLogID
        var termFiles = try TermFiles(fileSystem: self.fileSystem, existing: names)
        if self.segments.isEmpty, !names.isDisjoint(with: TermFiles.names) {
            throw LogError.damaged(file: Segment.name(1), offset: 0, reason: "there are term files, but no segments")
        }
        guard termFiles.isFound || (names.isDisjoint(with: TermFiles.names) && self.map.lastTerm == .zero) else {
            throw LogError.damaged(
                file: TermFiles.names[0], offset: 0, reason: "neither it nor \(TermFiles.names[1]) is whole")
        }
        guard termFiles.state.term >= self.map.lastTerm else {
            throw LogError.damaged(
                file: TermFiles.names[0], offset: 0,
                reason: "its term is \(termFiles.state.term), but there are entries of term \(self.map.lastTerm)")
        }

        for name in [Segment.spareName, TermFiles.newName] where names.contains(name) {
            try self.fileSystem.remove(name)
        }
        let last = self.segments.last
        let file = last.flatMap { self.files[$0.number] }
        if let repair = self.repair { try file?.write(repair.bytes, at: repair.offset) }
        try file?.sync()

        // Of what lies before the first entry the newest counts, as when the head was truncated.
        self.configurations.dropHead(before: self.map.previousIndex.next)
        var worker = LogWorker(fileSystem: self.fileSystem, file: file, end: last?.end ?? 0)
        var machine = LogMachine(
            configuration: self.configuration, logID: logID, map: self.map, checkpoints: self.checkpoints,
            configurations: self.configurations, segments: self.segments, lastRecord: self.nextRecord - 1)
        if self.needsMark {
            do {
                while !(try machine.accept(Record(.mark))) { try self.perform(&machine, &worker) }
            } catch LogError.noSpace where !self.segments.isEmpty {
                // The log can be read, and entries be refused, without it.
            }
            while !machine.isIdle { try self.perform(&machine, &worker) }
        }
        try termFiles.start(fileSystem: self.fileSystem)
        machine.currentTerm = termFiles.state.term
        return Found(
            machine: machine, worker: worker, termFiles: termFiles, files: self.files, tornBytes: self.tornBytes)
    }

    private mutating func perform(_ machine: inout LogMachine, _ worker: inout LogWorker) throws {
        guard let action = machine.nextAction() else { preconditionFailure("the log waits for nothing") }
        let result = worker.result(of: action)
        _ = machine.finished(result)
        if case .begin(let segment, _) = action { self.files[segment.number] = worker.file }
        if let failure = machine.failure { throw failure }
    }

    // MARK: Reading

    /// - Returns: The id of the log. nil: there is none yet.
    private mutating func readSegments(_ names: Set<String>) throws -> UInt64? {
        let numbers = names.compactMap { Segment.number($0) }.sorted()
        var headers: [SegmentHeader] = []
        for number in numbers {
            let name = Segment.name(number)
            if let previous = headers.last?.sequence, previous + 1 != number {
                throw LogError.damaged(file: Segment.name(previous + 1), offset: 0, reason: "it is missing")
            }
            let file = try self.fileSystem.open(name)
            let bytes = try file.bytes(0..<min(Segment.headerSize, file.size))
            guard let header = bytes.withUnsafeBytes({ SegmentHeader(sealed: $0) }) else {
                throw LogError.damaged(file: name, offset: 0, reason: "its header does not match its checksum")
            }
            guard header.sequence == number, header.logID == headers.first?.logID ?? header.logID else {
                throw LogError.damaged(file: name, offset: 0, reason: "it belongs elsewhere")
            }
            headers.append(header)
            self.files[number] = file
        }
        for (header, next) in zip(headers, headers.dropFirst().map { $0 } + [nil]) {
            try self.read(header, next: next)
        }
        return headers.first?.logID
    }

    private mutating func read(_ header: SegmentHeader, next: SegmentHeader?) throws {
        let name = Segment.name(header.sequence)
        if self.segments.isEmpty {
            self.nextRecord = header.firstRecord
            self.map = EntryMap(
                previousIndex: LogIndex(header.previousIndex), previousTerm: Term(header.previousTerm))
        }
        guard header.firstRecord == self.nextRecord, header.previousIndex == self.map.lastIndex.rawValue,
            header.previousTerm == self.map.lastTerm.rawValue
        else { throw LogError.damaged(file: name, offset: 0, reason: "it does not continue the segment before it") }
        self.provenRecord = max(self.provenRecord, header.firstRecord + header.carriedRecords - 1)

        let file = self.files[header.sequence]!
        var bytes = try file.bytes(0..<file.size)
        let (end, offsets) = try bytes.withUnsafeBytes { memory in
            var cursor = SegmentCursor(memory, at: Segment.headerSize, logID: header.logID)
            var offsets: [Int] = []
            while self.nextRecord != next?.firstRecord {
                let offset = cursor.offset
                var ahead = cursor
                guard let found = ahead.next(), found.header.sequence == self.nextRecord else {
                    try self.judgeEnd(cursor, name: name, isLast: next == nil)
                    break
                }
                cursor = ahead
                guard try self.apply(found, segment: header.sequence, offset: offset) else {
                    throw LogError.damaged(file: name, offset: offset, reason: "the record does not fit here")
                }
                self.provenRecord = max(self.provenRecord, found.header.synced)
                self.needsMark = self.provenRecord + (found.header.type == .mark ? 1 : 0) < self.nextRecord
                self.nextRecord += 1
                offsets.append(offset)
            }
            return (cursor.offset, offsets)
        }
        self.segments.append(Segment(number: header.sequence, size: file.size, end: end))
        guard next == nil else { return }

        // The header says that a segment of 64 bytes or more is there, and zeros are what was never written.
        let used = (bytes.lastIndex { $0 != 0 } ?? 0) + 1
        self.tornBytes = max(0, used - end)
        let unproven = self.provenRecord + 1 - header.firstRecord
        let repairedFrom = unproven < UInt64(offsets.count) ? offsets[Int(unproven)] : end
        if repairedFrom < max(used, end) {
            for offset in min(end, used)..<used { bytes[offset] = 0 }
            self.repair = (repairedFrom, Array(bytes[repairedFrom..<max(used, end)]))
        }
    }

    /// Where a segment holds no further record: returns if that is its end, and what follows may be cut.
    private func judgeEnd(_ cursor: SegmentCursor, name: String, isLast: Bool) throws(LogError) {
        let reason: String
        if !isLast {
            reason = "record \(self.nextRecord) does not match its checksums, and the next segment begins later"
        } else if self.nextRecord <= self.provenRecord {
            reason =
                "record \(self.nextRecord) does not match its checksums, and record \(self.provenRecord) was synced"
        } else if let proof = cursor.proof(thatSynced: self.nextRecord) {
            reason = "record \(self.nextRecord) does not match its checksums, and that at byte \(proof) came after it"
        } else {
            return
        }
        throw .damaged(file: name, offset: cursor.offset, reason: reason)
    }

    /// - Returns: Whether the record can follow what was read so far.
    private mutating func apply(_ found: SegmentCursor.Found, segment: UInt64, offset: Int) throws(WireError) -> Bool {
        guard let effect = try? found.effect(withData: false) else { return false }
        switch effect {
        case .entries(let entries):
            guard entries[0].index == self.map.lastIndex.next else { return false }
            var term = self.map.lastTerm
            for entry in entries {
                guard entry.term >= term else { return false }
                term = entry.term
            }
            self.map.append(entries, segment: segment, offset: offset)
            self.configurations.append(entries)
        case .checkpoint(let database, let marks):
            self.checkpoints[database] = marks == CheckpointMarks() ? nil : marks
        case .cut(let index, let term):
            // What lies before the beginning of the log may have been there when the cut was made.
            if self.map.term(of: index) == term || index < self.map.previousIndex {
                self.configurations.cut(to: index)
            } else {
                self.configurations = StoredConfigurations()
            }
            self.map.cut(to: index, term: term)
        case .mark: break
        case .configuration(let stored): self.configurations.note(stored)
        }
        return true
    }
}
