import BenchmarkSupport
import DqliteClient
import Foundation
import NIOCore
import Synchronization
import TestSupport

/// A program with one connection and one thing under way.
struct Client: Sendable {
    let connection: DqliteConnection
    private let workload: Workload
    private let data: Dataset
    private let insert: DqlitePreparedStatement?
    private let select: DqlitePreparedStatement?
    private let patience: Patience
    private var random: SeededRandom

    /// The node gave something else than was asked for.
    struct Wrong: Error { var what: String }

    init(
        _ workload: Workload, _ data: Dataset, _ connection: DqliteConnection, patience: Patience, seed: Int
    ) async throws {
        self.workload = workload
        self.data = data
        self.connection = connection
        self.patience = patience
        self.random = SeededRandom(seed: UInt64(seed))
        self.insert = if let sql = workload.insert { try await connection.prepare(sql) } else { nil }
        self.select = if let sql = workload.select { try await connection.prepare(sql) } else { nil }
    }

    /// - Parameter isOver: Ends the round before its time.
    func run(_ round: Round, isOver: StopSign) async throws -> Samples {
        var client = self
        var samples = Samples(round)
        var start = NIODeadline.now()
        while start < round.end, !isOver.isSet {
            samples.failures += try await client.doOnce()
            let end = NIODeadline.now()
            samples.add(from: start, to: end)
            start = end
        }
        return samples
    }

    /// Does it until the node has not been too busy.
    ///
    /// - Returns: How often the node was.
    private mutating func doOnce() async throws -> Int {
        var refusals = 0
        let reads = self.workload.insert == nil || self.workload == .mix && self.random.below(5) != 0
        while true {
            do {
                try await reads ? self.read() : self.write()
                return refusals
            } catch let error where isBusy(error) {
                refusals += 1
                try await self.patience.wait(afterRefusals: refusals, &self.random)
            }
        }
    }

    private mutating func read() async throws {
        guard let select else { return }
        switch self.workload {
        case .scan:
            var count = 0
            for try await _ in try await select.query() { count += 1 }
            guard count == self.data.rows else { throw Wrong(what: "\(count) rows of \(self.data.rows)") }
        case .blobReads:
            let blobs = try await select.query(self.random.below(Workload.blobs) + 1).decode(ByteBuffer.self).collect()
            guard blobs.first?.readableBytes == Workload.blobSize else { throw Wrong(what: "no blob") }
        default:
            let id = self.random.below(self.data.rows) + 1
            let rows = try await select.query(id).decode((Int, String, Double).self).collect()
            guard rows.first?.0 == id else { throw Wrong(what: "no row \(id)") }
        }
    }

    private mutating func write() async throws {
        guard let insert else { return }
        switch self.workload {
        case .transactions:
            var random = self.random
            try await self.connection.withTransaction { _ in
                for _ in 0..<Workload.rowsPerTransaction {
                    try await insert.execute(random.below(1_000_003), Double(random.below(9973)) / 4, Workload.note)
                }
            }
            self.random = random
        case .bulk:
            var bindings = DqliteBindings()
            for _ in 0..<Workload.rowsPerTransaction {
                bindings.append(.integer(Int64(self.random.below(1_000_003))))
                bindings.append(.text(Workload.note))
            }
            let values = bindings
            try await self.connection.withTransaction { _ in try await insert.execute(bindings: values) }
        case .blobInserts: try await insert.execute(self.data.blob)
        default:
            try await insert.execute(
                self.random.below(1_000_003), Double(self.random.below(9973)) / 4, Workload.note)
        }
    }
}

/// Ends a round before its time.
final class StopSign: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { self.value.load(ordering: .relaxed) }
    func set() { self.value.store(true, ordering: .relaxed) }
}

/// What failed, for one who has to do with statements and with transactions.
func cause(of error: any Error) -> (any Error) {
    guard let error = error as? DqliteTransactionError else { return error }
    return error.beginError ?? error.commitError ?? error.closureError ?? error
}

/// Whether the node said SQLITE_BUSY: another one writes, and it does not wait. Nothing was changed.
func isBusy(_ error: any Error) -> Bool { (cause(of: error) as? DqliteError)?.server?.resultCode == 5 }
