import DqliteProtocol
import Synchronization

/// Whether statements may still be sent in a transaction: what is sent in one that is over on the node would be committed
/// by itself. Shared by the copies of a ``DqliteTransaction``.
final class TransactionState: Sendable {
    private struct State {
        /// The failure that ended it on the node, or may have.
        var failure: DqliteError?
        /// Whether its closure has returned.
        var hasFinished = false
        /// Statements that were given and have no answer yet.
        var running = 0
        /// Whether a part of it may be committed although the node has not confirmed a COMMIT of ours.
        var isDoubtful = false
    }

    private let encoding: WireEncoding
    private let state = Mutex(State())

    init(encoding: WireEncoding) { self.encoding = encoding }

    /// Whether a part of it may be committed although the node has not confirmed a COMMIT of ours.
    var isDoubtful: Bool { self.state.withLock { $0.isDoubtful } }

    /// How many statements were given and have no answer yet.
    var runningCount: Int { self.state.withLock { $0.running } }

    /// Refuses a statement when the transaction has ended.
    func check() throws(DqliteError) {
        if let refusal = self.state.withLock({ self.refusal($0) }) { throw refusal }
    }

    /// Runs a statement in it, and draws the conclusions if it fails.
    func run<Value>(
        _ sql: String, _ body: () async throws(DqliteError) -> Value
    ) async throws(DqliteError) -> Value {
        let commits = SQLScanner.mayCommit(sql)
        let refusal = self.state.withLock { state -> DqliteError? in
            if let refusal = self.refusal(state) { return refusal }
            state.running += 1
            if commits { state.isDoubtful = true }
            return nil
        }
        if let refusal { throw refusal }
        do throws(DqliteError) {
            let value = try await body()
            self.state.withLock { $0.running -= 1 }
            return value
        } catch {
            self.state.withLock { $0.running -= 1 }
            self.failed(error, sql: sql)
            throw error
        }
    }

    /// A statement failed, or its rows did.
    func failed(_ error: DqliteError, sql: String) {
        guard self.ends(error, sql: sql) else { return }
        self.end(error)
    }

    /// The rows of a statement are not wanted to their end: the node is told to stop it.
    func abandoned(_ sql: String) {
        // SQLite rolls back when it interrupts a statement that writes, and those with rows say RETURNING.
        guard self.encoding == .dqlite, SQLScanner.contains("RETURNING", in: sql) else { return }
        self.end(DqliteError(.cancelled, outcome: .unknown, message: "the rows of a statement that writes were left"))
    }

    private func end(_ error: DqliteError) {
        self.state.withLock { state in
            if state.failure == nil { state.failure = error }
            // The dqlite encoding cannot say that a request is one of a transaction: what is on its way to the node is run
            // by itself if this one is over.
            if self.encoding == .dqlite, state.running > 0 { state.isDoubtful = true }
        }
    }

    /// Its closure has returned: nothing more is sent in it. Returns the failure that ended it before.
    func finish() -> DqliteError? {
        self.state.withLock { state in
            state.hasFinished = true
            return state.failure
        }
    }

    private func refusal(_ state: borrowing State) -> DqliteError? {
        if let failure = state.failure {
            return DqliteError(
                .transactionEnded, message: "the transaction was ended by a statement that failed: run it again",
                underlyingError: failure)
        }
        return state.hasFinished ? DqliteError(.transactionEnded, message: "the transaction has ended") : nil
    }

    /// Whether the transaction is over after a failure, or may be.
    private func ends(_ error: DqliteError, sql: String) -> Bool {
        if error.server?.extendedResultCode == FailureCode.abortRollback { return true }
        // The node refuses what belongs to a transaction that is over.
        guard self.encoding == .dqlite else { return false }
        guard let server = error.server else {
            // What was sent is interrupted, and SQLite rolls back when that hits a statement that writes.
            return error.outcome != .notCommitted
        }
        // https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction
        switch UInt64(server.resultCode) {
        case FailureCode.full, FailureCode.inputOutput, FailureCode.outOfMemory, FailureCode.corrupt,
            FailureCode.interrupted, FailureCode.abort:
            return true
        case FailureCode.constraint: return SQLScanner.contains("ROLLBACK", in: sql)
        default: return false
        }
    }
}

/// The place for the transaction of a connection, which has one at a time.
final class TransactionPlace: Sendable {
    private struct State {
        var isTaken = false
        var current: TransactionState?
    }

    private let state = Mutex(State())

    /// The transaction that is open: what is sent on the connection belongs to it.
    var current: TransactionState? {
        get { self.state.withLock { $0.current } }
        set { self.state.withLock { $0.current = newValue } }
    }

    /// Takes the place. False: it is taken.
    func take() -> Bool {
        self.state.withLock { state in
            defer { state.isTaken = true }
            return !state.isTaken
        }
    }

    func leave() { self.state.withLock { $0 = State() } }
}
