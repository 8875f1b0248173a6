public import DqliteProtocol

/// Why a request was not carried out.
public struct EngineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extended result code of SQLite, or one of dqlite's own from 1000 on. 0 is dqlite's code for "empty
    /// statement".
    public var code: UInt64
    /// What failed and what to do, for a person.
    public var message: String
    /// What became of the write, if it was one.
    public var outcome: WriteOutcome

    public init(code: UInt64, message: String, outcome: WriteOutcome = .notCommitted) {
        self.code = code
        self.message = message
        self.outcome = outcome
    }

    public var description: String { "\(self.message) (\(self.code))" }
}

extension EngineError {
    /// The failure of an operation that was ended from outside.
    init(_ reason: StopReason) {
        switch reason {
        case .interrupted:
            self.init(code: FailureCode.interrupted, message: "interrupted")
        case .timedOut(let timeout):
            self.init(
                code: FailureCode.interrupted,
                message: "interrupted: the request took longer than its timeout of \(timeout.text)")
        case .closing:
            self.init(code: FailureCode.interrupted, message: "interrupted: the session was closed")
        case .engineClosing(let reason):
            self.init(code: FailureCode.interrupted, message: "interrupted: \(reason)")
        case .overlapping:
            self.init(code: FailureCode.misuse, message: "another request of this session is still running")
        case .overloaded:
            self.init(
                code: FailureCode.busy,
                message: "the node is busy: too many requests wait for a thread; try again later")
        case .writeTimeout(let waited, let held):
            self.init(
                code: FailureCode.busy,
                message:
                    "database is locked: another session has been writing for \(held.text), waited \(waited.text) for it"
            )
        case .transactionTooLong(let limit):
            self.init(
                code: FailureCode.abortRollback,
                message: "the transaction was rolled back: it was open for longer than \(limit.text)")
        case .transactionIdle(let limit):
            self.init(
                code: FailureCode.abortRollback,
                message: "the transaction was rolled back: nothing was asked of it for \(limit.text)")
        case .resultNotRead(let limit):
            self.init(
                code: FailureCode.abortRollback,
                message: "the result was given up: its reader has taken nothing for \(limit.text)")
        case .overlayLost(let loss):
            self = loss.error(outcome: .notCommitted)
            self.message += "; the transaction was rolled back"
        case .snapshotTooOld(let bound):
            self.init(
                code: FailureCode.abortRollback,
                message: "the snapshot was given up: \(bound >> 20) MiB of pages were kept for it and others, which is "
                    + "the bound; read in shorter transactions")
        }
    }
}

extension StopReason {
    /// Whether an operation that only waits for its commit ends for it. What is done is not interrupted; and what became of
    /// the overlay is told by the commit itself.
    var endsWaitForCommit: Bool {
        switch self {
        case .interrupted, .overlayLost, .snapshotTooOld, .transactionTooLong: false
        default: true
        }
    }

    /// Whether an open transaction is rolled back with it.
    var endsTransaction: Bool {
        switch self {
        case .transactionTooLong, .transactionIdle, .closing, .engineClosing, .overlayLost, .snapshotTooOld: true
        case .resultNotRead, .interrupted, .timedOut, .overlapping, .overloaded, .writeTimeout: false
        }
    }
}

extension Duration {
    /// For a person: `20 ms`, `5.0 s`.
    var text: String {
        let (seconds, attoseconds) = self.components
        if seconds == 0 { return "\(attoseconds / 1_000_000_000_000_000) ms" }
        return "\(seconds).\(attoseconds / 100_000_000_000_000_000) s"
    }
}
