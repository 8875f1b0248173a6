import DqliteLog
import DqliteRaft
import TestSupport

/// The process of a node, from its start to its end: what acts for Raft, log and database, with all that takes time taking
/// made-up time.
final class Node {
    /// What takes time, one piece after the other in each.
    enum Lane: Int, CaseIterable { case term, log, file }

    unowned let cluster: Cluster
    let host: Host
    let storage: NodeLog
    var raft: Raft
    let database: any NodeDatabase
    var known: (term: Term, isLeader: Bool) = (.zero, false)
    private(set) var isEnding = false
    /// Whether somebody who catches up waits.
    private var isResting = false

    // Storage.
    var writes: [StorageWrite] = []
    var progress = WriteProgress()
    /// Writes that the log has accepted, and the last ticket of each.
    var accepted: [(number: UInt64, ticket: UInt64)] = []
    var lastTicket: UInt64 = 0
    var finishedTicket: UInt64 = 0
    /// What wants to be told that something in the log is durable.
    var waiting: [UInt64: () -> Void] = [:]
    var offers: [LogOffer] = []
    var isRetrying = false
    /// What is being done in each lane: its effect on the disks.
    var underWay: [(() -> Void)?] = [nil, nil, nil]

    // Copies.
    var copies: [OutgoingCopy] = []
    var offered: (snapshot: SnapshotMetadata, content: [UInt8], intent: LogIndex)?
    var isInstalling = false

    // Requests.
    /// Reads that wait for an index, by what they are called.
    var indexReads: [UInt64: IndexRead] = [:]
    /// Reads that wait until something is applied.
    var appliedReads: [(index: LogIndex, request: Request)] = []

    var id: NodeID { self.host.id }
    var plan: Plan { self.cluster.plan }
    var isAlive: Bool { self.host.node === self }
    var instant: MonotonicInstant { self.host.clock.instant(at: self.cluster.now) }

    /// Starts on what the disks hold.
    init(_ host: Host, in cluster: Cluster) throws {
        self.cluster = cluster
        self.host = host
        var log = try SteppedLog(
            fileSystem: host.logDisk, configuration: cluster.plan.log, newLogID: UInt64(host.place) + 7)
        if let copy = try host.files.recorded() { try Self.install(copy, &log, host.files) }
        try host.files.clean()
        let marks = log.checkpoints[DatabaseFiles.database] ?? CheckpointMarks()
        self.storage = NodeLog(log)
        self.database =
            if cluster.plan.usesEngine {
                try EngineDatabase(host, marks: marks, log: self.storage, in: cluster)
            } else {
                try ModelDatabase(host, marks: marks, in: cluster)
            }
        let applied = self.database.applied
        let configurations = self.storage.configurations
        let newest = configurations.lastIndex { $0.index <= applied } ?? 0
        self.raft = Raft(
            id: host.id, settings: cluster.plan.raft,
            start: Raft.Start(
                hardState: log.hardState, applied: applied,
                configurations: Array(configurations.dropFirst(newest))),
            reader: self.storage, randomness: SeededRandom(seed: cluster.random.next()),
            now: host.clock.instant(at: cluster.now))
        if let defect = cluster.defect { self.raft.defects = defect.ofRaft }
        cluster.checks.started(
            host.id, log: log, marks: marks, copiedThrough: host.copiedThrough,
            configurations: configurations)
        self.database.node = self
        self.database.check()
        self.storage.isSlow = { [unowned cluster] in cluster.isFaulty && cluster.random.once(in: 10) }
        self.storage.failed = { [unowned cluster, unowned self] in
            cluster.checks.found("\(host.id) cannot read its log: \($0)")
            self.fail()
        }
    }

    /// Begins to live.
    func run() {
        self.tickLater()
        self.database.run()
        self.pump()
    }

    /// The process is no more: what would have been done keeps nothing of it.
    func end() {
        self.database.end()
        self.offers = []
        self.waiting = [:]
        self.indexReads = [:]
        self.copies = []
        self.underWay = [nil, nil, nil]
    }

    // MARK: Time

    /// Does something after a while, if this process lives then.
    func after(_ span: VirtualTime, _ body: @escaping () -> Void) {
        self.cluster.queue.add(at: self.cluster.now + span) { [self] in self.host.run(self, body) }
    }

    func after(_ range: ClosedRange<VirtualTime>, _ body: @escaping () -> Void) {
        self.after(self.cluster.random.time(in: range), body)
    }

    private func tickLater() {
        let interval = Int(self.plan.raft.tickInterval / .microseconds(1))
        self.after(self.host.clock.span(of: .microseconds(interval))) {
            self.raft.tick(now: self.instant)
            self.tickLater()
        }
    }

    /// Does something in a lane, which takes a while, and can be torn by a crash.
    func work<Result>(
        in lane: Lane, _ effect: @escaping () -> Result, then: @escaping (Result) -> Void
    ) {
        precondition(self.underWay[lane.rawValue] == nil, "a lane does one thing after the other")
        self.underWay[lane.rawValue] = { _ = effect() }
        let storage = self.plan.storage
        let isSlow = self.cluster.isFaulty && self.cluster.random.happens(onceIn: storage.slowness)
        self.after(isSlow ? storage.slowStep : storage.step) {
            self.underWay[lane.rawValue] = nil
            then(effect())
        }
    }

    // MARK: Raft

    func receive(_ message: PeerMessage, from sender: NodeID) {
        switch message {
        case .raft(let message): self.raft.step(message, from: sender)
        case .copy(let request, let content, let intent):
            if !self.isInstalling { self.offered = (request.snapshot, content, intent) }
            self.raft.step(.installSnapshot(request), from: sender)
        case .readIndex(let context): self.askIndex(context, for: sender)
        case .readIndexAnswer(let context, let index): self.gotIndex(index, for: context)
        }
    }

    /// Does what Raft wants, until it wants nothing more.
    func pump() {
        while self.isAlive, !self.cluster.checks.hasViolation {
            let ready = self.raft.ready()
            if self.raft.role == .leader, self.known != (self.raft.term, true) {
                self.cluster.elected(self)
            }
            self.known = (self.raft.term, self.raft.role == .leader)
            self.handle(ready)
            self.pumpStorage()
            self.database.pump()
            if ready.isEmpty { break }
        }
        self.restBeforeCatchUp()
    }

    /// Who catches up gets more after a rest.
    private func restBeforeCatchUp() {
        guard !self.isResting, self.raft.waitsToCatchUp else { return }
        self.isResting = true
        self.after(.zero...(.milliseconds(50))) {
            self.isResting = false
            self.cluster.checks.count("rests of who catches up")
            self.raft.continueCatchUp()
            self.pump()
        }
    }

    private func handle(_ ready: Ready) {
        if let state = ready.softState {
            self.cluster.trace(self.id, "is \(state.role) in \(state.term)")
            self.database.changeRole(state)
        }
        if let write = ready.write {
            let before = write.entries.first.flatMap { self.raft.term(at: $0.index.previous) }
            self.cluster.checks.write(write, termBefore: before)
            self.writes.append(write)
        }
        for envelope in ready.messages { self.send(.raft(envelope.message), to: envelope.to) }
        if !ready.committedEntries.isEmpty {
            self.cluster.checks.committed(ready.committedEntries, on: self.id, term: self.raft.term)
            self.database.commit(ready.committedEntries)
        }
        for state in ready.readStates { self.gotIndex(state.index, for: state.context) }
        for peer in ready.snapshotsNeeded { self.beginCopy(to: peer) }
        if let snapshot = ready.snapshot { self.beginInstall(snapshot) }
        if ready.failedPromotion != nil { self.cluster.checks.count("promotions given up") }
    }

    func trace(_ what: @autoclosure () -> String) { self.cluster.trace(self.id, what()) }

    func send(_ message: PeerMessage, to peer: NodeID) { self.cluster.send(message, from: self.id, to: peer) }

    /// Storage has failed: the node says nothing more for a while, and ends.
    func fail() {
        guard !self.isEnding else { return }
        self.isEnding = true
        self.cluster.trace(self.id, "storage has failed")
        self.cluster.checks.count("failures of disks")
        self.raft.storageFailed()
        self.after(.zero...(.seconds(1))) { self.cluster.crash(self.host, power: false) }
    }
}
