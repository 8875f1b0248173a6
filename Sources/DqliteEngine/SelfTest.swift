internal import CReplicaPager
internal import CSQLite
internal import DqliteProtocol

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Commits, captures, applies and compares, once, before the engine trusts this SQLite with anybody's data.
///
/// The pager relies on how SQLite writes its WAL; another version, or another build, may do it differently.
enum SelfTest {
    /// - Parameter directory: Where its files are, if the system has none in memory: a node must start on a full disk too.
    /// - Throws: SQLITE_MISUSE (21) with what went wrong.
    static func run(in directory: String) throws(EngineError) {
        let scratch = ["leader", "follower"].map { ScratchFile(named: $0, in: directory) }
        defer { for file in scratch { file.remove() } }
        let paths = scratch.map(\.path)
        // Nothing here has to last.
        let calls = rp_file_calls(
            context: nil, pwrite: { pwrite($1, $2, $3, $4) }, ftruncate: { ftruncate($1, $2) },
            fdatasync: { _, _ in 0 }, fsync: { _, _ in 0 })
        let leader = try Pager(path: paths[0], maximumTransactionPages: 1024, fileCalls: calls)
        defer { _ = leader.close() }
        let follower = try Pager(path: paths[1], maximumTransactionPages: 1024, fileCalls: calls)
        defer { _ = follower.close() }
        try Self.check(leader.beginOverlay(term: 1), "an overlay begins")
        defer { leader.doomOverlay() }
        let statements = [
            "CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB); CREATE INDEX i ON t (b)",
            "INSERT INTO t (b) VALUES (randomblob(9000)), (randomblob(100))",
            // More than the cache holds, written to the WAL, and in part taken back before it is committed.
            """
            PRAGMA cache_size = 4; BEGIN; INSERT INTO t (b) SELECT randomblob(3000) FROM t, t, t, t, t;
            SAVEPOINT s; DELETE FROM t WHERE a > 5; ROLLBACK TO s; UPDATE t SET b = randomblob(50) WHERE a % 2; COMMIT
            """,
            "BEGIN; DELETE FROM t; ROLLBACK",
        ]
        for (number, sql) in statements.enumerated() {
            try Self.execute(sql, on: leader)
            guard let batch = leader.cut() else {
                guard number == 3 else { throw Self.failure("nothing was captured of \(sql)") }
                break
            }
            if number == 3 { throw Self.failure("a transaction that was rolled back was captured") }
            let index = UInt64(number + 1)
            try Self.check(follower.apply((0..<batch.pageCount).map(batch.page), at: index), "the follower applies")
            try Self.check(leader.apply(batch, at: index), "the leader applies")
        }
        for pager in [leader, follower] {
            try Self.check(pager.beginBackfill(limit: 3).0, "a checkpoint begins")
            let result = pager.runBackfill()
            pager.endBackfill(isComplete: result.value == SQLITE_OK)
            try Self.check(result, "a checkpoint runs")
        }
        let files = try paths.map { path throws(EngineError) in try Self.content(of: path) }
        guard files[0] == files[1], files[0].count > 4096 else { throw Self.failure("leader and follower differ") }
    }

    private static func execute(_ sql: String, on pager: Pager) throws(EngineError) {
        var handle: OpaquePointer?
        try self.check(ResultCode(rp_connection_open(pager.handle, RP_OVERLAY, &handle)), "a connection opens")
        defer { sqlite3_close_v2(handle) }
        // What SQLite keeps for a savepoint would become a file as well.
        try self.check(ResultCode(sqlite3_exec(handle, "PRAGMA temp_store = MEMORY; " + sql, nil, nil, nil)), sql)
    }

    private static func content(of path: String) throws(EngineError) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw self.failure("a checkpoint made no file") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw self.failure("a file cannot be read") }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        guard read(descriptor, &bytes, bytes.count) == bytes.count else { throw self.failure("a file cannot be read") }
        return bytes
    }

    private static func check(_ code: ResultCode, _ what: String) throws(EngineError) {
        if code.value != SQLITE_OK { throw self.failure("\(what): \(code.text)") }
    }

    private static func failure(_ what: String) -> EngineError {
        EngineError(
            code: FailureCode.misuse,
            message:
                "SQLite \(String(cString: sqlite3_libversion())) fails the self-test, so that its databases cannot be "
                + "replicated: \(what)")
    }
}

/// A file that nobody else sees: in memory if the system can do that.
private struct ScratchFile {
    let path: String
    /// Of the file in memory. nil: there is none.
    private var descriptor: CInt?

    init(named name: String, in directory: String) {
        let descriptor = rp_memory_file()
        let path = "/proc/self/fd/\(descriptor)"
        if descriptor >= 0, access(path, R_OK | W_OK) == 0 {
            self.path = path
            self.descriptor = descriptor
            return
        }
        if descriptor >= 0 { close(descriptor) }
        self.path = "\(directory)/.dqlite-self-test-\(name)-journal"
        unlink(self.path)
    }

    func remove() {
        if let descriptor = self.descriptor { close(descriptor) } else { unlink(self.path) }
    }
}
