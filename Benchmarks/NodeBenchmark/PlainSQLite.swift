import BenchmarkSupport
import CSQLite
import Foundation
import NIOCore
import Synchronization

/// SQLite as a program uses it that needs no other machine: a file in WAL mode that is synced with each commit, and threads with
/// a connection each. Everything else is as SQLite has it by default, checkpoints included.
enum PlainSQLite {
    struct Failure: Error { var message: String }

    /// As many threads as asked for, each with one thing under way.
    static func run(_ work: Work, in directory: URL, threads: Int, time: Duration) async throws -> RoundFigures {
        let path = directory.appending(path: "plain-\(work).db").path(percentEncoded: false)
        let connections = try (0..<threads).map { try PlainConnection(path, number: $0 * 7919) }
        let round = Round(time)
        let before = ProcessFigures.ownProcessorTime()
        let samples = try await self.onThreads(connections) { try $0.run(work, round) }
        return Samples.figures(
            samples, round: round, clientTime: ProcessFigures.ownProcessorTime() - before, nodeTime: nil)
    }

    private static func onThreads(
        _ connections: [PlainConnection], _ body: @escaping @Sendable (PlainConnection) throws -> Samples
    ) async throws -> [Samples] {
        final class Results: Sendable {
            let samples = Mutex<[Result<Samples, any Error>]>([])
        }
        let results = Results()
        await withCheckedContinuation { (continuation: CheckedContinuation<Void, Never>) in
            for connection in connections {
                Thread.detachNewThread {
                    let result = Result { try body(connection) }
                    let count = results.samples.withLock { samples in
                        samples.append(result)
                        return samples.count
                    }
                    if count == connections.count { continuation.resume() }
                }
            }
        }
        return try results.samples.withLock { try $0.map { try $0.get() } }
    }
}

/// A connection of one thread at a time: unchecked because the thread that it is made on hands it to another one.
private final class PlainConnection: @unchecked Sendable {
    private let handle: OpaquePointer
    private var begin: OpaquePointer?
    private var insert: OpaquePointer?
    private var commit: OpaquePointer?
    private var number: Int

    init(_ path: String, number: Int) throws {
        var handle: OpaquePointer?
        let flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX
        guard sqlite3_open_v2(path, &handle, flags, nil) == SQLITE_OK, let handle else {
            throw PlainSQLite.Failure(message: "cannot open \(path)")
        }
        self.handle = handle
        self.number = number
        sqlite3_busy_timeout(handle, 60_000)
        for sql in ["PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", Work.schema] {
            guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else { throw self.failure }
        }
        self.begin = try self.prepare("BEGIN IMMEDIATE")
        self.insert = try self.prepare(Work.insert(rows: 1))
        self.commit = try self.prepare("COMMIT")
    }

    deinit {
        for statement in [self.begin, self.insert, self.commit] { sqlite3_finalize(statement) }
        sqlite3_close_v2(self.handle)
    }

    func run(_ work: Work, _ round: Round) throws -> Samples {
        var samples = Samples(round)
        var start = NIODeadline.now()
        while start < round.end {
            switch work {
            case .row: try self.insertRow()
            case .transaction, .transactionOfOneStatement:
                try self.step(self.begin)
                for _ in 0..<Work.rowsPerTransaction { try self.insertRow() }
                try self.step(self.commit)
            }
            let end = NIODeadline.now()
            samples.add(from: start, to: end)
            start = end
        }
        return samples
    }

    private func insertRow() throws {
        self.number += 1
        sqlite3_bind_int64(self.insert, 1, Work.account(self.number))
        sqlite3_bind_double(self.insert, 2, Work.amount(self.number))
        // Copied by SQLite: SQLITE_TRANSIENT, which Swift cannot see.
        let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
        sqlite3_bind_text(self.insert, 3, Work.note, Int32(Work.note.utf8.count), transient)
        try self.step(self.insert)
    }

    private func step(_ statement: OpaquePointer?) throws {
        guard sqlite3_step(statement) == SQLITE_DONE else { throw self.failure }
        sqlite3_reset(statement)
    }

    private func prepare(_ sql: String) throws -> OpaquePointer? {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v3(self.handle, sql, -1, UInt32(SQLITE_PREPARE_PERSISTENT), &statement, nil) == SQLITE_OK
        else { throw self.failure }
        return statement
    }

    private var failure: PlainSQLite.Failure { .init(message: String(cString: sqlite3_errmsg(self.handle))) }
}
