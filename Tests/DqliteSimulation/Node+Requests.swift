import DqliteRaft
import TestSupport

/// A read that waits for its index.
enum IndexRead {
    case own(Request)
    /// Of a follower, and what it calls it.
    case peer(NodeID, context: UInt64)
    /// Of the engine, which wants to know whether this node leads.
    case confirmation((Bool) -> Void)
}

/// What clients ask for.
extension Node {
    func receive(_ request: Request) {
        self.cluster.trace(self.id, "is asked \(request.transaction.id) \(request.reading)")
        guard request.transaction.isReadOnly else { return self.database.run(request) }
        guard self.raft.role == .leader || request.reading == .anywhere else {
            return self.reply(.notCommitted(leader: self.raft.leader), to: request)
        }
        switch request.reading {
        case .lease: self.database.readByLease(request)
        case .readIndex: self.readByIndex(request)
        case .anywhere where self.raft.role == .leader: self.readByIndex(request)
        case .anywhere:
            guard let leader = self.raft.leader else { return self.reply(.notCommitted(leader: nil), to: request) }
            let context = self.nextContext()
            self.indexReads[context] = .own(request)
            self.send(.readIndex(context: context), to: leader)
        }
    }

    func reply(_ answer: Answer, to request: Request) {
        self.cluster.answer(request, answer, from: self.host)
    }

    private func nextContext() -> UInt64 {
        self.cluster.counter += 1
        return self.cluster.counter
    }

    func readByIndex(_ request: Request) {
        let context = self.nextContext()
        self.indexReads[context] = .own(request)
        do throws(RaftError) {
            try self.raft.readIndex(context)
        } catch {
            self.indexReads[context] = nil
            self.reply(.notCommitted(leader: self.raft.leader), to: request)
        }
    }

    /// Finds out whether this node leads.
    func confirmLeadership(_ completion: @escaping (Bool) -> Void) {
        let context = self.nextContext()
        do throws(RaftError) {
            try self.raft.readIndex(context)
            self.indexReads[context] = .confirmation(completion)
        } catch {
            completion(false)
        }
    }

    /// A follower wants to know an index.
    func askIndex(_ context: UInt64, for peer: NodeID) {
        let own = self.nextContext()
        do throws(RaftError) {
            try self.raft.readIndex(own)
            self.indexReads[own] = .peer(peer, context: context)
        } catch {
            self.send(.readIndexAnswer(context: context, index: nil), to: peer)
        }
    }

    func gotIndex(_ index: LogIndex?, for context: UInt64) {
        switch self.indexReads.removeValue(forKey: context) {
        case .own(let request):
            guard let index else { return self.reply(.notCommitted(leader: nil), to: request) }
            self.appliedReads.append((index, request))
            self.serveApplied()
        case .peer(let peer, let context): self.send(.readIndexAnswer(context: context, index: index), to: peer)
        case .confirmation(let completion): completion(index != nil)
        case nil: break
        }
    }

    /// Answers reads that waited for what is applied now.
    func serveApplied() {
        guard self.database.isOpen, !self.appliedReads.isEmpty else { return }
        let due = self.appliedReads.filter { $0.index <= self.database.applied }
        self.appliedReads.removeAll { $0.index <= self.database.applied }
        for (_, request) in due {
            let how = request.reading == .anywhere && self.raft.role != .leader ? "followers" : "read index"
            self.database.serve(request, "reads by \(how)")
        }
    }
}
