public import DqliteRaft

/// The log of a node: entries, term and vote, and how far the checkpoints of its databases are.
///
/// What is appended is written and synced on a thread of its own; what is asked for while a sync is under way is written and
/// synced together when it ends. Completions are called on that thread, in order. They must neither block it nor write to
/// the log, which may have to wait for the thread.
///
/// All methods may be called from any thread; but those that append, or truncate the tail, from one at a time, since each has
/// to know the last entry. After a failed write or sync the log only reads, and every other method throws
/// ``LogError/failed(_:)``.
public final class Log: Sendable {
    private struct State: Sendable {
        var machine: LogMachine
        var worker: LogWorker?
        var files: [UInt64: any LogFile]
        var isStopped = false
    }

    /// What is in the log at a moment.
    public struct Status: Hashable, Sendable {
        /// The first entry, or the next one to come.
        public var firstIndex: LogIndex
        /// The last entry, or the one before the first.
        public var lastIndex: LogIndex
        /// Its term.
        public var lastTerm: Term
        /// All entries up to here are synced.
        public var durableIndex: LogIndex
        /// How far the checkpoints are, by names of databases. It may be ahead of the disk.
        public var checkpoints: [String: CheckpointMarks]
        /// The configurations of the cluster that its entries hold, and the newest one before the first entry.
        public var configurations: [StoredConfiguration]
        /// Size of all segments in bytes.
        public var size: Int
    }

    private let state: Monitor<State>
    private let termFiles: Monitor<TermFiles>
    private let logID: UInt64

    /// How many bytes of a write that a crash interrupted were cut off when the log was opened.
    public let tornBytes: Int

    /// Opens the log of a directory, or begins one there.
    ///
    /// - Parameter archive: A directory of the same file system that gets the segments that are truncated.
    /// - Throws: ``LogError/damaged(file:offset:reason:)`` when what is there is not what was written. Nothing is changed then.
    public convenience init(
        directory: String, archive: String? = nil, configuration: LogConfiguration = LogConfiguration()
    ) throws(LogError) {
        let fileSystem: LogDirectory
        do throws(LogFileError) {
            fileSystem = try LogDirectory(directory, archive: archive)
        } catch {
            throw error.isNoSpace ? .noSpace(error) : .failed(error)
        }
        try self.init(fileSystem: fileSystem, configuration: configuration)
    }

    /// Opens the log of a file system, or begins one there.
    public init(
        fileSystem: any LogFileSystem, configuration: LogConfiguration = LogConfiguration()
    ) throws(LogError) {
        let found = try LogRecovery.open(
            fileSystem: fileSystem, configuration: configuration, newLogID: .random(in: 1...UInt64.max))
        let state = Monitor(State(machine: found.machine, worker: found.worker, files: found.files))
        self.state = state
        self.termFiles = Monitor(found.termFiles)
        self.logID = found.machine.logID
        self.tornBytes = found.tornBytes
        let code = startThread { Self.run(state) }
        guard code == 0 else { throw .failed(LogFileError(.create, file: "a thread", code: code)) }
    }

    /// A log that is not closed is left as a crash leaves it.
    deinit {
        self.state.withLock { state in
            _ = state.machine.stop(.closed)
            state.isStopped = true
        }
        self.state.wake()
    }

    private static func run(_ monitor: Monitor<State>) {
        while true {
            let next = monitor.wait { state -> (LogMachine.Action, LogWorker)?? in
                if state.isStopped { return .some(nil) }
                guard let worker = state.worker, let action = state.machine.nextAction() else { return nil }
                return (action, worker)
            }
            guard let (action, current) = next else { break }
            var worker = current
            let result = worker.result(of: action)
            let outcomes = monitor.withLock { state in
                switch action {
                case .begin(let segment, _): state.files[segment.number] = worker.file
                case .retire(let number): state.files[number] = nil
                case .prepareSpare, .write: break
                }
                state.worker = worker
                return state.machine.finished(result)
            }
            monitor.wake()
            for outcome in outcomes { outcome.completion(outcome.result) }
        }
        monitor.withLock { $0.worker = nil }
        monitor.wake()
    }

    /// Waits until all that was accepted is durable, marks the log as complete, and ends its thread.
    public func close() {
        try? self.submitAndWait(Record(.mark))
        let outcomes = self.state.withLock { state in
            state.isStopped = true
            return state.machine.stop(.closed)
        }
        self.state.wake()
        for outcome in outcomes { outcome.completion(outcome.result) }
        self.state.wait { $0.worker == nil ? () : nil }
        self.state.withLock { $0.files = [:] }
    }

    // MARK: Term and vote

    /// Term and vote as they are on disk.
    public var hardState: HardState { self.termFiles.withLock { $0.state } }

    /// Saves term and vote. They are durable when this returns. The term never falls, and within a term a vote stays.
    public func save(_ hardState: HardState) throws(LogError) {
        if let failure = self.state.withLock({ $0.machine.failure }) { throw failure }
        try self.termFiles.withLock { (files) throws(LogError) in
            precondition(hardState.term >= files.state.term, "the term of a node never falls")
            precondition(
                hardState.term > files.state.term || files.state.vote == nil || hardState.vote == files.state.vote,
                "a node votes once in a term")
            do throws(LogFileError) {
                try files.save(hardState)
            } catch {
                self.stop(.failed(error))
                throw .failed(error)
            }
        }
        self.state.withLock { $0.machine.currentTerm = hardState.term }
    }

    private func stop(_ error: LogError) {
        let outcomes = self.state.withLock { $0.machine.stop(error) }
        self.state.wake()
        for outcome in outcomes { outcome.completion(outcome.result) }
    }

    // MARK: Writing

    /// Appends entries, which follow the last one.
    ///
    /// When it returns they have their place on disk, can be read, and will be durable unless the disk fails. Room is prepared
    /// ahead; where that is not enough, the call waits until there is some.
    ///
    /// - Parameters:
    ///   - entries: At least one. Their terms do not fall, and are at most that of the saved ``hardState``.
    ///   - completion: Gets the index of the last one when all entries up to it are durable, unless they were truncated.
    ///     A failure leaves open what is on disk.
    /// - Throws: The entries were not accepted, and never will be on disk: ``LogError/noSpace(_:)``,
    ///   ``LogError/queueFull`` and others.
    public func append(
        _ entries: [Entry], completion: @escaping @Sendable (Result<LogIndex, LogError>) -> Void
    ) throws(LogError) {
        precondition(!entries.isEmpty, "a batch holds at least one entry")
        let record = Record(.entries(entries))
        try self.submit(completion) { Self.check(entries, follow: $0, record) }
    }

    /// Appends entries, and returns when they are durable. Otherwise as ``append(_:completion:)``.
    public func appendAndWait(_ entries: [Entry]) throws(LogError) {
        precondition(!entries.isEmpty, "a batch holds at least one entry")
        let record = Record(.entries(entries))
        try self.submitAndWait { Self.check(entries, follow: $0, record) }
    }

    private static func check(_ entries: [Entry], follow machine: borrowing LogMachine, _ record: Record) -> Record {
        var (index, term) = (machine.map.lastIndex, machine.map.lastTerm)
        for entry in entries {
            precondition(entry.index == index.next, "entries follow one another")
            precondition(
                entry.term >= term && entry.term <= machine.currentTerm, "a term is saved before its entries")
            (index, term) = (entry.index, entry.term)
        }
        return record
    }

    /// Whether there is room for a batch of entries of so many bytes: for each of them 16, and its data. If not, some is being
    /// made, and ``prepare(_:)`` waits for it.
    ///
    /// - Throws: There is none: ``LogError/noSpace(_:)`` and others.
    public func isPrepared(for size: Int) throws(LogError) -> Bool {
        let size = Self.recordSize(ofBatch: size)
        // As nearly always; then the log's thread need not be woken.
        if self.state.withLock({ $0.machine.failure == nil && $0.machine.hasRoom(for: size) }) { return true }
        return try self.state.update { (state) throws(LogError) -> Bool? in try state.machine.prepare(size) }
    }

    /// Waits until there is room for a batch of entries, counted as in ``isPrepared(for:)``.
    ///
    /// - Throws: There is none: ``LogError/noSpace(_:)`` and others.
    public func prepare(_ size: Int) throws(LogError) {
        try self.state.update { (state) throws(LogError) -> Void? in
            try state.machine.prepare(Self.recordSize(ofBatch: size)) ? () : nil
        }
    }

    /// Whether a batch of so many bytes, counted as in ``isPrepared(for:)``, is accepted without a wait.
    public func hasRoom(for size: Int) -> Bool {
        self.state.withLock { $0.machine.hasRoom(for: Self.recordSize(ofBatch: size)) }
    }

    private static func recordSize(ofBatch size: Int) -> Int { Record.headerSize + 24 + size }

    /// Drops all entries after one that is in the log, or is the one before the first. It becomes durable with what is
    /// appended next, and reads show it at once.
    public func truncateTail(after index: LogIndex) throws(LogError) {
        try self.submit(nil) { machine in
            guard let term = machine.map.term(of: index) else {
                preconditionFailure("the tail is truncated to an entry that is in the log")
            }
            return Record(.cut(lastIndex: index, lastTerm: term))
        }
    }

    /// Empties the log: its next entry follows the one named here, which a copy of the databases contains. (If the log holds
    /// that entry, it stays up to it.) It is durable when this returns.
    public func reset(to index: LogIndex, term: Term) throws(LogError) {
        try self.submitAndWait(Record(.cut(lastIndex: index, lastTerm: term)))
    }

    /// Says what the newest configuration of the cluster is that the entries before the first one held. It is durable when this
    /// returns.
    public func save(_ configuration: StoredConfiguration) throws(LogError) {
        try self.submitAndWait(Record(.configuration(configuration)))
    }

    /// Says that a checkpoint is about to write pages of entries up to `index` into the file of a database. It is durable when
    /// this returns.
    public func beginCheckpoint(of database: String, through index: LogIndex) throws(LogError) {
        try self.mark(database) { $0.intent = max($0.intent, index) }
    }

    /// Says that the file of a database contains everything up to `index`, and was synced. It is durable when this returns.
    public func endCheckpoint(of database: String, at index: LogIndex) throws(LogError) {
        try self.mark(database) { marks in
            marks.done = max(marks.done, index)
            marks.intent = max(marks.intent, marks.done)
        }
    }

    /// Forgets the marks of a database that exists no more.
    public func forgetCheckpoints(of database: String) throws(LogError) {
        try self.mark(database) { $0 = CheckpointMarks() }
    }

    private func mark(_ database: String, _ change: @escaping @Sendable (inout CheckpointMarks) -> Void)
        throws(LogError)
    {
        precondition(!database.utf8.contains(0), "the name of a file holds no NUL")
        try self.submitAndWait { machine in
            var marks = machine.checkpoints[database] ?? CheckpointMarks()
            change(&marks)
            return Record(.checkpoint(database: database, marks))
        }
    }

    private func submit(
        _ completion: LogMachine.Completion?, _ record: (borrowing LogMachine) -> Record
    ) throws(LogError) {
        try self.state.update { (state) throws(LogError) -> Void? in
            try state.machine.accept(record(state.machine), completion: completion) ? () : nil
        }
    }

    private func submitAndWait(_ record: (borrowing LogMachine) -> Record) throws(LogError) {
        let done = Monitor<Result<LogIndex, LogError>?>(nil)
        try self.submit(
            { result in
                done.withLock { $0 = result }
                done.wake()
            }, record)
        _ = try done.wait { $0 }.get()
    }

    private func submitAndWait(_ record: Record) throws(LogError) { try self.submitAndWait { _ in record } }

    /// Removes the segments that nobody needs. It happens soon; a crash may bring some of them back.
    public func truncateHead(_ needs: LogNeeds) -> LogTruncation {
        defer { self.state.wake() }
        return self.state.withLock { $0.machine.truncateHead(needs) }
    }

    // MARK: Reading

    /// What is in the log now.
    public var status: Status {
        self.state.withLock { state in
            Status(
                firstIndex: state.machine.map.previousIndex.next, lastIndex: state.machine.map.lastIndex,
                lastTerm: state.machine.map.lastTerm, durableIndex: state.machine.durableIndex,
                checkpoints: state.machine.checkpoints, configurations: state.machine.configurations.elements,
                size: state.machine.segments.reduce(0) { $0 + $1.size })
        }
    }

    /// The first entry, or the next one to come; see ``status``.
    public var firstIndex: LogIndex { self.state.withLock { $0.machine.map.previousIndex.next } }

    /// The last entry, or the one before the first; see ``status``.
    public var lastIndex: LogIndex { self.state.withLock { $0.machine.map.lastIndex } }

    /// All entries up to here are synced; see ``status``.
    public var durableIndex: LogIndex { self.state.withLock { $0.machine.durableIndex } }

    /// Why the log does nothing any more. nil: it works.
    public var failure: LogError? { self.state.withLock { $0.machine.failure } }

    /// The term of an entry, or of the one before the first. nil: it is not in the log.
    public func term(of index: LogIndex) -> Term? { self.state.withLock { $0.machine.map.term(of: index) } }

    /// Reads entries, durable or not: a piece of the range, from its beginning, of at least one entry.
    ///
    /// Entries that are not in memory are read from disk, on the caller's thread.
    ///
    /// - Parameter maximumSize: The piece ends before the entry whose data exceeds it, in bytes.
    /// - Throws: ``LogError/notInLog(_:)`` when there is no entry at the beginning of the range.
    public func entries(in range: ClosedRange<LogIndex>, maximumSize: Int = 1 << 20) throws(LogError) -> [Entry] {
        enum Source {
            case memory([Entry])
            case disk(any LogFile, SegmentPart)
        }
        let source = try self.state.withLock { (state) throws(LogError) -> Source in
            let machine = state.machine
            guard range.lowerBound > machine.map.previousIndex, range.lowerBound <= machine.map.lastIndex else {
                throw .notInLog(range.lowerBound)
            }
            if let first = machine.recent.first, first <= range.lowerBound {
                return .memory(machine.recent.entries(in: range, maximumSize: maximumSize))
            }
            let part = machine.part(for: range)
            guard let file = state.files[part.segment] else { throw .closed }
            return .disk(file, part)
        }
        switch source {
        case .memory(let entries): return entries
        case .disk(let file, let part): return try part.read(file, logID: self.logID, maximumSize: maximumSize)
        }
    }
}
