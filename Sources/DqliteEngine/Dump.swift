internal import CSQLite
internal import DqliteProtocol

/// Copies a database into memory, on a connection of its own.
final class Dump: Job {
    private let database: Database
    private let maximumSize: Int
    private let completion: @Sendable (Result<FilesResponse, EngineError>) -> Void

    init(
        database: Database, maximumSize: Int,
        completion: @escaping @Sendable (Result<FilesResponse, EngineError>) -> Void
    ) {
        self.database = database
        self.maximumSize = maximumSize
        self.completion = completion
    }

    func runJob() {
        do throws(EngineError) {
            let content = try self.copy()
            let name = self.database.name
            self.completion(
                .success(
                    FilesResponse(files: [File(name: name, content: content), File(name: name + "-wal", content: [])])))
        } catch {
            self.completion(.failure(error))
        }
    }

    private func copy() throws(EngineError) -> [UInt8] {
        let authorizer = Authorizer(isStateless: true, isReadOnly: true, maximumCacheSize: 0, view: .committed)
        let connection = try Connection(
            .committed, of: self.database.pager, authorizer: authorizer, stopFlag: StopFlag(),
            limits: nil)
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
