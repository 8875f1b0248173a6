/// A change of one member.
public enum ConfigurationChange: Hashable, Sendable {
    /// A new member, as a spare.
    case add(NodeID, address: String)
    /// Another role. Who is to become a voter catches up with the log first.
    case assign(NodeID, Configuration.Role)
    case remove(NodeID)
}

/// Changes of the configuration, one member at a time (thesis 4.1 to 4.3).
extension Raft {
    /// Proposes a change.
    ///
    /// - Returns: Where the new configuration is in the log; nil when the member catches up first: `Ready` then shows the
    ///   entry when it is proposed, or that the promotion failed.
    @discardableResult
    public mutating func proposeConfiguration(
        _ change: ConfigurationChange, term: Term
    ) throws(RaftError) -> LogIndex? {
        let leadership = try self.requireLeadership(term: term)
        guard self.hasCommittedInTerm || self.defects.contains(.changesBeforeOwnCommit) else { throw .noCommitInTerm }
        guard self.configurationIndex <= self.commitIndex, leadership.promotion == nil else {
            throw .changeInProgress
        }
        let changed = try self.configuration.applying(change)
        if case .assign(let id, .voter) = change, !self.hasCaughtUp(id) {
            self.leadership?.promotion = Promotion(server: id, roundEnd: self.log.lastIndex)
            self.updatePeers()
            return nil
        }
        return self.append(changed)
    }

    private mutating func append(_ configuration: Configuration) -> LogIndex {
        let index = self.appendOwn(kind: .configuration, data: configuration.encoded())
        self.updatePeers()
        return index
    }

    private func hasCaughtUp(_ id: NodeID) -> Bool {
        if id == self.id { return true }
        guard let leadership = self.leadership, let place = leadership.place(of: id) else { return false }
        return leadership.peers[place].match >= self.log.lastIndex
    }

    /// A round ends when all is there that was in the log when it began. A member has caught up when it has everything, or
    /// when a round took less than an election timeout (thesis 4.2.1).
    mutating func continuePromotion() {
        guard let leadership = self.leadership, var promotion = leadership.promotion,
            let place = leadership.place(of: promotion.server),
            leadership.peers[place].match >= promotion.roundEnd
        else { return }
        if self.hasCaughtUp(promotion.server) || promotion.roundTicks < self.settings.electionTicks {
            self.finishPromotion(promotion)
        } else if promotion.round >= self.settings.catchUpRounds {
            self.failPromotion(promotion)
        } else {
            promotion.round += 1
            promotion.roundTicks = 0
            promotion.roundEnd = self.log.lastIndex
            self.leadership?.promotion = promotion
        }
    }

    private mutating func finishPromotion(_ promotion: Promotion) {
        // While leadership is handed over nothing is proposed; the next answer or tick tries again.
        guard self.leadership?.transfer == nil else { return }
        guard let changed = try? self.configuration.applying(.assign(promotion.server, .voter)) else {
            return self.failPromotion(promotion)
        }
        self.leadership?.promotion = nil
        _ = self.append(changed)
    }

    private mutating func failPromotion(_ promotion: Promotion) {
        self.leadership?.promotion = nil
        self.updatePeers()
        self.failedPromotion = .catchUpFailed(promotion.server)
    }

    mutating func tickPromotion() {
        guard let promotion = self.leadership?.promotion else { return }
        self.leadership?.promotion?.roundTicks += 1
        self.leadership?.promotion?.ticks += 1
        if promotion.ticks + 1 >= self.settings.catchUpTicks { return self.failPromotion(promotion) }
        self.continuePromotion()
    }
}

extension Configuration {
    /// This configuration with one change.
    func applying(_ change: ConfigurationChange) throws(RaftError) -> Configuration {
        var changed = self
        switch change {
        case .add(let id, let address):
            guard id.rawValue != 0 else { throw .unknownServer(id) }
            if let other = self.servers.first(where: { $0.id == id || $0.address == address }) {
                throw .alreadyMember(other.id)
            }
            changed.servers.append(Server(id: id, address: address, role: .spare))
        case .assign(let id, let role):
            guard let place = self.servers.firstIndex(where: { $0.id == id }) else { throw .unknownServer(id) }
            guard self.servers[place].role != role else { throw .sameRole(id) }
            changed.servers[place].role = role
        case .remove(let id):
            guard self[id] != nil else { throw .unknownServer(id) }
            changed.servers.removeAll { $0.id == id }
        }
        guard !changed.voters.isEmpty else { throw .noVoterLeft }
        return changed
    }
}
