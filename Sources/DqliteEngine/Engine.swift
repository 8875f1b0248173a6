public import DqliteProtocol

/// SQL over databases of one directory, each a file of SQLite in WAL mode with `synchronous=FULL`: what was acknowledged
/// survives a crash and a loss of power.
///
/// The engine runs SQL on threads of its own and blocks no caller. It changes nothing that belongs to the process: no
/// `sqlite3_config`, no global state, so the application may use SQLite too.
public final class Engine: Sendable {
    let configuration: EngineConfiguration

    /// Creates the directory if it is missing.
    ///
    /// - Throws: When the directory cannot be created or written to, and when SQLite is too old or not made for threads.
    public init(configuration: EngineConfiguration) throws(EngineError) {
        self.configuration = configuration
    }

    /// Begins a session on a database. Nothing is created on disk: the database exists from its first write.
    ///
    /// - Parameters:
    ///   - database: A plain file name, or `file:NAME?mode=…` with `ro`, `rw` or `rwc`.
    ///   - encoding: What the session's requests are read from and its results are written in.
    ///   - isStateless: Whether each request is a transaction of its own that leaves nothing behind: BEGIN, SAVEPOINT,
    ///     Prepare, TEMP objects and settings of the connection are refused.
    public func openSession(
        database: String, encoding: WireEncoding, isStateless: Bool
    ) throws(EngineError) -> EngineSession {
        EngineSession()
    }

    /// Copies a database, with everything committed folded in, into one file; beside it an empty one named like its WAL.
    ///
    /// Fails with 1002 when there is no such database.
    public func dump(
        database: String, completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void
    ) {
        completion(.failure(EngineError(code: 1002, message: "database does not exist")))
    }

    /// Interrupts what runs, rolls back what is open, closes every session, and returns when that is done, or after
    /// ``EngineConfiguration/closeTimeout``.
    public func close() {}
}
