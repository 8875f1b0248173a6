import DqliteEngine
import DqliteLog
import DqliteRaft

/// Raft and the log, as the engine sees them.
extension EngineDatabase: Replicator {
    func propose(_ command: [UInt8], term: Term, completion: @escaping Committed) throws(ProposalRefusal) {
        guard !self.isDead, !self.node.isEnding else { throw .failed("the process ends") }
        let term = self.cluster.defect == .overlayOutlivesTerm ? self.node.raft.term : term
        do throws(RaftError) {
            let index = try self.node.raft.propose(command, term: term)
            self.proposals.append(Proposal(index: index, term: term, completion: completion))
        } catch {
            switch error {
            case .queueFull, .transferring: throw .queueFull
            case .notLeader, .staleTerm: throw .notLeader
            default: throw .failed("\(error)")
            }
        }
    }

    var durableIndex: LogIndex {
        self.cluster.defect == .checkpointBeyondDurable ? self.applied : self.storage.log.durableIndex
    }

    var holdsLease: Bool {
        !self.isDead && self.isServing && self.node.raft.holdsLease(at: self.node.instant, applied: self.applied)
    }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) {
        // What is about to be shown may lack what others have shown.
        guard !self.isDead, self.isServing, self.applied >= self.node.raft.commitIndex else { return completion(false) }
        self.node.confirmLeadership { completion($0 && self.isServing) }
    }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        let waits = self.cluster.defect != .pagesBeforeIntent
        try self.mark(waits: waits) { $0.intent = max($0.intent, index) }
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try self.mark { marks in
            marks.done = max(marks.done, index)
            marks.intent = max(marks.intent, marks.done)
        }
    }

    private func mark(
        waits: Bool = true, _ change: (inout CheckpointMarks) -> Void
    ) throws(ReplicationFailure) {
        guard !self.isDead, let fiber = self.fiber, fiber.isRunning else { throw .failed("the process ends") }
        var marks = self.marks
        change(&marks)
        let wanted = marks
        let result: Result<Void, ReplicationFailure>? = fiber.wait { done in
            self.node.offers.append(
                LogOffer { log, ticket throws(LogError) in
                    try log.mark(DatabaseFiles.database, wanted, ticket: ticket)
                } then: {
                    guard self.fiber === fiber else { return }
                    self.marks = wanted
                    if waits { done(.success(())) }
                } refused: {
                    if waits { done(.failure(.noSpace("the log"))) }
                })
            if !waits { done(.success(())) }
        }
        guard let result else { throw .failed("the process ends") }
        try result.get()
    }

    func release(through index: LogIndex) {
        self.released = self.cluster.defect == .releasesTooMuch ? self.applied : index
    }
}
