import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore

/// What the node asks of Raft.
extension RaftCore {
    /// Proposes a command, if the log has room for it.
    ///
    /// - Returns: Bytes for which room must be found first; nil: it is on its way.
    mutating func propose(
        _ command: [UInt8], term: Term, _ completion: @escaping Committed
    ) throws(ProposalRefusal) -> Int? {
        if self.hasFailed { throw .failed("the log has failed") }
        guard self.raft.role == .leader, self.raft.term == term else { throw .notLeader }
        // A full disk is known before anybody could commit the command.
        let size = self.preparedSize + command.count + 16
        if self.storage.isStalled { throw .queueFull }
        do throws(LogError) {
            guard try self.log.isPrepared(for: size) else { return size }
        } catch {
            throw self.refusal(because: error)
        }
        do throws(RaftError) {
            let index = try self.raft.propose(command, term: term)
            self.preparedSize = size
            self.proposedSize += command.count
            self.proposals.append(
                Proposal(
                    index: index, term: term, deadline: MonotonicInstant.now + self.commitTimeout,
                    completion: completion))
            return nil
        } catch {
            switch error {
            case .queueFull, .transferring: throw .queueFull
            case .notLeader, .staleTerm: throw .notLeader
            default: throw .failed("\(error)")
            }
        }
    }

    /// What a proposal is refused with for which the log has no room.
    mutating func refusal(because error: LogError) -> ProposalRefusal {
        let refusal = ProposalRefusal(error)
        if case .noSpace = refusal { self.leaveToOthers() }
        return refusal
    }

    /// A leader without room hands over to a member that may have some.
    private mutating func leaveToOthers() {
        let now = MonotonicInstant.now
        if let last = self.lastTransferBecauseFull, now - last < .seconds(5) { return }
        self.lastTransferBecauseFull = now
        guard self.raft.peers.contains(where: { $0.isRecentlyActive }) else { return }
        self.logger.warning("There is no room for the log: leadership is handed over, if another member can take it")
        try? self.raft.transferLeadership(to: nil)
    }

    mutating func read(_ completion: @escaping @Sendable (LogIndex?) -> Void, _ outcome: inout Outcome) {
        self.lastRead += 1
        do throws(RaftError) {
            try self.raft.readIndex(self.lastRead)
            self.reads[self.lastRead] = completion
        } catch {
            outcome.done.append { completion(nil) }
        }
    }

    mutating func begin(_ change: ConfigurationChange, _ done: @escaping Done, _ outcome: inout Outcome) {
        guard self.change == nil || self.raft.role != .leader else {
            return outcome.done.append { done(.failure(EngineError(RaftError.changeInProgress))) }
        }
        do throws(RaftError) {
            let index = try self.raft.proposeConfiguration(change, term: self.raft.term)
            self.change = (index, self.raft.term, done)
        } catch {
            outcome.done.append { done(.failure(EngineError(error))) }
        }
    }

    // MARK: Handing over

    /// - Returns: Whether the engine is to be brought to rest.
    mutating func beginHandover(to target: NodeID?, _ done: @escaping Done, _ outcome: inout Outcome) -> Bool {
        guard self.raft.role == .leader else {
            outcome.done.append { done(.failure(.notLeader)) }
            return false
        }
        guard self.handover == nil else {
            outcome.done.append {
                done(.failure(.refused(FailureCode.notLeader, "not leader: leadership is being handed over")))
            }
            return false
        }
        let voters = self.raft.configuration.voters.filter { $0 != self.raft.id }
        guard !voters.isEmpty, target.map(voters.contains) ?? true else {
            outcome.done.append { done(.failure(EngineError(RaftError.invalidTransferTarget(target)))) }
            return false
        }
        self.handover = Handover(target: target, done: done)
        return true
    }

    /// The engine is at rest: its last commands are committed and applied.
    mutating func quiesced(_ isQuiet: Bool, _ outcome: inout Outcome) {
        guard let handover = self.handover, !handover.isUnderWay else { return }
        do throws(RaftError) {
            guard isQuiet else { throw .queueFull(limit: 0) }
            try self.raft.transferLeadership(to: handover.target)
            let deadline = MonotonicInstant.now + self.handoverTimeout
            self.handover?.deadline = deadline
        } catch {
            self.failHandover(&outcome)
        }
    }

    /// Nobody took over: the engine goes on.
    mutating func failHandover(_ outcome: inout Outcome) {
        guard let done = self.handover.take()?.done else { return }
        outcome.resumes = true
        outcome.done.append { done(.failure(.refused(FailureCode.error, "leadership transfer failed"))) }
    }
}
