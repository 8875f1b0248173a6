import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire

/// A snapshot that was received, and counts: the databases of this node are to be replaced by those of the leader.
///
/// Its directory is `installing`; until then it was `incoming`, and what is there at a start is removed. A crash at any
/// moment leaves either of both, or neither: the node has its old state or will have the new one, complete.
struct SnapshotInstallation: Sendable {
    /// A database of the snapshot.
    struct Database: Hashable, Sendable {
        var name: String
        /// The newest entry of which the file may hold pages.
        var intent: LogIndex
    }

    /// What became of it.
    enum Outcome: Hashable, Sendable {
        /// Log and files are those of the snapshot.
        case installed
        /// The node's own log has that entry, or begins later: nothing was changed.
        case outdated
    }

    static let files = "/databases"
    static let record = "/record"
    private static let maximumRecordSize = 64 << 20

    /// The last entry that all files contain, and the configuration.
    let metadata: SnapshotMetadata
    /// Nobody may read the databases before all entries up to here are applied.
    let newestIntent: LogIndex
    let databases: [Database]
    private let directory: DataDirectory
    private let step: InstallationStepHook

    init(
        directory: DataDirectory, metadata: SnapshotMetadata, newestIntent: LogIndex, databases: [Database],
        step: @escaping InstallationStepHook = { _ in }
    ) {
        self.directory = directory
        self.metadata = metadata
        self.newestIntent = newestIntent
        self.databases = databases
        self.step = step
    }

    // MARK: At the start of a node

    /// The snapshot whose installation a crash has interrupted. nil: there is none. What was received in part, what was
    /// to be sent, and old files, are removed.
    static func find(
        in directory: DataDirectory, step: @escaping InstallationStepHook = { _ in }
    ) throws(SnapshotError) -> SnapshotInstallation? {
        try SnapshotFiles.removeTree(directory.incoming)
        try SnapshotFiles.removeTree(directory.outgoing)
        guard try SnapshotFiles.exists(directory.installing) else {
            try SnapshotFiles.removeTree(directory.replaced)
            return nil
        }
        let path = directory.installing + Self.record
        guard let bytes = try SnapshotFiles.read(path, maximumSize: Self.maximumRecordSize) else {
            throw SnapshotError(.damaged, "\(path) is missing")
        }
        do {
            let record = try InstallationRecord(sealed: bytes)
            return SnapshotInstallation(
                directory: directory, metadata: try record.metadata(), newestIntent: LogIndex(record.newestIntent),
                databases: record.databases.map { Database(name: $0.name, intent: LogIndex($0.intent)) }, step: step)
        } catch {
            throw SnapshotError(.damaged, "\(path) is damaged: \(error)")
        }
    }

    // MARK: Installation

    /// Makes log and files those of the snapshot. The engine is closed, and nobody else writes to the log. Waits for the disk.
    ///
    /// Whatever a failure, or a crash, has left undone is done when it is called again, which it must be before the engine is
    /// opened: a node whose log fails or is full meanwhile has to stop.
    func install(into log: Log) throws(SnapshotError) -> Outcome {
        guard !self.isOutdated(by: log) else {
            try self.retire()
            return .outdated
        }
        try self.changeLog(log)
        try self.swapFiles()
        try self.retire()
        return .installed
    }

    /// Whether the log has come further than where the snapshot begins: then the node's own files need no others, and what it has
    /// acknowledged is not to be lost. After an interrupted installation the log is empty.
    private func isOutdated(by log: Log) -> Bool {
        let status = log.status
        let previous = status.firstIndex.previous
        if previous > self.metadata.index { return true }
        guard log.term(of: self.metadata.index) == self.metadata.term else { return false }
        return previous < self.metadata.index || status.lastIndex > self.metadata.index
    }

    private func changeLog(_ log: Log) throws(SnapshotError) {
        let (index, term) = (self.metadata.index, self.metadata.term)
        if log.term(of: index) != term {
            try self.change(.resetLog) { () throws(LogError) in
                if log.hardState.term < term { try log.save(HardState(term: term, vote: nil)) }
                try log.reset(to: index, term: term)
            }
        }
        try self.change(.saveConfiguration) { () throws(LogError) in
            try log.save(
                StoredConfiguration(
                    index: self.metadata.configurationIndex, data: self.metadata.configuration.encoded()))
        }
        var intents: [String: LogIndex] = [:]
        for database in self.databases { intents[database.name] = max(database.intent, index) }
        for (name, marks) in log.status.checkpoints.sorted(by: { $0.key < $1.key }) {
            // Marks only grow; those of an interrupted installation are right, or will be.
            if let intent = intents[name], marks.done <= index, marks.intent <= intent { continue }
            try self.change(.forgetMarks(name)) { () throws(LogError) in try log.forgetCheckpoints(of: name) }
        }
        for database in self.databases {
            try self.change(.markDone(database.name)) { () throws(LogError) in
                try log.endCheckpoint(of: database.name, at: index)
            }
            guard let intent = intents[database.name], intent > index else { continue }
            try self.change(.markIntent(database.name)) { () throws(LogError) in
                try log.beginCheckpoint(of: database.name, through: intent)
            }
        }
    }

    private func change(_ step: InstallationStep, _ body: () throws(LogError) -> Void) throws(SnapshotError) {
        try self.step(step)
        do throws(LogError) {
            try body()
        } catch {
            throw SnapshotError(.log, "the snapshot cannot be installed: \(error)")
        }
    }

    private func swapFiles() throws(SnapshotError) {
        let (directory, received) = (self.directory, self.directory.installing + Self.files)
        // When the new files are not here any more they are in their place.
        if try SnapshotFiles.exists(received) {
            if try SnapshotFiles.exists(directory.databases) {
                try self.step(.moveOldFiles)
                try SnapshotFiles.removeTree(directory.replaced)
                try SnapshotFiles.rename(directory.databases, to: directory.replaced)
            }
            try self.step(.moveNewFiles)
            try SnapshotFiles.rename(received, to: directory.databases)
        }
        try self.step(.syncMoves)
        try SnapshotFiles.syncDirectory(directory.installing)
        try SnapshotFiles.syncDirectory(directory.path)
    }

    /// The record counts no more. Who removes the files may be interrupted, and goes on at the next start.
    private func retire() throws(SnapshotError) {
        try self.step(.retireRecord)
        try SnapshotFiles.rename(self.directory.installing, to: self.directory.incoming)
        try self.step(.syncRetirement)
        try SnapshotFiles.syncDirectory(self.directory.path)
        try self.step(.cleanUp)
        // What is left is removed at the next start.
        try? SnapshotFiles.removeTree(self.directory.replaced)
        try? SnapshotFiles.removeTree(self.directory.incoming)
    }
}

extension DataDirectory {
    /// What is being received.
    var incoming: String { self.path + "/incoming" }
    /// What was received, and is to replace what the node has.
    var installing: String { self.path + "/installing" }
    /// Copies that are made to be sent.
    var outgoing: String { self.path + "/outgoing" }
    /// What was replaced.
    var replaced: String { self.path + "/replaced" }
}
