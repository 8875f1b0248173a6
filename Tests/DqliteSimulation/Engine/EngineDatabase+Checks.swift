import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire

/// What must hold of the engine's databases.
extension EngineDatabase {
    func check() {
        guard self.isOpen, let content = self.content else { return }
        guard self.applied <= self.cluster.checks.committedIndex else {
            return self.cluster.checks.found("\(self.number) has applied \(self.applied), which is not committed")
        }
        if CommittedFile.hash(of: content) != self.cluster.checks.file?.hash(after: self.applied) {
            self.cluster.checks.found("\(self.number) has other pages after entry \(self.applied)")
        }
    }

    /// All pages of the committed view.
    private var content: [UInt8]? {
        guard let engine = self.engine else { return nil }
        var content: [UInt8]?
        let box = Box()
        engine.dump(database: DatabaseFiles.database) { box.result = $0 }
        while box.result == nil, let job = engine.takeJob(.readers) { job() }
        if box.result == nil { engine.ring() }
        switch box.result {
        case .success(let response): content = response.files[0].content
        case .failure(let error) where error.code == FailureCode.databaseNotFound: content = []
        case .failure(let error): self.cluster.checks.found("\(self.number) cannot be read: \(error)")
        case nil: self.cluster.checks.found("\(self.number) cannot be read")
        }
        return content
    }

    /// @unchecked: a simulation does one thing at a time.
    private final class Box: @unchecked Sendable {
        var result: Result<FilesResponse, EngineError>?
    }

    func difference(at committed: LogIndex) -> String? {
        guard self.isOpen, self.applied == committed else {
            return "\(self.number) has applied \(self.applied) of \(committed)"
        }
        guard let file = self.cluster.checks.file else { return nil }
        guard self.marks.done >= file.lastCommand else {
            return "the file of \(self.number) is at \(self.marks.done) of \(file.lastCommand)"
        }
        self.check()
        if (try? self.host.files.content()) ?? [] != file.bytes {
            self.cluster.checks.found("\(self.number) has another file at the end")
        }
        return nil
    }

    func checkAtEnd() {
        for (sql, check) in [
            ("PRAGMA integrity_check", { rows in rows == [[.text("ok")]] ? nil : "is not intact: \(rows)" }),
            (
                "SELECT id FROM trail",
                { rows in
                    let ids = rows.compactMap { if case .integer(let id) = $0[0] { UInt64(id) } else { nil } }
                    return self.cluster.checks.trailProblem(Set(ids))
                }
            ),
        ] as [(String, ([[Value]]) -> String?)] {
            switch self.query(sql) {
            case .success(let rows):
                if let problem = check(rows) { self.cluster.checks.found("\(self.number) \(problem)") }
            case .failure(let error): self.cluster.checks.found("\(self.number): \(sql): \(error)")
            case nil: self.cluster.checks.found("\(self.number): \(sql) does not end")
            }
        }
    }

    /// Asks the committed view something, and waits for the answer.
    private func query(_ sql: String) -> Result<[[Value]], EngineError>? {
        guard let engine = self.engine else { return nil }
        do throws(EngineError) {
            let session = try engine.openSession(
                database: DatabaseFiles.database, encoding: .dqlite, isStateless: false)
            var result: Result<[[Value]], EngineError>?
            guard let bytes = try? QuerySQLRequest(sql: sql).dqliteBytes(revision: 0) else { return nil }
            session.run(
                .querySQL, revision: 0, request: RequestBody(bytes: bytes), timeout: nil, isCurrent: true,
                sink: AnswerSink { result = $0 })
            while result == nil, let job = engine.takeJob(.readers) { job() }
            return result
        } catch {
            return .failure(error)
        }
    }
}
