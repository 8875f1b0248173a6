package import DqliteRaft
internal import Synchronization

/// A log without a thread: whoever holds it says when its next action is done. For simulations, in which time is made up.
///
/// What it decides and what it does with files are those of ``Log``.
package struct SteppedLog: Sendable {
    /// What became of something that was offered.
    package struct Outcome: Sendable {
        package var ticket: UInt64
        package var result: Result<LogIndex, LogError>
    }

    private final class Outcomes: Sendable {
        let list = Mutex<[Outcome]>([])
    }

    private var machine: LogMachine
    private var worker: LogWorker
    private var termFiles: TermFiles
    private var files: [UInt64: any LogFile]
    private var action: LogMachine.Action?
    private let outcomes = Outcomes()

    /// Opens the log of a file system, or begins one there.
    package init(
        fileSystem: any LogFileSystem, configuration: LogConfiguration, newLogID: UInt64
    ) throws(LogError) {
        let found = try LogRecovery.open(fileSystem: fileSystem, configuration: configuration, newLogID: newLogID)
        self.machine = found.machine
        self.worker = found.worker
        self.termFiles = found.termFiles
        self.files = found.files
    }

    // MARK: Writing

    package var hardState: HardState { self.termFiles.state }

    /// Saves term and vote, which are durable when this returns.
    package mutating func save(_ hardState: HardState) throws(LogError) {
        if let failure = self.machine.failure { throw failure }
        do throws(LogFileError) {
            try self.termFiles.save(hardState)
        } catch {
            self.hand(self.machine.stop(.failed(error)))
            throw .failed(error)
        }
        self.machine.currentTerm = hardState.term
    }

    /// Offers entries, which follow the last one.
    ///
    /// - Returns: Whether they were accepted. If not, they are to be offered again after the next action.
    package mutating func append(_ entries: [Entry], ticket: UInt64) throws(LogError) -> Bool {
        try self.accept(Record(.entries(entries)), ticket)
    }

    /// Offers to drop all entries after one; all entries, if that is not in the log.
    package mutating func cut(to index: LogIndex, term: Term, ticket: UInt64) throws(LogError) -> Bool {
        try self.accept(Record(.cut(lastIndex: index, lastTerm: term)), ticket)
    }

    /// Offers to note how far the checkpoints of a database are.
    package mutating func mark(
        _ database: String, _ marks: CheckpointMarks, ticket: UInt64
    ) throws(LogError) -> Bool {
        try self.accept(Record(.checkpoint(database: database, marks)), ticket)
    }

    /// Offers to note what the newest configuration is that the entries before the first one held.
    package mutating func save(_ configuration: StoredConfiguration, ticket: UInt64) throws(LogError) -> Bool {
        try self.accept(Record(.configuration(configuration)), ticket)
    }

    private mutating func accept(_ record: Record, _ ticket: UInt64) throws(LogError) -> Bool {
        try self.machine.accept(record) { [outcomes] result in
            outcomes.list.withLock { $0.append(Outcome(ticket: ticket, result: result)) }
        }
    }

    /// Removes the segments that nobody needs.
    package mutating func truncateHead(_ needs: LogNeeds) -> LogTruncation { self.machine.truncateHead(needs) }

    // MARK: Actions

    /// Begins the next action, if there is one and none is under way.
    package mutating func beginAction() -> Bool {
        guard let action = self.machine.nextAction() else { return false }
        self.action = action
        return true
    }

    /// Performs the action that was begun.
    ///
    /// - Returns: What is durable now, or never will be.
    package mutating func finishAction() -> [Outcome] {
        guard let action = self.action else { preconditionFailure("no action was begun") }
        self.action = nil
        let result = self.worker.result(of: action)
        switch action {
        case .begin(let segment, _): self.files[segment.number] = self.worker.file
        case .retire(let number): self.files[number] = nil
        case .prepareSpare, .write: break
        }
        self.hand(self.machine.finished(result))
        return self.outcomes.list.withLock { list in
            defer { list = [] }
            return list
        }
    }

    private func hand(_ outcomes: [LogMachine.Outcome]) {
        for outcome in outcomes { outcome.completion(outcome.result) }
    }

    /// Why the log does nothing any more. nil: it works.
    package var failure: LogError? { self.machine.failure }

    // MARK: Reading

    /// The first entry, or the next one to come.
    package var firstIndex: LogIndex { self.machine.map.previousIndex.next }
    /// The last entry, or the one before the first.
    package var lastIndex: LogIndex { self.machine.map.lastIndex }
    /// All entries up to here are synced.
    package var durableIndex: LogIndex { self.machine.durableIndex }
    /// How far the checkpoints are, by names of databases.
    package var checkpoints: [String: CheckpointMarks] { self.machine.checkpoints }
    /// The configurations that its entries hold, and the newest one before the first entry.
    package var configurations: [StoredConfiguration] { self.machine.configurations.elements }

    /// The term of an entry, or of the one before the first. nil: it is not in the log.
    package func term(of index: LogIndex) -> Term? { self.machine.map.term(of: index) }

    /// Whether an entry would be read from disk.
    package func isOnDiskOnly(_ index: LogIndex) -> Bool { self.machine.recent.first.map { index < $0 } ?? true }

    /// Reads entries, durable or not: a piece of the range, from its beginning, of at least one entry.
    package func entries(in range: ClosedRange<LogIndex>, maximumSize: Int) throws(LogError) -> [Entry] {
        guard range.lowerBound > self.machine.map.previousIndex, range.lowerBound <= self.lastIndex else {
            throw .notInLog(range.lowerBound)
        }
        if !self.isOnDiskOnly(range.lowerBound) {
            return self.machine.recent.entries(in: range, maximumSize: maximumSize)
        }
        let part = self.machine.part(for: range)
        guard let file = self.files[part.segment] else { throw .closed }
        return try part.read(file, logID: self.machine.logID, maximumSize: maximumSize)
    }
}
