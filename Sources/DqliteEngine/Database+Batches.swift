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
        while let cut = self.nextBatch(), self.offer(cut) {}
        let (generation, hasOverlay, wantsRebuild, isBusy, holdsWriters) = self.state.withLock {
            (
                $0.generation, $0.hasOverlay, $0.checkpoint.wantsRebuild, $0.inFlight > 0 || $0.held != nil,
                $0.checkpoint.holdsWriters || $0.isPaused
            )
        }
        if hasOverlay, !self.pager.hasOverlay {
            let loss = OverlayLoss.noSpace("there is no memory for what was written to \(self.name)")
            // Unless it is being thrown away, which the state says only when that is done.
            if self.doomOverlay(loss, generation: generation) {
                self.parts.events(.overlayLost(database: self.name, reason: loss.text))
            }
        } else if hasOverlay, wantsRebuild {
            // Somebody reads an older snapshot of the overlay: later.
            if self.pager.rebuildOverlay().value != SQLITE_BUSY {
                self.state.withLock { $0.checkpoint.wantsRebuild = false }
            }
        }
        if holdsWriters { return false }
        return !isBusy || self.pager.uncutPages < self.parts.configuration.maximumTransactionSize / 4096
    }

    /// A batch, and what it was cut from.
    private struct Cut {
        var batch: Batch
        /// In which this node led then.
        var term: Term
        var generation: UInt64
        /// The newest transaction that was offered before.
        var previous: UInt64
    }

    /// Cuts a batch, if one may be on its way now.
    private func nextBatch() -> Cut? {
        self.state.withLock { state in
            guard state.hasOverlay, let term = state.term, state.inFlight < self.parts.configuration.batchesInFlight,
                let batch = state.held.take() ?? self.pager.cut()
            else { return nil }
            let previous = state.proposedSequence
            state.inFlight += 1
            state.proposedSequence = batch.lastSequence
            return Cut(batch: batch, term: term, generation: state.generation, previous: previous)
        }
    }

    /// - Returns: Whether the next one may follow at once.
    private func offer(_ cut: Cut) -> Bool {
        let (batch, term) = (cut.batch, cut.term)
        guard let command = try? FramesCommand.bytes(of: batch, in: self.name) else {
            preconditionFailure("the name of a database is a text without NUL, and its page size is constant")
        }
        do throws(ProposalRefusal) {
            // The batch knows the term of its overlay: pages made under one leader are never offered under another.
            guard batch.term == term.rawValue || self.parts.configuration.defects.contains(.ignoresTerm) else {
                throw .notLeader
            }
            try self.parts.replicator.propose(command, term: term) { self.completed(cut, $0) }
            return true
        } catch {
            self.refused(cut, because: error)
            return false
        }
    }

    /// A batch was not accepted, and never will be committed, unless it may be offered again.
    private func refused(_ cut: Cut, because refusal: ProposalRefusal) {
        let loss = OverlayLoss(refusal)
        let dropped = self.state.withLock { state -> [Gates.Waiter]? in
            state.proposedSequence = cut.previous
            state.inFlight -= 1
            if refusal == .queueFull, state.hasOverlay, state.term?.rawValue == cut.batch.term {
                state.held = cut.batch
                return nil
            }
            // At once: while this batch counted as on its way no other overlay could begin.
            return state.gates.take(above: cut.previous)
        }
        guard let dropped else { return self.callAgain(at: self.parts.clock.now + .milliseconds(2)) }
        // Batches go in the order of their cuts, without a gap: nothing of this overlay can follow.
        self.doomOverlay(
            loss, generation: cut.generation, endingTerm: refusal == .notLeader ? Term(cut.batch.term) : nil)
        for waiter in dropped { waiter.session.commitReached(waiter.ticket, .dropped(loss)) }
        self.parts.events(.overlayLost(database: self.name, reason: loss.text))
    }

    /// A batch is committed, and everything before it was applied; or nobody here will know.
    private func completed(_ cut: Cut, _ result: Result<LogIndex, ReplicationFailure>) {
        let batch = cut.batch
        switch result {
        case .success(let index):
            let code = self.pager.apply(batch, at: index.rawValue)
            guard code.value == SQLITE_OK else {
                let text = "entry \(index) could not be applied to \(self.path): \(code.text)"
                self.lose(cut, .failed(text))
                return self.parts.events(.failed(EngineError(code: UInt64(code.value), message: text)))
            }
            self.noteExistence()
            let (waiters, alarm) = self.state.withLock { state in
                state.inFlight -= 1
                let alarm = state.applied(
                    index, now: self.parts.clock.now, idleLimit: self.parts.configuration.checkpointIdleLimit)
                // Of an overlay that is gone: the sequence numbers of another one may be further.
                state.appliedSequence = max(state.appliedSequence, batch.lastSequence)
                return (state.gates.take(through: state.appliedSequence), alarm)
            }
            // The next batch is on its way before anybody is told of this one. What ends later the lane sees itself.
            if self.lane.isHalted || self.pager.uncutPages > 0 { self.lane.wake() }
            for waiter in waiters { waiter.session.commitReached(waiter.ticket, .committed) }
            self.applied(alarm: alarm)
        case .failure(let failure):
            self.lose(cut, OverlayLoss(failure))
        }
        self.quiet.withLock { self.quiet.broadcast() }
    }

    /// Nobody here will know what becomes of a batch.
    private func lose(_ cut: Cut, _ loss: OverlayLoss) {
        self.doomOverlay(loss, generation: cut.generation, endingTerm: Term(cut.batch.term))
        let waiters = self.state.withLock { state in
            state.inFlight -= 1
            return state.gates.take(through: cut.batch.lastSequence)
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

    /// What became of a transaction of an overlay, as far as it is known now.
    func outcome(of sequence: UInt64, in generation: UInt64) -> WriteOutcome {
        self.state.withLock { state in
            guard state.generation == generation || (!state.hasOverlay && state.generation == generation + 1) else {
                return .unknown
            }
            if sequence <= state.appliedSequence { return .committed }
            return sequence > state.proposedSequence && !state.hasOverlay ? .notCommitted : .unknown
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
        let now = self.parts.clock.now
        self.applied(alarm: self.state.withLock { $0.applied(index, now: now, idleLimit: idleLimit) })
    }
}
