import DqliteRaft
import TestSupport

/// Applying, the overlay, and batches.
extension Node {
    /// Transactions that may wait for the log.
    private static let maximumPending = 200

    func pumpInbox() {
        self.pumpBatches()
        guard self.isAlive, !self.isApplying, !self.inbox.isEmpty else { return }
        self.isApplying = true
        let isSlow = self.cluster.isFaulty && self.cluster.random.once(in: 50)
        self.after(isSlow ? self.plan.slowApplying : self.plan.applying) {
            self.isApplying = false
            guard !self.inbox.isEmpty else { return }
            switch self.inbox.removeFirst() {
            case .role(let state): self.changeRole(state)
            case .entries(let entries): for entry in entries { self.apply(entry) }
            }
        }
    }

    private func changeRole(_ state: SoftState) {
        self.leading = state.role == .leader ? state.term : nil
        if let overlay = self.overlay, overlay.term != self.leading {
            if self.cluster.defect == .overlayOutlivesTerm { return }
            self.doom()
        }
        if self.cluster.defect == .overlayBeforeOwnEntry, let term = self.leading, self.overlay == nil {
            self.overlay = Overlay(term: term)
        }
    }

    /// Throws the overlay away (rule 8).
    private func doom() {
        guard let overlay = self.overlay else { return }
        self.overlay = nil
        for (_, answers) in overlay.inFlight {
            for answer in answers { self.reply(.unknown, to: answer.request) }
        }
        for answer in overlay.unproposed { self.reply(.notCommitted(leader: self.raft.leader), to: answer.request) }
    }

    private func apply(_ entry: Entry) {
        let wasOpen = self.view.isOpen
        self.view.apply(entry.kind == .command ? Command(entry.data) : nil, at: entry.index)
        if self.view.isOpen {
            if !wasOpen { self.cluster.checks.opened(self.view, on: self.id) }
            self.cluster.checks.applied(self.view, on: self.id)
        }
        if entry.term == self.leading, self.overlay == nil { self.overlay = Overlay(term: entry.term) }
        self.answer(entry)
        self.raft.applied(through: entry.index)
        self.serveApplied()
    }

    /// Tells those whose transactions an entry holds.
    private func answer(_ entry: Entry) {
        guard let first = self.overlay?.inFlight.first, first.index <= entry.index else { return }
        self.overlay?.inFlight.removeFirst()
        let isOwn = first.index == entry.index && entry.term == self.overlay?.term
        for answer in first.answers {
            self.reply(
                isOwn || self.cluster.defect == .overlayOutlivesTerm
                    ? .committed(answer.results, version: answer.version) : .unknown, to: answer.request)
        }
    }

    // MARK: Transactions

    func run(_ request: Request) {
        guard self.overlay != nil, self.overlay!.pendingCount < Self.maximumPending, !self.isEnding else {
            return self.reply(.notCommitted(leader: self.raft.leader), to: request)
        }
        let answer = self.overlay!.run(request, shape: self.plan.shape, view: self.view)
        if self.cluster.defect == .answersBeforeCommit {
            self.reply(.committed(answer.results, version: answer.version), to: request)
        }
    }

    private func pumpBatches() {
        while let overlay = self.overlay, overlay.hasUncut,
            overlay.cut.count + overlay.inFlight.count < self.plan.batchesInFlight
        {
            self.overlay?.cutBatch()
            // It goes from the lane's thread to Raft's.
            self.after(.zero...(.microseconds(300))) { self.propose() }
        }
    }

    private func propose() {
        while let overlay = self.overlay, let batch = overlay.cut.first {
            let term = self.cluster.defect == .overlayOutlivesTerm ? self.raft.term : overlay.term
            do throws(RaftError) {
                let index = try self.raft.propose(batch.command.encoded(), term: term)
                self.overlay?.cut.removeFirst()
                self.overlay?.inFlight.append((index, batch.answers))
            } catch {
                switch error {
                case .queueFull, .transferring: self.after(.milliseconds(10)) { self.propose() }
                default: if self.cluster.defect != .overlayOutlivesTerm { self.doom() }
                }
                return
            }
        }
    }
}
