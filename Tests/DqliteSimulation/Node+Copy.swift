import DqliteLog
import DqliteRaft

/// A copy of the database on its way to a member that lags.
struct OutgoingCopy {
    var number: UInt64
    var peer: NodeID
    var term: Term
    /// It begins where the file had everything (X0 of rule 25).
    var source: any CopySource
    var startTerm: Term
    var configuration: (index: LogIndex, configuration: Configuration)
    var content: [UInt8] = []
}

/// Copies of the database for members that lag, and from a leader (rule 25).
extension Node {
    // MARK: To a member

    func beginCopy(to peer: NodeID) {
        self.cluster.counter += 1
        let number = self.cluster.counter
        guard !self.isInstalling, let source = self.database.beginCopy(number),
            let term = self.storage.term(at: source.start),
            let configuration = self.storage.configurations.last(where: { $0.index <= source.start })
        else { return self.after(.milliseconds(100)) { self.raft.reportSnapshot(to: peer, succeeded: false) } }
        let copy = OutgoingCopy(
            number: number, peer: peer, term: self.raft.term, source: source, startTerm: term,
            configuration: configuration)
        self.copies.append(copy)
        self.continueCopy(number)
    }

    /// Reads a piece of the file, while checkpoints go on.
    private func continueCopy(_ number: UInt64) {
        self.after(.milliseconds(1)...(.milliseconds(20))) {
            guard let place = self.copies.firstIndex(where: { $0.number == number }) else { return }
            guard self.raft.role == .leader, self.raft.term == self.copies[place].term else {
                self.copies.remove(at: place)
                return
            }
            do {
                self.copies[place].content += try self.copies[place].source.read()
                if !self.copies[place].source.isComplete { return self.continueCopy(number) }
                try self.sendCopy(self.copies[place])
            } catch {
                self.fail()
            }
        }
    }

    private func sendCopy(_ copy: OutgoingCopy) throws {
        let snapshot = SnapshotMetadata(
            index: copy.source.start, term: copy.startTerm, configuration: copy.configuration.configuration,
            configurationIndex: copy.configuration.index)
        self.send(
            .copy(
                InstallSnapshot(term: copy.term, snapshot: snapshot), content: copy.content,
                intent: try copy.source.end()),
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
        self.database.release()
        self.cluster.checks.count("copies begun")
        self.cluster.checks.installing(snapshot, on: self.id)
        let copy = DatabaseFiles.Copy(snapshot: snapshot, intent: offered.intent)
        self.whenLaneIsFree {
            self.install([{ try self.host.files.beginIncoming(size: offered.content.count) }]) {
                self.receive(offered.content[...], copy)
            }
        }
    }

    /// Cuts off the head of the log what neither the file, nor a member seen lately, nor a copy needs.
    ///
    /// - Parameter saved: The file lacks nothing through here.
    func releaseLog(through saved: LogIndex) {
        var needs = LogNeeds(checkpoints: saved)
        for peer in self.raft.peers where peer.isRecentlyActive && !peer.needsSnapshot {
            needs.holders[.follower(peer.id)] = peer.match
        }
        for copy in self.copies { needs.holders[.stream(copy.number)] = copy.source.start }
        let truncation = self.storage.log.truncateHead(needs)
        for case .stream(let number) in truncation.dropped { self.giveUpCopy(number) }
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

    private func receive(_ content: ArraySlice<UInt8>, _ copy: DatabaseFiles.Copy) {
        let files = self.host.files
        let first = content.startIndex
        let some = content.prefix(self.database.pieceSize)
        guard !some.isEmpty else {
            return self.install([{ try files.syncIncoming() }]) { self.waitForWrites { self.settle(copy) } }
        }
        let size = self.database.pageSize
        self.install([
            {
                for page in stride(from: first, to: some.endIndex, by: size) {
                    try files.writeIncoming(Array(some[page..<min(page + size, some.endIndex)]), at: page)
                }
            }
        ]) { self.receive(content.dropFirst(some.count), copy) }
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
        guard (try? self.database.use(copy)) != nil else { return self.fail() }
        let snapshot = copy.snapshot
        self.isInstalling = false
        self.cluster.trace(self.id, "has a copy of \(snapshot.index), complete at \(copy.intent)")
        self.cluster.checks.count("copies installed")
        self.database.check()
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
