import DqliteEngine
import DqliteLog
import DqliteRaft
import Synchronization

@testable import DqliteNode

/// Consensus of a node that is alone: what its own log has made durable is committed.
final class LocalReplicator: Replicator {
    private struct State {
        /// The term that the node leads in.
        var term: Term?
        /// The term's own first entry, if there was no room for it yet: it goes before the first command.
        var barrier: Entry?
    }

    let log: Log
    private let state = Mutex(State())
    /// Told once when the log can go on no more. It names the file.
    private let failed: @Sendable (String) -> Void

    init(log: Log, failed: @escaping @Sendable (String) -> Void) {
        self.log = log
        self.failed = failed
    }

    /// Applies to the engine what its files may lack, and makes this node the leader of a new term.
    ///
    /// A log without room does not keep it from leading. The first entry of a term shows which entries of earlier terms are
    /// committed, and a node that is alone knows that: all that its log holds are. Writes are refused until there is room for
    /// that entry and theirs, which the log finds out at each of them.
    ///
    /// - Returns: Why nothing can be written for now; nil: it can.
    func start(_ engine: Engine, nodeID: NodeID) throws -> LogError? {
        let status = self.log.status
        try engine.redo(self.log, through: status.lastIndex)
        try engine.recovered()
        let term = Term(self.log.hardState.term.rawValue + 1)
        try self.log.save(HardState(term: term, vote: nodeID))
        let barrier = Entry(index: status.lastIndex.next, term: term, kind: .barrier, data: [])
        let obstacle = try self.append(barrier)
        self.state.withLock { state in
            state.term = term
            state.barrier = obstacle == nil ? nil : barrier
        }
        if obstacle == nil { engine.passed(barrier.index) }
        engine.lead(in: term)
        return obstacle
    }

    /// Returns when the entry is durable, or that there is no room for it.
    private func append(_ barrier: Entry) throws(LogError) -> LogError? {
        do throws(LogError) {
            try self.log.appendAndWait([barrier])
            return nil
        } catch .noSpace(let error) {
            return .noSpace(error)
        }
    }

    // MARK: Replicator

    func propose(
        _ command: [UInt8], term: Term,
        completion: @escaping @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    ) throws(ProposalRefusal) {
        // The lock makes one place in the log follow the other.
        try self.state.withLock { state throws(ProposalRefusal) in
            guard state.term == term else { throw .notLeader }
            let index = state.barrier?.index.next ?? self.log.status.lastIndex.next
            let entry = Entry(index: index, term: term, kind: .command, data: command)
            do throws(LogError) {
                try self.log.append((state.barrier.map { [$0] } ?? []) + [entry]) { result in
                    switch result {
                    case .success(let index): completion(.success(index))
                    case .failure(let error):
                        completion(.failure(.failed(error.description)))
                        self.fail(error)
                    }
                }
                state.barrier = nil
            } catch {
                let refusal = ProposalRefusal(error)
                if case .failed(let reason) = refusal { self.failed(reason) }
                throw refusal
            }
        }
    }

    private func fail(_ error: LogError) {
        self.state.withLock { $0.term = nil }
        self.failed(error.description)
    }

    var durableIndex: LogIndex { self.log.status.durableIndex }

    var holdsLease: Bool { true }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) { completion(true) }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        try self.mark { () throws(LogError) in try self.log.beginCheckpoint(of: database, through: index) }
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try self.mark { () throws(LogError) in try self.log.endCheckpoint(of: database, at: index) }
    }

    private func mark(_ body: () throws(LogError) -> Void) throws(ReplicationFailure) {
        do throws(LogError) {
            try body()
        } catch {
            let failure = ReplicationFailure(error)
            if case .failed = failure { self.fail(error) }
            throw failure
        }
    }

    func release(through index: LogIndex) { _ = self.log.truncateHead(LogNeeds(checkpoints: index)) }
}
