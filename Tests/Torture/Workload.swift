import DqliteClient
import TestSupport
import TortureChecks

/// What clients do to a database, and how it is checked.
protocol Workload: Sendable {
    associatedtype Action: Hashable & Sendable

    /// What happened.
    var recorder: Recorder<Action> { get }
    /// Something that nobody did: the check has to find it, if it is said to be acknowledged.
    var invention: Action { get }
    /// Name of its database.
    var database: String { get }
    /// What makes the database, any number of times.
    var schema: String { get }
    /// One thing that a client does.
    func step(_ client: WorkloadClient, random: inout SeededRandom) async
    /// Reads everything, when nobody does anything any more.
    func finish(_ client: WorkloadClient) async
    /// What is wrong.
    func check() -> [Violation]
}

extension Workload {
    /// What happened, in order of its ends.
    var history: [String] { self.recorder.history.sorted { $0.ended < $1.ended }.map(\.description) }

    /// How often what became of it.
    var outcomes: [Outcome: Int] { Dictionary(self.recorder.history.map { ($0.outcome, 1) }, uniquingKeysWith: +) }

    /// Notes the invention as acknowledged, at a time in the middle.
    func pretend() {
        let ends = self.recorder.history.map(\.ended).sorted()
        let middle = ends.dropFirst(ends.count / 2).first ?? .zero
        self.recorder.record(
            Operation(
                client: 0, began: middle, ended: middle + .milliseconds(1), outcome: .acknowledged,
                action: self.invention))
    }
}

/// One of those who do it.
struct WorkloadClient: Sendable {
    let number: Int
    let client: DqliteClient

    /// Runs until it is over.
    func run(_ workload: some Workload, seed: UInt64, run: RunState) async {
        var random = SeededRandom(seed: seed &+ UInt64(self.number) &* 7919)
        while !run.isOver {
            await workload.step(self, random: &random)
            await pause(.milliseconds(random.below(8)))
        }
    }
}

extension DqliteClient {
    /// Runs statements in one request, which begins and ends a transaction.
    func transact(_ statements: [String]) async throws {
        let sql = (["BEGIN IMMEDIATE"] + statements + ["COMMIT"]).joined(separator: "; ")
        try await self.withConnection { connection in
            _ = try await connection.execute(DqliteQuery(unsafeSQL: sql))
        }
    }
}
