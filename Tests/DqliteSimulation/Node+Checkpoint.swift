import DqliteLog
import DqliteRaft

/// Checkpoints: intent, pages, sync, done, and then the head of the log (rules 2, 22 and 23).
extension Node {
    func checkpointLater(_ interval: VirtualTime) {
        self.after(.microseconds(interval.microseconds / 2)...interval) {
            self.checkpoint()
            self.checkpointLater(interval)
        }
    }

    private func checkpoint() {
        guard !self.isCheckpointing, !self.isInstalling, !self.isEnding, self.view.isOpen,
            self.underWay[Lane.file.rawValue] == nil
        else { return }
        let beyond = self.cluster.defect == .checkpointBeyondDurable
        let target = beyond ? self.view.applied : min(self.view.applied, self.storage.log.durableIndex)
        guard target > self.marks.done else { return }
        let images = self.view.images(through: target)
        self.isCheckpointing = true
        self.cluster.checks.count("checkpoints")
        let generation = self.generation
        let write = { self.writePages(images[...], through: target, generation) }
        if self.cluster.defect == .pagesBeforeIntent { write() }
        self.mark(CheckpointMarks(intent: max(target, self.marks.intent), done: self.marks.done), generation) {
            if self.cluster.defect != .pagesBeforeIntent { write() }
        }
    }

    /// Makes marks durable.
    private func mark(_ marks: CheckpointMarks, _ generation: Int, then: @escaping () -> Void) {
        self.marks.intent = max(self.marks.intent, marks.intent)
        self.offers.append(
            LogOffer { log, ticket throws(LogError) in
                try log.mark(DatabaseFiles.database, marks, ticket: ticket)
            } then: {
                guard self.generation == generation else { return }
                self.marks = marks
                then()
            } refused: {
                if self.generation == generation { self.isCheckpointing = false }
            })
    }

    private func writePages(
        _ images: ArraySlice<(number: Int, page: Page)>, through target: LogIndex, _ generation: Int
    ) {
        guard self.generation == generation else { return }
        guard let (number, page) = images.first else { return self.syncPages(through: target, generation) }
        self.work(in: .file) {
            Result { try self.host.files.write(page, at: number) }
        } then: { result in
            guard case .success = result else { return self.fail() }
            self.writePages(images.dropFirst(), through: target, generation)
        }
    }

    private func syncPages(through target: LogIndex, _ generation: Int) {
        let marks = CheckpointMarks(intent: max(target, self.marks.intent), done: target)
        if self.cluster.defect == .doneBeforeSync {
            return self.mark(marks, generation) { self.done(through: target) }
        }
        self.work(in: .file) {
            Result { try self.host.files.sync() }
        } then: { result in
            guard case .success = result else { return self.fail() }
            guard self.generation == generation else { return }
            self.mark(marks, generation) { self.done(through: target) }
        }
    }

    private func done(through target: LogIndex) {
        self.view.saved(through: target)
        self.isCheckpointing = false
        self.releaseLog()
    }

    /// Cuts off the head of the log what neither the file, nor a member seen lately, nor a copy needs.
    private func releaseLog() {
        let done = self.cluster.defect == .releasesTooMuch ? self.view.applied : self.marks.done
        var needs = LogNeeds(checkpoints: done)
        for peer in self.raft.peers where peer.isRecentlyActive && !peer.needsSnapshot {
            needs.holders[.follower(peer.id)] = peer.match
        }
        for copy in self.copies { needs.holders[.stream(copy.number)] = copy.start }
        let truncation = self.storage.log.truncateHead(needs)
        for case .stream(let number) in truncation.dropped { self.giveUpCopy(number) }
    }
}
