import DqliteLog
import DqliteRaft
import TestSupport

/// A model of the engine: applying, the overlay, and batches.
final class ModelDatabase: NodeDatabase {
    /// Transactions that may wait for the log.
    private static let maximumPending = 200

    /// Work that comes in order.
    private enum Work {
        case role(SoftState)
        case entries([Entry])
    }

    unowned var node: Node!
    let files: DatabaseFiles
    let shape: DatabaseShape
    var view: View
    var marks: CheckpointMarks
    var isCheckpointing = false
    /// Counts what makes checkpoints that are under way meaningless.
    var generation = 0
    private var inbox: [Work] = []
    private var isApplying = false
    /// The term that this node leads in, as far as the database knows.
    private var leading: Term?
    private var overlay: Overlay?

    /// Starts on what the disk holds.
    init(_ host: Host, marks: CheckpointMarks, in cluster: Cluster) throws {
        self.files = host.files
        self.shape = cluster.plan.shape
        self.marks = marks
        self.view = View(
            pages: try Self.pages(in: host.files), applied: marks.done,
            opensAt: cluster.defect == .opensBeforeIntent ? marks.done : marks.intent)
    }

    private static func pages(in files: DatabaseFiles) throws -> [Page] { Page.pages(try files.content() ?? []) }

    var cluster: Cluster { self.node.cluster }
    var plan: Plan { self.node.plan }
    var applied: LogIndex { self.view.applied }
    var isOpen: Bool { self.view.isOpen }
    var pageSize: Int { Page.size }
    var pieceSize: Int { 5 * Page.size }

    func check() { if self.view.isOpen { self.cluster.checks.opened(self.view, on: self.node.id) } }

    func difference(at committed: LogIndex) -> String? {
        guard self.view.isOpen, self.view.applied == committed else {
            return "\(self.node.id) has applied \(self.view.applied) of \(committed)"
        }
        if self.view.pages != self.cluster.checks.pages {
            self.cluster.checks.found("\(self.node.id) has other pages at the end")
        }
        return nil
    }

    func checkAtEnd() {}
    func end() {}

    /// A copy has what they hold.
    func dropEntries() { self.inbox.removeAll { if case .entries = $0 { true } else { false } } }

    func changeRole(_ state: SoftState) { self.inbox.append(.role(state)) }
    func commit(_ entries: [Entry]) { self.inbox.append(.entries(entries)) }

    func pump() {
        self.pumpBatches()
        guard self.node.isAlive, !self.isApplying, !self.inbox.isEmpty else { return }
        self.isApplying = true
        let isSlow = self.cluster.isFaulty && self.cluster.random.once(in: 50)
        self.node.after(isSlow ? self.plan.slowApplying : self.plan.applying) {
            self.isApplying = false
            guard !self.inbox.isEmpty else { return }
            switch self.inbox.removeFirst() {
            case .role(let state): self.changedRole(state)
            case .entries(let entries): for entry in entries { self.apply(entry) }
            }
        }
    }

    private func changedRole(_ state: SoftState) {
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
            for answer in answers { self.node.reply(.unknown, to: answer.request) }
        }
        for answer in overlay.unproposed {
            self.node.reply(.notCommitted(leader: self.node.raft.leader), to: answer.request)
        }
    }

    private func apply(_ entry: Entry) {
        let wasOpen = self.view.isOpen
        self.view.apply(entry.kind == .command ? Command(entry.data) : nil, at: entry.index)
        if self.view.isOpen {
            if !wasOpen { self.cluster.checks.opened(self.view, on: self.node.id) }
            self.cluster.checks.applied(self.view, on: self.node.id)
        }
        if entry.term == self.leading, self.overlay == nil { self.overlay = Overlay(term: entry.term) }
        self.answer(entry)
        self.node.raft.applied(through: entry.index)
        self.node.serveApplied()
    }

    /// Tells those whose transactions an entry holds.
    private func answer(_ entry: Entry) {
        guard let first = self.overlay?.inFlight.first, first.index <= entry.index else { return }
        self.overlay?.inFlight.removeFirst()
        let isOwn = first.index == entry.index && entry.term == self.overlay?.term
        for answer in first.answers {
            self.node.reply(
                isOwn || self.cluster.defect == .overlayOutlivesTerm
                    ? .committed(answer.results, version: answer.version) : .unknown, to: answer.request)
        }
    }

    // MARK: Transactions

    func run(_ request: Request) {
        guard self.overlay != nil, self.overlay!.pendingCount < Self.maximumPending, !self.node.isEnding else {
            return self.node.reply(.notCommitted(leader: self.node.raft.leader), to: request)
        }
        let answer = self.overlay!.run(request, shape: self.plan.shape, view: self.view)
        if self.cluster.defect == .answersBeforeCommit {
            self.node.reply(.committed(answer.results, version: answer.version), to: request)
        }
    }

    private func pumpBatches() {
        while let overlay = self.overlay, overlay.hasUncut,
            overlay.cut.count + overlay.inFlight.count < self.plan.batchesInFlight
        {
            self.overlay?.cutBatch()
            // It goes from the lane's thread to Raft's.
            self.node.after(.zero...(.microseconds(300))) { self.propose() }
        }
    }

    private func propose() {
        while let overlay = self.overlay, let batch = overlay.cut.first {
            let term = self.cluster.defect == .overlayOutlivesTerm ? self.node.raft.term : overlay.term
            do throws(RaftError) {
                let index = try self.node.raft.propose(batch.command.encoded(), term: term)
                self.overlay?.cut.removeFirst()
                self.overlay?.inFlight.append((index, batch.answers))
            } catch {
                switch error {
                case .queueFull, .transferring: self.node.after(.milliseconds(10)) { self.propose() }
                default: if self.cluster.defect != .overlayOutlivesTerm { self.doom() }
                }
                return
            }
        }
    }
}

/// Reads.
extension ModelDatabase {
    /// Opens a snapshot, and then looks whether this node still leads (rule 28).
    func readByLease(_ request: Request) {
        guard self.view.isOpen else { return self.node.readByIndex(request) }
        let snapshot = self.view
        let judge = {
            if self.node.raft.holdsLease(at: self.node.instant, applied: snapshot.applied) {
                self.serve(request, from: snapshot, "reads by lease")
            } else {
                self.node.readByIndex(request)
            }
        }
        if self.cluster.random.once(in: 2) { judge() } else { self.node.after(.zero...(.milliseconds(1)), judge) }
    }

    func serve(_ request: Request, _ how: String) { self.serve(request, from: self.view, how) }

    private func serve(_ request: Request, from view: View, _ how: String) {
        self.cluster.checks.count(how)
        let (results, version) = request.transaction.run(on: self.plan.shape) {
            view.pages[$0]
        } write: { _, _ in
        }
        self.node.reply(.committed(results, version: version), to: request)
    }
}
