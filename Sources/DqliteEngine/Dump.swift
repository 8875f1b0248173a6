internal import CSQLite
internal import DqliteProtocol

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Copies a database into memory, on a connection of its own.
final class Dump: Job {
    private let name: String
    private let path: String
    private let maximumSize: Int
    private let completion: @Sendable (Result<FilesResponse, EngineError>) -> Void

    init(
        name: String, path: String, maximumSize: Int,
        completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void
    ) {
        self.name = name
        self.path = path
        self.maximumSize = maximumSize
        self.completion = completion
    }

    func runJob() {
        do throws(EngineError) {
            let content = try self.copy()
            self.completion(
                .success(
                    FilesResponse(files: [
                        File(name: self.name, content: content), File(name: self.name + "-wal", content: []),
                    ])))
        } catch {
            self.completion(.failure(error))
        }
    }

    private func copy() throws(EngineError) -> [UInt8] {
        var status = stat()
        guard lstat(self.path, &status) == 0 else {
            throw EngineError(
                code: FailureCode.databaseNotFound, message: "database does not exist: \(self.name)")
        }
        let authorizer = Authorizer(isStateless: true, isReadOnly: true, maximumCacheSize: 0)
        let connection = try Connection(.file(self.path), authorizer: authorizer, stopFlag: StopFlag(), limits: nil)
        // One snapshot for the size and for the pages.
        try connection.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
        defer { connection.rollBack() }
        var size: sqlite3_int64 = 0
        _ = sqlite3_serialize(connection.handle, "main", &size, UInt32(SQLITE_SERIALIZE_NOCOPY))
        guard size <= Int64(self.maximumSize) else {
            throw EngineError(
                code: FailureCode.tooBig,
                message:
                    "the database has \(size) bytes; at most \(self.maximumSize) are dumped, as it is done in memory")
        }
        var count: sqlite3_int64 = 0
        guard let memory = sqlite3_serialize(connection.handle, "main", &count, 0) else {
            if count == 0 { return [] }
            throw EngineError(
                code: FailureCode.outOfMemory, message: "the database has \(count) bytes, for which there is no memory")
        }
        defer { sqlite3_free(memory) }
        return Array(UnsafeBufferPointer(start: memory, count: Int(count)))
    }
}
