import DqliteClient
import Synchronization
import TortureChecks

/// Time since the run began.
struct RunClock: Sendable {
    private let began = ContinuousClock.now

    var now: Duration { self.began.duration(to: .now) }
}

/// What all clients share.
final class RunState: Sendable {
    private struct State {
        var acknowledgments: [Duration] = []
        var errors: [String: Int] = [:]
        var violations: [Violation] = []
        var isOver = false
    }

    let clock = RunClock()
    private let state = Mutex(State())
    private let counter = Atomic(0)

    /// Whether clients are to stop.
    var isOver: Bool {
        get { self.state.withLock { $0.isOver } }
        set { self.state.withLock { $0.isOver = newValue } }
    }

    /// A number that nobody else gets.
    func number() -> Int { self.counter.wrappingAdd(1, ordering: .relaxed).newValue }

    /// A write was acknowledged.
    func acknowledged() {
        let now = self.clock.now
        self.state.withLock { $0.acknowledgments.append(now) }
    }

    /// A call failed.
    func failed(_ error: any Error) {
        let name = Self.name(error)
        self.state.withLock { $0.errors[name, default: 0] += 1 }
    }

    func violated(_ violation: Violation) { self.state.withLock { $0.violations.append(violation) } }

    var acknowledgments: [Duration] { self.state.withLock { $0.acknowledgments } }
    var errors: [String: Int] { self.state.withLock { $0.errors } }
    var violations: [Violation] { self.state.withLock { $0.violations } }

    private static func name(_ error: any Error) -> String {
        switch error {
        case let error as DqliteError:
            "\(error.code)\(error.server.map { " \($0.extendedResultCode)" } ?? ""), \(error.outcome)"
        case let error as DqliteTransactionError:
            if let begin = error.beginError {
                "begin: " + self.name(begin)
            } else if let commit = error.commitError {
                "commit: " + self.name(commit)
            } else if let closure = error.closureError {
                "transaction: " + self.name(closure)
            } else {
                "transaction"
            }
        default: "\(type(of: error))"
        }
    }
}

extension Outcome {
    /// What an error says about a write.
    init(_ error: any Error) {
        let outcome = (error as? DqliteError)?.outcome ?? (error as? DqliteTransactionError)?.outcome
        switch outcome {
        case .notCommitted: self = .refused
        case .committed: self = .acknowledged
        case .unknown, nil: self = .unknown
        }
    }
}

/// The history of a workload.
final class Recorder<Action: Hashable & Sendable>: Sendable {
    let run: RunState
    private let state = Mutex<[Operation<Action>]>([])

    init(run: RunState) { self.run = run }

    var history: [Operation<Action>] { self.state.withLock { $0 } }

    func record(_ operation: Operation<Action>) { self.state.withLock { $0.append(operation) } }

    /// Does something, and notes what became of it.
    ///
    /// - Parameters:
    ///   - wanted: What is noted when it fails.
    ///   - body: Does it, and says what is noted when it succeeds.
    func perform(client: Int, isWrite: Bool, _ wanted: Action, _ body: () async throws -> Action) async {
        let began = self.run.clock.now
        do {
            let action = try await body()
            self.record(
                Operation(
                    client: client, began: began, ended: self.run.clock.now, outcome: .acknowledged, action: action))
            if isWrite { self.run.acknowledged() }
        } catch {
            self.run.failed(error)
            // Of a read nobody can know more than that it failed.
            let outcome = isWrite ? Outcome(error) : .refused
            self.record(
                Operation(client: client, began: began, ended: self.run.clock.now, outcome: outcome, action: wanted))
        }
    }
}
