internal import DqliteProtocol
internal import DqliteRaft
internal import DqliteWire

/// What a log decides: which records are accepted, where they go, what is written next, and what that makes durable.
///
/// It is told what happens and says what to do; it touches no file. At most one action is under way at a time. A record gets its
/// place when it is accepted, so that the space for it is there before anybody relies on it.
struct LogMachine: Sendable {
    typealias Completion = @Sendable (Result<LogIndex, LogError>) -> Void

    /// What is to be done with files, one at a time.
    enum Action: Sendable {
        /// Create the spare file, of this size.
        case prepareSpare(size: Int)
        /// Make the spare file a segment: write this into it, sync it, and give it its name.
        case begin(Segment, content: [UInt8])
        /// Write records, and sync them once.
        case write(Group)
        /// Remove a segment.
        case retire(UInt64)
    }

    /// Records that are written at once.
    struct Group: Sendable {
        let segment: UInt64
        let offset: Int
        let end: Int
        let pieces: [[UInt8]]
    }

    /// What a caller is told, when nothing is locked any more.
    struct Outcome: Sendable {
        let completion: Completion
        let result: Result<LogIndex, LogError>
    }

    private struct Pending: Sendable {
        let record: Record
        let offset: Int
        let sequence: UInt64
        /// The last entry of the log after it.
        let lastIndex: LogIndex
        let completion: Completion?
    }

    private enum Item: Sendable {
        case record(Pending)
        case begin(Segment, content: [UInt8], lastRecord: UInt64)
    }

    /// The file that becomes the next segment.
    private enum Spare {
        case none
        /// Somebody waits for it, unless it is prepared ahead.
        case wanted(size: Int, ahead: Bool)
        case preparing(size: Int, ahead: Bool)
        case ready(size: Int)
        /// It is the next segment, which is not begun yet.
        case taken
        case refused(LogFileError)
    }

    let configuration: LogConfiguration
    let logID: UInt64

    // The log with all that was accepted.
    private(set) var map: EntryMap
    private(set) var recent: RecentEntries
    private(set) var checkpoints: [String: CheckpointMarks]
    private(set) var configurations: StoredConfigurations
    private(set) var segments: [Segment]
    private var nextRecord: UInt64
    var currentTerm = Term.zero

    // What of it is on disk.
    private(set) var durableIndex: LogIndex
    private var durableRecord: UInt64
    private var newestSegmentOnDisk: UInt64

    // What is to be done.
    private var queue: [Item] = []
    private var queuedSize = 0
    private var retiring: [UInt64] = []
    private var spare = Spare.none
    private var aheadWasRefused = false
    private var underWay: Action?
    private var underWayItems: [Item] = []
    private(set) var failure: LogError?

    /// A log that holds what recovery found. Everything in it is on disk.
    init(
        configuration: LogConfiguration, logID: UInt64, map: EntryMap, checkpoints: [String: CheckpointMarks],
        configurations: StoredConfigurations = StoredConfigurations(), segments: [Segment], lastRecord: UInt64
    ) {
        self.configuration = configuration
        self.logID = logID
        self.map = map
        self.recent = RecentEntries(limit: configuration.recentEntriesSize)
        self.checkpoints = checkpoints
        self.configurations = configurations
        self.segments = segments
        self.nextRecord = lastRecord + 1
        self.durableRecord = lastRecord
        self.durableIndex = map.lastIndex
        self.newestSegmentOnDisk = segments.last?.number ?? 0
    }

    /// Whether there is nothing to do and nothing under way.
    var isIdle: Bool { self.underWay == nil && self.queue.isEmpty && self.retiring.isEmpty }

    // MARK: Accepting

    /// Accepts a record, which then has its place and becomes durable after all that were accepted before.
    ///
    /// - Returns: Whether it was accepted. If not, it is to be offered again after the next action.
    mutating func accept(_ record: Record, completion: Completion? = nil) throws(LogError) -> Bool {
        if let failure = self.failure { throw failure }
        var reserve = 0
        if case .entries(let entries) = record.effect {
            // What a leader needs to become one, and to change who is in the cluster, is short, and may help to make room.
            if entries.contains(where: { $0.kind == .command }) { reserve = self.configuration.reserve }
            guard record.size <= self.configuration.maximumBatchSize else {
                throw .batchTooLarge(size: record.size, limit: self.configuration.maximumBatchSize)
            }
            guard self.queuedSize == 0 || self.queuedSize + record.size <= self.configuration.maximumQueuedSize else {
                throw .queueFull
            }
        }
        if let last = self.segments.last, last.end + record.size + reserve <= last.size {
            // There is room where the log ends.
        } else if !(try self.beginSegment(for: record.size + reserve)) {
            return false
        }

        let last = self.segments.count - 1
        let offset = self.segments[last].end
        switch record.effect {
        case .entries(let entries):
            self.map.append(entries, segment: self.segments[last].number, offset: offset)
            self.recent.append(entries)
            self.configurations.append(entries)
        case .checkpoint(let database, let marks):
            self.checkpoints[database] = marks == CheckpointMarks() ? nil : marks
        case .cut(let index, let term):
            if self.map.term(of: index) == term {
                self.recent.cut(to: index)
                self.configurations.cut(to: index)
            } else {
                self.configurations = StoredConfigurations()
                self.recent = RecentEntries(limit: self.configuration.recentEntriesSize)
            }
            self.map.cut(to: index, term: term)
            self.durableIndex = min(self.durableIndex, index)
        case .mark: break
        case .configuration(let stored): self.configurations.note(stored)
        }
        self.queue.append(
            .record(
                Pending(
                    record: record, offset: offset, sequence: self.nextRecord, lastIndex: self.map.lastIndex,
                    completion: completion)))
        self.nextRecord += 1
        self.queuedSize += record.size
        self.segments[last].end += record.size
        return true
    }

    /// Sees to it that a batch of entries of so many bytes would be accepted, unless others take the room.
    ///
    /// - Returns: Whether it would. If not, it is to be asked again after the next action.
    mutating func prepare(_ size: Int) throws(LogError) -> Bool {
        if let failure = self.failure { throw failure }
        if self.hasRoom(for: size) { return true }
        return try self.prepareSpare(for: size + self.configuration.reserve) != nil
    }

    /// Whether so many bytes of records fit where the log ends, so that nobody waits for a file.
    func hasRoom(for size: Int) -> Bool {
        guard let last = self.segments.last else { return false }
        return last.end + size + self.configuration.reserve <= last.size
    }

    /// What every segment begins with.
    private var carried: [Record] {
        self.checkpoints.keys.sorted().map { Record(.checkpoint(database: $0, self.checkpoints[$0]!)) }
            + self.configurations.carried.map { Record(.configuration($0)) }
    }

    /// Has the spare file made large enough for a segment with room for `size` bytes.
    ///
    /// - Returns: Its size; nil: it is not ready yet.
    private mutating func prepareSpare(for size: Int) throws(LogError) -> Int? {
        let start =
            self.checkpoints.keys.reduce(Segment.headerSize) { $0 + Record.checkpointSize($1) }
            + self.configurations.carried.reduce(0) { $0 + Record.configurationSize($1) }
        let needed = start + size
        let wanted = Spare.wanted(
            size: needed <= self.configuration.segmentSize ? self.configuration.segmentSize : (needed + 4095) & ~4095,
            ahead: false)
        switch self.spare {
        case .ready(let available) where available >= needed: return available
        case .refused(let error):
            self.spare = .none
            throw error.isNoSpace ? .noSpace(error) : .notPrepared(error)
        case .none, .ready: self.spare = wanted
        case .wanted(let size, let ahead) where ahead || size < needed: self.spare = wanted
        case .wanted, .preparing, .taken: break
        }
        return nil
    }

    /// Ends the last segment, and begins a new one with room for `size` bytes, if the spare file allows.
    private mutating func beginSegment(for size: Int) throws(LogError) -> Bool {
        guard let available = try self.prepareSpare(for: size) else { return false }
        let carried = self.carried
        let number = (self.segments.last?.number ?? 0) + 1
        let header = SegmentHeader(
            sequence: number, firstRecord: self.nextRecord, previousIndex: self.map.lastIndex.rawValue,
            previousTerm: self.map.lastTerm.rawValue, logID: self.logID, carriedRecords: UInt64(carried.count))
        var content = header.sealedBytes()
        for record in carried {
            content += record.pieces(sequence: self.nextRecord, synced: self.durableRecord, logID: self.logID)[0]
            self.nextRecord += 1
        }
        let segment = Segment(number: number, size: available, end: content.count)
        self.segments.append(segment)
        self.queue.append(.begin(segment, content: content, lastRecord: self.nextRecord - 1))
        self.spare = .taken
        return true
    }

    // MARK: Doing

    /// What is to be done next. nil: nothing, or something is under way. It is answered with ``finished(_:)``.
    mutating func nextAction() -> Action? {
        guard self.underWay == nil, self.failure == nil else { return nil }
        self.underWay = self.chooseAction()
        return self.underWay
    }

    private mutating func chooseAction() -> Action? {
        if case .wanted(let size, let ahead) = self.spare {
            self.spare = .preparing(size: size, ahead: ahead)
            return .prepareSpare(size: size)
        }
        if let number = self.retiring.first { return .retire(number) }
        if case .none = self.spare, !self.aheadWasRefused, let last = self.segments.last, last.end > last.size / 2 {
            self.spare = .preparing(size: self.configuration.segmentSize, ahead: true)
            return .prepareSpare(size: self.configuration.segmentSize)
        }
        guard let item = self.queue.first else { return nil }
        if case .begin(let segment, let content, _) = item {
            self.underWayItems = [self.queue.removeFirst()]
            return .begin(segment, content: content)
        }
        var pieces: [[UInt8]] = []
        var range = 0..<0
        for case .record(let pending) in self.queue.prefix(while: { if case .record = $0 { true } else { false } }) {
            if pieces.isEmpty { range = pending.offset..<pending.offset }
            range = range.lowerBound..<pending.offset + pending.record.size
            pieces += pending.record.pieces(
                sequence: pending.sequence, synced: self.durableRecord, logID: self.logID)
            self.underWayItems.append(.record(pending))
        }
        self.queue.removeFirst(self.underWayItems.count)
        return .write(
            Group(
                segment: self.newestSegmentOnDisk, offset: range.lowerBound, end: range.upperBound, pieces: pieces))
    }

    /// The action under way is done, or failed.
    mutating func finished(_ result: Result<Void, LogFileError>) -> [Outcome] {
        guard let action = self.underWay else { preconditionFailure("no action is under way") }
        self.underWay = nil
        let items = self.underWayItems
        self.underWayItems = []
        switch (action, result) {
        case (.prepareSpare(let size), .success):
            self.spare = .ready(size: size)
        case (.prepareSpare, .failure(let error)) where error.operation != .sync:
            if case .preparing(_, ahead: false) = self.spare {
                self.spare = .refused(error)
            } else {
                self.spare = .none
                self.aheadWasRefused = true
            }
        case (.retire(let number), .success):
            self.retiring.removeAll { $0 == number }
            self.aheadWasRefused = false
        case (.begin(let segment, _), .success):
            self.newestSegmentOnDisk = segment.number
            self.spare = .none
            self.aheadWasRefused = false
            if case .begin(_, _, let lastRecord)? = items.first { self.durableRecord = lastRecord }
        case (.write, .success):
            return self.wrote(items)
        case (_, .failure(let error)):
            self.queue = items + self.queue
            return self.stop(.failed(error))
        }
        return []
    }

    private mutating func wrote(_ items: [Item]) -> [Outcome] {
        var outcomes: [Outcome] = []
        for case .record(let pending) in items {
            self.durableRecord = pending.sequence
            self.durableIndex = pending.lastIndex
            self.queuedSize -= pending.record.size
            guard let completion = pending.completion else { continue }
            let index =
                if case .entries(let entries) = pending.record.effect { entries.last!.index } else { pending.lastIndex }
            outcomes.append(Outcome(completion: completion, result: .success(index)))
        }
        // Entries that were cut in the meantime are on disk, but those that took their place are not.
        for case .record(let pending) in self.queue {
            if case .cut(let index, _) = pending.record.effect { self.durableIndex = min(self.durableIndex, index) }
        }
        self.recent.trim(durable: self.durableIndex)
        return outcomes
    }

    /// Does nothing any more. All who wait are told why.
    mutating func stop(_ error: LogError) -> [Outcome] {
        if self.failure == nil { self.failure = error }
        let queue = self.queue
        self.queue = []
        return queue.compactMap { item in
            guard case .record(let pending) = item, let completion = pending.completion else { return nil }
            return Outcome(completion: completion, result: .failure(error))
        }
    }

    // MARK: Truncating the head

    /// Removes the segments that nobody needs.
    mutating func truncateHead(_ needs: LogNeeds) -> LogTruncation {
        var needs = needs
        var dropped: [LogNeeds.Holder] = []
        while true {
            let slowest = needs.holders.min { ($0.value, $0.key) < ($1.value, $1.key) }
            let keptAfter = min(needs.checkpoints, slowest?.value ?? needs.checkpoints, self.durableIndex)
            let first = self.firstSegment(keptAfter: keptAfter)
            let size = self.segments.reduce(0) { $0 + ($1.number >= first ? $1.size : 0) }
            // The entries that no checkpoint has put into a file yet are the only copy of what was acknowledged.
            if size > self.configuration.maximumLogSize, let slowest, slowest.value < needs.checkpoints {
                needs.holders[slowest.key] = nil
                dropped.append(slowest.key)
                continue
            }
            self.retiring += self.segments.lazy.map(\.number).filter { $0 < first }
            self.segments.removeAll { $0.number < first }
            self.map.dropHead(before: first)
            self.configurations.dropHead(before: self.map.previousIndex.next)
            return LogTruncation(firstIndex: self.map.previousIndex.next, size: size, dropped: dropped)
        }
    }

    /// The first segment that is needed when all entries after this one are.
    private func firstSegment(keptAfter index: LogIndex) -> UInt64 {
        let last = max(index, self.map.previousIndex)
        let needed =
            last < self.map.lastIndex ? self.map.location(of: last.next).0.segment : self.newestSegmentOnDisk
        // The log is never without a segment.
        return min(needed, self.newestSegmentOnDisk)
    }
}
