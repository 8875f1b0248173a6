package import CReplicaPager
package import DqliteRaft

/// Limits and places of an ``Engine``.
public struct EngineConfiguration: Sendable {
    /// Directory of the databases: one file per database. It is created if it is missing; its parent is not.
    public var directory: String
    /// Whether short reads run on the thread that calls ``EngineSession/run(_:revision:request:timeout:requiresTransaction:sink:)``:
    /// at most some hundred microseconds, without waiting for the disk.
    public var runsShortReadsOnCaller = false
    /// Whether a version of SQLite that the project was not tested with is taken. The self-test at start is made anyway.
    public var allowsUntestedSQLite = false
    /// Batches of a database that are replicated at a time. More than one pays when that takes milliseconds.
    public var batchesInFlight = 1
    /// Bytes of pages that one transaction may change; beyond it the transaction fails with SQLITE_FULL (13). Writers wait
    /// when as much is waiting to be replicated.
    public var maximumTransactionSize = 64 << 20
    /// Pages of 4 KiB that have been committed and are not in the database file yet, above which they are copied there.
    public var checkpointPages = 4096
    /// Time after which committed pages are copied into the file however few they are, so that a database that is idle
    /// does not keep the log from being truncated.
    public var checkpointIdleLimit: Duration = .seconds(30)
    /// Bytes of pages of a database in memory, above which those that the file has are dropped, though snapshots need them.
    public var softMemoryLimit = 48 << 20
    /// Bytes of pages of a database in memory, above which the oldest snapshot is given up: what reads it fails with
    /// SQLITE_ABORT_ROLLBACK (516). Writers wait while pages are being copied into the file.
    public var hardMemoryLimit = 256 << 20
    /// Connections for writing that are kept for sessions which are not using them.
    public var maximumIdleWriters = 256
    /// Connections for reading of a database that are kept when no session is using them: sessions share them. Those that
    /// were not used for half a minute or more are closed, however few they are.
    public var maximumIdleReaders = 32
    /// Bytes of rows of a statement that writes, and is a transaction of its own: they are kept until it is committed.
    public var maximumHeldResult = 16 << 20
    /// How long a writer waits for those before it, before it fails with SQLITE_BUSY (5).
    public var writeTimeout: Duration = .seconds(5)
    /// Threads that run SQL. They are started when needed and end when idle.
    public var maximumThreads: Int = 64
    /// Requests that may wait for a thread; further ones fail with SQLITE_BUSY (5).
    public var maximumWaitingRequests: Int = 65_536
    /// Time after which an idle thread ends.
    public var threadIdleLimit: Duration = .seconds(10)
    /// Databases that may exist, and names that may be open at once.
    public var maximumDatabases: Int = 1024
    /// Statements that a session may have prepared at once.
    public var maximumStatementsPerSession: Int = 4096
    /// Bytes that the SQL of a session's prepared statements may have together.
    public var maximumStatementBytesPerSession: Int = 16 << 20
    /// Bytes that the SQL of a request may have.
    public var maximumSQLSize: Int = 16 << 20
    /// Bytes that a value, or a row, may have; larger ones fail with SQLITE_TOOBIG (18).
    ///
    /// It also bounds what a single function can do to memory and time: SQLite looks for interrupts and timeouts
    /// between the steps of its machine, and a function is one step. Of its functions `instr`, `replace` and `trim`
    /// take time in proportion to the product of the sizes of their arguments; with two large ones they run for long
    /// all the same, and occupy their thread meanwhile.
    public var maximumValueSize: Int = 64 << 20
    /// Statements that a session's connection for writing keeps compiled for SQL text that comes again. A connection for
    /// reading, which sessions share, keeps four times as many, and as many again that are prepared; what is prepared beyond
    /// that, or has more than 256 KiB, is compiled again when it reads.
    public var statementCacheCapacity: Int = 64
    /// How long a transaction may be open. Then it is rolled back, and the session's next request fails with
    /// SQLITE_ABORT_ROLLBACK (516). What runs as a transaction of its own is bounded by the request's timeout only.
    public var maximumTransactionDuration: Duration = .seconds(600)
    /// How long a transaction may wait for the session's next request, or a result that holds the database for writing
    /// for its reader. Then it is rolled back.
    public var transactionIdleLimit: Duration = .seconds(60)
    /// How long a result that only reads may wait for its reader to take more.
    public var maximumResultPause: Duration = .seconds(600)
    /// Bytes after which a part of a result ends. A row that is larger makes a part of its own.
    public var partSize: Int = 65_536
    /// The largest PRAGMA cache_size that a session may set, in bytes.
    public var maximumCacheSize: Int = 64 << 20
    /// The largest database that a dump may have, in bytes: it is built in memory.
    public var maximumDumpSize: Int = 512 << 20
    /// How long ``Engine/close()`` waits for what is running to end.
    public var closeTimeout: Duration = .seconds(10)

    /// In place of the system's calls that change files: for tests.
    package var fileCalls: FileCalls?
    /// For tests too.
    package var defects: EngineDefects = []
    /// For simulations: what time it is. The engine has no threads then, see ``Engine/takeJob(_:)``, and does not test itself.
    package var time: (@Sendable () -> MonotonicInstant)?

    /// The defaults, for databases in `directory`.
    public init(directory: String) { self.directory = directory }
}

/// The calls that change database files.
///
/// @unchecked: whoever makes them sees to it that they may be called from any thread.
package struct FileCalls: @unchecked Sendable {
    package var calls: rp_file_calls

    package init(calls: rp_file_calls) { self.calls = calls }
}
