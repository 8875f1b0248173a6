import DqliteRaft
import TestSupport

/// A read that waits for its index.
enum IndexRead {
    case own(Request)
    /// Of a follower, and what it calls it.
    case peer(NodeID, context: UInt64)
}

/// What clients ask for.
extension Node {
    func receive(_ request: Request) {
        self.cluster.trace(self.id, "is asked \(request.transaction.id) \(request.reading)")
        guard request.transaction.isReadOnly else { return self.run(request) }
        guard self.raft.role == .leader || request.reading == .anywhere else {
            return self.reply(.notCommitted(leader: self.raft.leader), to: request)
        }
        switch request.reading {
        case .lease: self.readByLease(request)
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

    /// Opens a snapshot, and then looks whether this node still leads (rule 28).
    private func readByLease(_ request: Request) {
        guard self.view.isOpen else { return self.readByIndex(request) }
        let snapshot = self.view
        let judge = {
            if self.raft.holdsLease(at: self.instant, applied: snapshot.applied) {
                self.serve(request, from: snapshot, "reads by lease")
            } else {
                self.readByIndex(request)
            }
        }
        if self.cluster.random.once(in: 2) { judge() } else { self.after(.zero...(.milliseconds(1)), judge) }
    }

    private func readByIndex(_ request: Request) {
        let context = self.nextContext()
        self.indexReads[context] = .own(request)
        do throws(RaftError) {
            try self.raft.readIndex(context)
        } catch {
            self.indexReads[context] = nil
            self.reply(.notCommitted(leader: self.raft.leader), to: request)
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
        case nil: break
        }
    }

    /// Answers reads that waited for what is applied now.
    func serveApplied() {
        guard self.view.isOpen, !self.appliedReads.isEmpty else { return }
        let due = self.appliedReads.filter { $0.index <= self.view.applied }
        self.appliedReads.removeAll { $0.index <= self.view.applied }
        for (_, request) in due {
            let how = request.reading == .anywhere && self.raft.role != .leader ? "followers" : "read index"
            self.serve(request, from: self.view, "reads by \(how)")
        }
    }

    private func serve(_ request: Request, from view: View, _ how: String) {
        self.cluster.checks.count(how)
        let (results, version) = request.transaction.run(on: self.plan.shape) {
            view.pages[$0]
        } write: { _, _ in
        }
        self.reply(.committed(results, version: version), to: request)
    }
}
