/// Codes of ``FailureResponse`` that have a meaning of their own. All others are SQLite's extended result codes: the low
/// byte tells the class.
public enum FailureCode {
    /// dqlite reports an empty statement with the code of success.
    public static let emptyStatement: UInt64 = 0
    /// SQLITE_ERROR: an error in the SQL, or any failure without a code of its own.
    public static let error: UInt64 = 1
    /// SQLITE_ABORT.
    public static let abort: UInt64 = 4
    /// SQLITE_BUSY: somebody else writes, or changes the cluster's configuration.
    public static let busy: UInt64 = 5
    /// SQLITE_NOMEM.
    public static let outOfMemory: UInt64 = 7
    /// SQLITE_READONLY.
    public static let readOnly: UInt64 = 8
    /// SQLITE_INTERRUPT: the request was interrupted.
    public static let interrupted: UInt64 = 9
    /// SQLITE_IOERR.
    public static let inputOutput: UInt64 = 10
    /// SQLITE_CORRUPT.
    public static let corrupt: UInt64 = 11
    /// SQLITE_NOTFOUND: no open database, or no statement, of that number. It asks to open again.
    public static let notFound: UInt64 = 12
    /// SQLITE_FULL: the disk, or a limit, is full.
    public static let full: UInt64 = 13
    /// SQLITE_CANTOPEN.
    public static let cannotOpen: UInt64 = 14
    /// SQLITE_CANTOPEN_SYMLINK: databases are files, not links to some.
    public static let cannotOpenSymbolicLink: UInt64 = 1550
    /// SQLITE_PROTOCOL: a format that the node does not know.
    public static let unsupportedFormat: UInt64 = 15
    /// SQLITE_TOOBIG: text or a row is larger than a limit.
    public static let tooBig: UInt64 = 18
    /// SQLITE_CONSTRAINT: its extended codes tell which.
    public static let constraint: UInt64 = 19
    /// SQLITE_MISMATCH.
    public static let mismatch: UInt64 = 20
    /// SQLITE_MISUSE.
    public static let misuse: UInt64 = 21
    /// SQLITE_AUTH: the statement is one that a node does not allow.
    public static let notAuthorized: UInt64 = 23
    /// SQLITE_RANGE: more parameters than the statement takes.
    public static let range: UInt64 = 25
    /// SQLITE_NOTADB.
    public static let notADatabase: UInt64 = 26
    /// SQLITE_ROW, which dqlite up to 1.14 sends when a statement without rows was expected.
    public static let unexpectedRow: UInt64 = 100
    /// SQLITE_ABORT_ROLLBACK: the transaction was rolled back under the statement.
    public static let abortRollback: UInt64 = 516
    /// SQLITE_BUSY_SNAPSHOT: another transaction was committed since this one first read.
    public static let busySnapshot: UInt64 = 517

    /// dqlite's own: there is no database of that name.
    public static let databaseNotFound: UInt64 = 1002
    /// dqlite's own: a request, a revision or a format that the node does not know.
    public static let malformedRequest: UInt64 = 1005
    /// dqlite's SQLITE_IOERR_NOT_LEADER: only the leader can do this.
    public static let notLeader: UInt64 = 10250
    /// dqlite's SQLITE_IOERR_LEADERSHIP_LOST: the write may or may not be committed.
    public static let leadershipLost: UInt64 = 10506
    /// ``notLeader`` as nodes older than SQLite 3.32.1 with replication patches send it.
    public static let legacyNotLeader: UInt64 = 8202
    /// ``leadershipLost`` as those nodes send it.
    public static let legacyLeadershipLost: UInt64 = 8458
}
