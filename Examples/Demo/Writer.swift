import DqliteClient
import ServiceLifecycle
import Synchronization

/// Inserts rows through the cluster's leader, one write after the other, while it is told to.
final class Writer: Service {
    private let id: UInt64
    private let client: DqliteClient
    private let firstWrite: Int
    let isWriting = Atomic(false)

    init(id: UInt64, client: DqliteClient, firstWrite: Int) {
        self.id = id
        self.client = client
        self.firstWrite = firstWrite
    }

    func run() async { await cancelWhenGracefulShutdown { try? await self.write() } }

    private func write() async throws {
        var next = self.firstWrite
        var hasPaused = true
        while true {
            if self.isWriting.load(ordering: .relaxed) {
                try await self.write(WriteID(writer: self.id, number: next))
                next += 1
                hasPaused = false
            } else if !hasPaused {
                News.paused.tell()
                hasPaused = true
            }
            try await Task.sleep(for: .milliseconds(.random(in: 5...30)))
        }
    }

    /// Inserts a row; every fourth time three of them, in a transaction that takes its time.
    private func write(_ write: WriteID) async throws {
        let rows = write.number.isMultiple(of: 4) ? 3 : 1
        News.began(number: write.number, rows: rows).tell()
        while true {
            switch try await self.outcome(of: write, rows: rows) {
            case .committed: return News.acknowledged(number: write.number).tell()
            // The client tries again by itself whatever was certainly not committed, for some seconds, but not what a
            // transaction did: only the program knows what that was.
            case .notCommitted: News.again(number: write.number).tell()
            // Done again, it could be there twice. An application looks, or has a key that tells; here it is counted.
            case .unknown: return News.doubtful(number: write.number).tell()
            }
            try await Task.sleep(for: .milliseconds(20))
        }
    }

    /// - Throws: `CancellationError` only.
    private func outcome(of write: WriteID, rows: Int) async throws -> DqliteError.Outcome {
        do {
            if rows == 1 {
                try await self.client.execute(Table.insert(write, part: 1))
            } else {
                try await self.client.withTransaction { transaction in
                    for part in 1...rows {
                        try await transaction.execute(Table.insert(write, part: part))
                        try await Task.sleep(for: .milliseconds(10))
                    }
                }
            }
            return .committed
        } catch let error as DqliteError {
            return error.outcome
        } catch let error as DqliteTransactionError {
            return error.outcome
        }
    }
}
