import BenchmarkSupport
import DqliteClient
import Foundation
import Logging
import NIOCore
import NIOPosix

/// Programs that write through a node: each has a connection of the Swift client and one thing under way.
struct ClientLoad {
    var port: Int
    /// The node's process, if it is to be watched.
    var process: pid_t?
    var group: MultiThreadedEventLoopGroup

    static let database = "writes.db"

    /// What a client does between two answers is done where the answers arrive, as in a server on NIO: so the clients need as
    /// little as they can of what the node could use.
    ///
    /// - Parameter onOneChannel: Whether they are sessions of one connection, as the clients of one process can be.
    func run(
        _ work: Work, encoding: DqliteConnectionConfiguration.Encoding, onOneChannel: Bool = false, clients: Int,
        time: Duration
    ) async throws -> RoundFigures {
        let executor = EventLoopTaskExecutor(self.group.next())
        return try await withTaskExecutorPreference(executor) {
            var writers: [Writer] = []
            for index in 0..<clients {
                let connection =
                    if onOneChannel, let first = writers.first {
                        try await first.connection.openSession()
                    } else {
                        try await self.connect(encoding)
                    }
                writers.append(try await Writer(work, connection, number: index * 7919))
            }
            let round = Round(time)
            let clientTime = ProcessFigures.ownProcessorTime()
            let nodeTime = self.process.flatMap { ProcessFigures.processorTime(of: $0) }
            let samples = try await withThrowingTaskGroup(of: Samples.self) { tasks in
                for writer in writers { tasks.addTask { try await writer.run(work, round) } }
                var samples: [Samples] = []
                for try await result in tasks { samples.append(result) }
                return samples
            }
            let figures = Samples.figures(
                samples, round: round, clientTime: ProcessFigures.ownProcessorTime() - clientTime,
                nodeTime: nodeTime.flatMap { before in
                    self.process.flatMap { ProcessFigures.processorTime(of: $0) }.map { $0 - before }
                })
            for writer in writers { await writer.connection.close() }
            return figures
        }
    }

    /// Creates the table, if the node has none.
    func prepare() async throws {
        let connection = try await self.connect(.protobuf)
        try await connection.execute(DqliteQuery(unsafeSQL: Work.schema))
        await connection.close()
    }

    private func connect(_ encoding: DqliteConnectionConfiguration.Encoding) async throws -> DqliteConnection {
        var configuration = DqliteConnectionConfiguration(encoding: encoding)
        configuration.callTimeout = .seconds(60)
        return try await DqliteConnection.connect(
            to: .hostname("127.0.0.1", port: self.port), database: Self.database, configuration: configuration,
            eventLoopGroup: self.group, logger: Logger(label: "node-benchmark"))
    }
}

/// One of the programs.
private struct Writer: Sendable {
    var connection: DqliteConnection
    var insert: DqlitePreparedStatement
    var number: Int

    init(_ work: Work, _ connection: DqliteConnection, number: Int) async throws {
        let rows = work == .transactionOfOneStatement ? Work.rowsPerTransaction : 1
        self.connection = connection
        self.insert = try await connection.prepare(Work.insert(rows: rows))
        self.number = number
    }

    func run(_ work: Work, _ round: Round) async throws -> Samples {
        var samples = Samples(round)
        var number = self.number
        var start = NIODeadline.now()
        while start < round.end {
            do {
                try await self.write(work, &number)
                let end = NIODeadline.now()
                samples.add(from: start, to: end)
                start = end
            } catch let error where Self.isRefusal(error) {
                samples.failures += 1
                start = .now()
            }
        }
        return samples
    }

    private func write(_ work: Work, _ number: inout Int) async throws {
        switch work {
        case .row:
            number += 1
            try await self.insert.execute(Work.account(number), Work.amount(number), Work.note)
        case .transaction:
            let first = number
            number += Work.rowsPerTransaction
            try await self.connection.withTransaction { _ in
                for number in first..<first + Work.rowsPerTransaction {
                    try await self.insert.execute(Work.account(number), Work.amount(number), Work.note)
                }
            }
        case .transactionOfOneStatement:
            var bindings = DqliteBindings()
            for _ in 0..<Work.rowsPerTransaction {
                number += 1
                bindings.append(.integer(Work.account(number)))
                bindings.append(.real(Work.amount(number)))
                bindings.append(.text(Work.note))
            }
            let values = bindings
            try await self.connection.withTransaction { _ in try await self.insert.execute(bindings: values) }
        }
    }

    /// Whether the node has answered, and said no: it has limits on how long a writer waits. Anything else ends the benchmark.
    private static func isRefusal(_ error: any Error) -> Bool {
        let cause =
            (error as? DqliteTransactionError).map { $0.beginError ?? $0.commitError ?? $0.closureError } ?? error
        return (cause as? DqliteError)?.server != nil
    }
}
