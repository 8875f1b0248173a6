/// What is done while a snapshot is received and installed, in this order. Each is told before it is done.
enum InstallationStep: Hashable, Sendable {
    /// A file is created.
    case beginFile(String)
    /// A piece of it is written.
    case writeFile(String)
    /// It is made durable.
    case endFile(String)
    /// The record is written and made durable.
    case writeRecord
    /// The names of the files, and that of the record, are made durable.
    case syncReceived
    /// From here on the snapshot counts.
    case commit
    /// That is made durable.
    case syncCommit

    /// The log is emptied.
    case resetLog
    /// The log is told the configuration.
    case saveConfiguration
    /// The log forgets how far a file was that is replaced.
    case forgetMarks(String)
    /// The log is told what the new file holds for certain.
    case markDone(String)
    /// The log is told what it holds in part.
    case markIntent(String)
    /// The old files are put aside.
    case moveOldFiles
    /// The new ones are put in their place.
    case moveNewFiles
    /// Both are made durable.
    case syncMoves
    /// The record and what surrounds it count no more.
    case retireRecord
    /// That is made durable.
    case syncRetirement
    /// The old files and the record are removed.
    case cleanUp
}

/// Told before each step; what it throws ends the work, as a crash would. For tests.
typealias InstallationStepHook = @Sendable (InstallationStep) throws(SnapshotError) -> Void
