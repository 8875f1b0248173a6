internal import CReplicaPager
internal import CSQLite
internal import DqliteProtocol
internal import DqliteRaft
internal import Synchronization

/// How what transactions did on the overlay gets into the log, and from there into the committed view.
extension Database {
    /// Offers what waits to be replicated, and builds the overlay anew if that is due. Called in the lane, between two
    /// transactions.
    ///
    /// - Returns: Whether the overlay takes more transactions now. If not, the lane is woken later.
    func lookAfterOverlay() -> Bool {
        while let (batch, term, previous) = self.nextBatch() { self.offer(batch, in: term, after: previous) }
        if self.state.withLock({ $0.checkpoint.wantsRebuild && $0.hasOverlay }) {
            // Somebody reads an older snapshot of the overlay: later.
            if self.pager.rebuildOverlay().value != SQLITE_BUSY {
                self.state.withLock { $0.checkpoint.wantsRebuild = false }
            }
        }
        let (isBusy, holdsWriters) = self.state.withLock {
            ($0.inFlight > 0 || $0.held != nil, $0.checkpoint.holdsWriters)
        }
        if holdsWriters { return false }
        return !isBusy || self.pager.uncutPages < self.parts.configuration.maximumTransactionSize / 4096
    }

    /// Cuts a batch, if one may be on its way now.
    private func nextBatch() -> (Batch, Term, previous: UInt64)? {
        self.state.withLock { state in
            guard state.hasOverlay, let term = state.term, state.inFlight < self.parts.configuration.batchesInFlight,
                let batch = state.held.take() ?? self.pager.cut()
            else { return nil }
            let previous = state.proposedSequence
            state.inFlight += 1
            state.proposedSequence = batch.lastSequence
            return (batch, term, previous)
        }
    }

    private func offer(_ batch: Batch, in term: Term, after previous: UInt64) {
        guard let command = try? FramesCommand.bytes(of: batch, in: self.name) else {
            preconditionFailure("the name of a database is a text without NUL, and its page size is constant")
        }
        do throws(ProposalRefusal) {
            // The batch knows the term of its overlay: pages made under one leader are never offered under another.
            guard batch.term == term.rawValue || self.parts.configuration.defects.contains(.ignoresTerm) else {
                throw .notLeader
            }
            try self.parts.replicator.propose(command, term: term) { self.completed(batch, $0) }
        } catch {
            self.refused(batch, because: error, after: previous)
        }
    }

    /// A batch was not accepted, and never will be committed, unless it may be offered again.
    private func refused(_ batch: Batch, because refusal: ProposalRefusal, after previous: UInt64) {
        let loss = OverlayLoss(refusal)
        let dropped = self.state.withLock { state -> [Gates.Waiter]? in
            state.proposedSequence = previous
            state.inFlight -= 1
            if refusal == .queueFull, state.hasOverlay, state.term?.rawValue == batch.term {
                state.held = batch
                return nil
            }
            // At once: while this batch counted as on its way no other overlay could begin.
            return state.gates.take(above: previous)
        }
        guard let dropped else { return self.parts.clock.schedule(self, at: .now + .milliseconds(2)) }
        // Batches go in the order of their cuts, without a gap: nothing of this overlay can follow.
        self.doomOverlay(loss, endsTerm: refusal == .notLeader)
        for waiter in dropped { waiter.session.commitReached(waiter.ticket, .dropped(loss)) }
        self.parts.events(.overlayLost(database: self.name, reason: loss.text))
    }

    /// A batch is committed, and everything before it was applied; or nobody here will know.
    private func completed(_ batch: Batch, _ result: Result<LogIndex, ReplicationFailure>) {
        switch result {
        case .success(let index):
            let code = self.pager.apply(batch, at: index.rawValue)
            guard code.value == SQLITE_OK else {
                let text = "entry \(index) could not be applied to \(self.path): \(code.text)"
                self.lose(batch, .failed(text))
                return self.parts.events(.failed(EngineError(code: UInt64(code.value), message: text)))
            }
            self.noteExistence()
            let (waiters, alarm) = self.state.withLock { state in
                state.inFlight -= 1
                let alarm = state.applied(index, idleLimit: self.parts.configuration.checkpointIdleLimit)
                // Of an overlay that is gone: the sequence numbers of another one may be further.
                state.appliedSequence = max(state.appliedSequence, batch.lastSequence)
                return (state.gates.take(through: state.appliedSequence), alarm)
            }
            // The next batch is on its way before anybody is told of this one. What ends later the lane sees itself.
            if self.lane.isHalted || self.pager.uncutPages > 0 { self.lane.wake() }
            for waiter in waiters { waiter.session.commitReached(waiter.ticket, .committed) }
            self.applied(alarm: alarm)
        case .failure(let failure):
            self.lose(batch, OverlayLoss(failure))
        }
        self.quiet.withLock { self.quiet.broadcast() }
    }

    /// Nobody here will know what becomes of a batch.
    private func lose(_ batch: Batch, _ loss: OverlayLoss) {
        self.doomOverlay(loss, endsTerm: true)
        let waiters = self.state.withLock { state in
            state.inFlight -= 1
            return state.gates.take(through: batch.lastSequence)
        }
        for waiter in waiters { waiter.session.commitReached(waiter.ticket, .unknown(loss)) }
        self.lane.wake()
    }

    // MARK: Answers that wait

    func isApplied(_ sequence: UInt64) -> Bool { self.state.withLock { sequence <= $0.appliedSequence } }

    /// Has a session told when everything up to `sequence` of an overlay is committed and applied.
    ///
    /// - Returns: What is known already; nil: ``EngineSession/commitReached(_:_:)`` is called.
    func awaitCommit(
        through sequence: UInt64, of generation: UInt64, for session: EngineSession, _ ticket: UInt64
    ) -> CommitOutcome? {
        let loss = self.lastLoss
        return self.state.withLock { state in
            if state.generation == generation {
                if sequence <= state.appliedSequence { return .committed }
            } else {
                // Another overlay has begun: what became of that one's last batches was told to who was waiting.
                if state.hasOverlay || state.generation != generation + 1 { return .unknown(loss) }
                if sequence > state.proposedSequence { return .dropped(loss) }
                if sequence <= state.appliedSequence { return .committed }
                // All that was on its way is decided, and this was not applied.
                if state.inFlight == 0 { return .unknown(loss) }
            }
            state.gates.insert(Gates.Waiter(sequence: sequence, session: session, ticket: ticket))
            return nil
        }
    }

    // MARK: Entries from elsewhere

    /// Applies an entry that this node did not make, or made before it was started again. There is no overlay.
    func apply(_ pages: [rp_page_image], at index: LogIndex) throws(EngineError) {
        // The file has it, or this was done before.
        if index <= self.state.withLock({ $0.appliedIndex }) { return }
        // Pages come in faster than the disk takes them.
        self.quiet.withLock {
            while self.state.withLock({ $0.checkpoint.holdsWriters }) { _ = self.quiet.wait(atMost: .seconds(1)) }
        }
        let code = self.pager.apply(pages, at: index.rawValue)
        guard code.value == SQLITE_OK else {
            throw EngineError(
                code: UInt64(code.value), message: "entry \(index) cannot be applied to \(self.path): \(code.text)")
        }
        self.noteExistence()
        let idleLimit = self.parts.configuration.checkpointIdleLimit
        self.applied(alarm: self.state.withLock { $0.applied(index, idleLimit: idleLimit) })
    }
}
