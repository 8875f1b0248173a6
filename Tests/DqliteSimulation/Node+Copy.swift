import DqliteLog
import DqliteRaft

/// A copy of the database on its way to a member that lags.
struct OutgoingCopy {
    var number: UInt64
    var peer: NodeID
    var term: Term
    /// The file had everything through here when it began (X0 of rule 25).
    var start: LogIndex
    var startTerm: Term
    var configuration: (index: LogIndex, configuration: Configuration)
    var pages: [Page] = []
}

/// Copies of the database for members that lag, and from a leader (rule 25).
extension Node {
    // MARK: To a member

    func beginCopy(to peer: NodeID) {
        let start = self.marks.done
        let configuration = self.storage.configurations.last { $0.index <= start }
        guard !self.isInstalling, let term = self.storage.term(at: start), let configuration else {
            return self.after(.milliseconds(100)) { self.raft.reportSnapshot(to: peer, succeeded: false) }
        }
        self.cluster.counter += 1
        let copy = OutgoingCopy(
            number: self.cluster.counter, peer: peer, term: self.raft.term, start: start, startTerm: term,
            configuration: configuration)
        self.copies.append(copy)
        self.continueCopy(copy.number)
    }

    /// Reads some pages of the file, while checkpoints go on.
    private func continueCopy(_ number: UInt64) {
        self.after(.milliseconds(1)...(.milliseconds(20))) {
            guard let place = self.copies.firstIndex(where: { $0.number == number }) else { return }
            guard self.raft.role == .leader, self.raft.term == self.copies[place].term else {
                self.copies.remove(at: place)
                return
            }
            let first = self.copies[place].pages.count
            for page in first..<min(first + 5, self.plan.shape.pageCount) {
                guard let page = try? self.host.files.page(page) else { return self.fail() }
                self.copies[place].pages.append(page)
            }
            if self.copies[place].pages.count < self.plan.shape.pageCount { return self.continueCopy(number) }
            self.sendCopy(self.copies[place])
        }
    }

    private func sendCopy(_ copy: OutgoingCopy) {
        let snapshot = SnapshotMetadata(
            index: copy.start, term: copy.startTerm, configuration: copy.configuration.configuration,
            configurationIndex: copy.configuration.index)
        let intent = self.cluster.defect == .copyWithoutIntent ? copy.start : self.marks.intent
        self.send(
            .copy(InstallSnapshot(term: copy.term, snapshot: snapshot), pages: copy.pages, intent: intent),
            to: copy.peer)
        self.after(.seconds(2)) {
            self.copies.removeAll { $0.number == copy.number }
            guard self.raft.term == copy.term else { return }
            self.raft.reportSnapshot(to: copy.peer, succeeded: false)
        }
    }

    /// What would have to follow it is no longer in the log.
    func giveUpCopy(_ number: UInt64) {
        guard let place = self.copies.firstIndex(where: { $0.number == number }) else { return }
        let copy = self.copies.remove(at: place)
        self.cluster.checks.count("copies given up")
        if self.raft.term == copy.term { self.raft.reportSnapshot(to: copy.peer, succeeded: false) }
    }

    // MARK: From a leader

    /// Raft wants what came with this.
    func beginInstall(_ snapshot: SnapshotMetadata) {
        guard let offered = self.offered, offered.snapshot == snapshot else {
            self.cluster.checks.found("\(self.id) is to install a copy that never came")
            return
        }
        self.offered = nil
        self.isInstalling = true
        self.isCheckpointing = false
        self.generation += 1
        self.cluster.checks.count("copies begun")
        self.cluster.checks.installing(snapshot, on: self.id)
        let copy = DatabaseFiles.Copy(snapshot: snapshot, intent: offered.intent)
        self.whenLaneIsFree {
            self.install([{ try self.host.files.beginIncoming() }]) { self.receive(offered.pages[...], copy) }
        }
    }

    /// A checkpoint may be at its last page.
    private func whenLaneIsFree(_ body: @escaping () -> Void) {
        if self.underWay[Lane.file.rawValue] == nil { return body() }
        self.after(.milliseconds(1)) { self.whenLaneIsFree(body) }
    }

    /// Does steps of an installation, one after the other.
    private func install(_ steps: [() throws -> Void], then: @escaping () -> Void) {
        guard let step = steps.first else { return then() }
        self.work(in: .file) {
            Result { try step() }
        } then: { result in
            guard case .success = result else { return self.fail() }
            self.install(Array(steps.dropFirst()), then: then)
        }
    }

    private func receive(_ pages: ArraySlice<Page>, _ copy: DatabaseFiles.Copy) {
        let files = self.host.files
        let first = pages.startIndex
        let some = pages.prefix(5)
        guard !some.isEmpty else {
            return self.install([{ try files.syncIncoming() }]) { self.waitForWrites { self.settle(copy) } }
        }
        self.install([
            { for (offset, page) in some.enumerated() { try files.writeIncoming(page, at: first + offset) } }
        ]) { self.receive(pages.dropFirst(some.count), copy) }
    }

    /// A copy is installed after all writes that came before it.
    private func waitForWrites(_ body: @escaping () -> Void) {
        if self.isStorageIdle { return body() }
        self.after(.milliseconds(1)) { self.waitForWrites(body) }
    }

    /// Everything is here: it is made the state of this node.
    private func settle(_ copy: DatabaseFiles.Copy) {
        let files = self.host.files
        let snapshot = copy.snapshot
        self.host.copiedThrough = max(self.host.copiedThrough, copy.intent)
        let hasRecord = self.cluster.defect != .copyWithoutRecord
        self.install((hasRecord ? [{ try files.record(copy) }] : []) + [{ try files.placeIncoming() }]) {
            self.offer { log, ticket throws(LogError) in
                try log.cut(to: snapshot.index, term: snapshot.term, ticket: ticket)
            } then: {
                self.settleMarks(copy) {
                    self.install(hasRecord ? [{ try files.forgetCopy() }] : []) { self.installed(copy) }
                }
            }
        }
    }

    private func settleMarks(_ copy: DatabaseFiles.Copy, then: @escaping () -> Void) {
        self.offer { log, ticket throws(LogError) in
            try log.save(copy.configuration, ticket: ticket)
        } then: {
            self.offer { log, ticket throws(LogError) in
                try log.mark(DatabaseFiles.database, copy.marks, ticket: ticket)
            } then: {
                then()
            }
        }
    }

    private func offer(
        _ offer: @escaping (inout SteppedLog, _ ticket: UInt64) throws(LogError) -> Bool, then: @escaping () -> Void
    ) {
        self.offers.append(
            LogOffer(offer: offer, then: then) {
                self.after(.milliseconds(20)) { self.offer(offer, then: then) }
            })
    }

    private func installed(_ copy: DatabaseFiles.Copy) {
        guard let pages = try? self.host.files.pages() else { return self.fail() }
        let snapshot = copy.snapshot
        self.marks = copy.marks
        self.view = View(pages: pages, applied: snapshot.index, opensAt: copy.intent)
        self.inbox.removeAll { if case .entries = $0 { true } else { false } }
        self.isInstalling = false
        self.cluster.trace(self.id, "has a copy of \(snapshot.index), complete at \(copy.intent)")
        self.cluster.checks.count("copies installed")
        if self.view.isOpen { self.cluster.checks.opened(self.view, on: self.id) }
        self.raft.snapshotInstalled(snapshot)
        self.serveApplied()
    }

    /// Goes on with what a crash interrupted after the copy was recorded.
    static func install(_ copy: DatabaseFiles.Copy, _ log: inout SteppedLog, _ files: DatabaseFiles) throws {
        let snapshot = copy.snapshot
        try files.placeIncoming()
        try log.offerNow { (log) throws(LogError) in
            try log.cut(to: snapshot.index, term: snapshot.term, ticket: 0)
        }
        try log.offerNow { (log) throws(LogError) in try log.save(copy.configuration, ticket: 0) }
        try log.offerNow { (log) throws(LogError) in
            try log.mark(DatabaseFiles.database, copy.marks, ticket: 0)
        }
        try files.forgetCopy()
    }
}
