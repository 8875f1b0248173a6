import DqliteRaft
import TestSupport

@testable import struct DqliteRaft.Raft
@testable import struct DqliteRaft.RaftDefects

/// How often what goes wrong; times are milliseconds of the simulation, and zero means never.
struct Faults {
    /// One in so many messages is lost, or comes twice, or comes late.
    var loss = 20
    var duplication = 20
    var lateness = 30
    /// How long messages and writes take, and late ones.
    var delay = 1...8
    var lateDelay = 20...150
    var write = 0...10
    var slowWrite = 20...200
    /// The average time between two of these.
    var proposal = 12
    var read = 15
    var crash = 400
    var down = 5...300
    var partition = 500
    var pause = 700
    var paused = 20...250
    var transfer = 900
    var change = 300
    var compaction = 200
}

/// A cluster on one thread and one made-up clock, with everything that can go wrong between and under its nodes; the same seed
/// plays the same. `checks` finds what must never happen.
final class Simulation {
    enum Event {
        case deliver(Stage.Flight)
        case tick(NodeID)
        case written(NodeID, life: Int)
        case installed(NodeID, SnapshotMetadata, life: Int)
        case snapshotTimedOut(NodeID, peer: NodeID)
        case resume(NodeID)
        case restart(NodeID)
        case read(NodeID, Reading)
        case fault(Fault)
    }

    enum Fault: CaseIterable { case proposal, read, crash, partition, pause, transfer, change, compaction }

    /// A read: what was acknowledged to anybody when it was asked.
    struct Reading {
        var acknowledged: LogIndex
    }

    struct Node {
        var raft: Raft
        let storage: TestStorage
        /// Counts restarts, so that what belongs to an earlier life is ignored.
        var life = 0
        var isUp = true
        var isWriting = false
        /// Events of a paused node, which happen when it goes on.
        var deferred: [Event]?
        var applied = LogIndex.zero
        var reads: [UInt64: Reading] = [:]
        var known: (term: Term, isLeader: Bool) = (.zero, false)
    }

    static let tick = 10
    let seed: UInt64
    let faults: Faults
    let settings: RaftSettings
    let defects: RaftDefects
    var random: SeededRandom
    var now = 0
    var queue = EventQueue<Event>()
    var nodes: [NodeID: Node] = [:]
    var ids: [NodeID] = []
    var blocked: Set<[NodeID]> = []
    var isCalm = false
    var checks = SimulationChecks()
    var counter: UInt64 = 0

    static var settings: RaftSettings {
        var settings = RaftSettings()
        settings.tickInterval = .milliseconds(Self.tick)
        settings.electionTicks = 5
        settings.maximumMessageSize = 100
        settings.maximumInflightMessages = 4
        settings.maximumCacheSize = 200
        settings.catchUpTicks = 50
        return settings
    }

    init(
        seed: UInt64, voters: Int, others: Int, faults: Faults = Faults(), settings: RaftSettings = Simulation.settings,
        defects: RaftDefects = []
    ) {
        self.seed = seed
        self.faults = faults
        self.defects = defects
        self.random = SeededRandom(seed: seed)
        self.settings = settings
        for place in 1...voters + others {
            let id = NodeID(UInt64(place))
            let storage = TestStorage(place <= voters ? .voters(voters) : nil)
            self.ids.append(id)
            self.nodes[id] = Node(raft: self.start(id, storage), storage: storage)
            self.queue.add(.tick(id), at: Int.random(in: 1...Self.tick, using: &self.random))
        }
        self.checks.known(Configuration.voters(voters))
        for fault in Fault.allCases { self.schedule(fault) }
    }

    private func start(_ id: NodeID, _ storage: TestStorage) -> Raft {
        var raft = Raft(
            id: id, settings: self.settings,
            start: Raft.Start(
                hardState: storage.hardState, applied: storage.snapshot.index,
                configurations: storage.configurations(through: storage.lastIndex)),
            reader: storage, randomness: SeededRandom(seed: self.random.next()), now: self.instant)
        raft.defects = self.defects
        return raft
    }

    var instant: MonotonicInstant { MonotonicInstant(.milliseconds(self.now)) }

    func after(_ delay: ClosedRange<Int>) -> Int { self.now + Int.random(in: delay, using: &self.random) }

    /// Plays until a time, or until something is found that must never happen.
    func run(until end: Int) {
        while self.checks.violation == nil, let event = self.queue.next(before: end) {
            self.now = event.time
            self.handle(event.value)
        }
        self.now = end
    }

    private func handle(_ event: Event) {
        switch event {
        case .fault(let fault):
            if !self.isCalm || fault == .proposal || fault == .read { self.happen(fault) }
            self.schedule(fault)
        case .resume(let id):
            let deferred = self.nodes[id]?.deferred ?? []
            self.nodes[id]?.deferred = nil
            // What waited came over several connections, and their order means nothing.
            for event in deferred.shuffled(using: &self.random) { self.handle(event) }
        case .restart(let id): self.restart(id)
        case .tick(let id):
            self.queue.add(event, at: self.now + Self.tick)
            // Late ticks are not made up for.
            if self.nodes[id]?.deferred != nil { return }
            self.act(id) { $0.raft.tick(now: self.instant) }
        case .deliver(let flight):
            if self.nodes[flight.to]?.deferred != nil { return self.deferEvent(event, of: flight.to) }
            self.act(flight.to) { $0.raft.step(flight.message, from: flight.from) }
        case .read(let id, let reading):
            if self.nodes[id]?.deferred != nil { return self.deferEvent(event, of: id) }
            self.act(id) { self.read(reading, &$0) }
        case .written(let id, let life):
            if self.nodes[id]?.deferred != nil { return self.deferEvent(event, of: id) }
            self.act(id) { node in
                guard node.life == life else { return }
                node.isWriting = false
                if let number = node.storage.performFirst() { node.raft.persisted(through: number) }
            }
        case .installed(let id, let snapshot, let life):
            if self.nodes[id]?.deferred != nil { return self.deferEvent(event, of: id) }
            self.act(id) { node in
                guard node.life == life else { return }
                while let number = node.storage.performFirst() { node.raft.persisted(through: number) }
                node.storage.install(snapshot)
                node.raft.snapshotInstalled(snapshot)
                self.checks.installed(snapshot, on: id)
                node.applied = snapshot.index
            }
        case .snapshotTimedOut(let id, let peer):
            self.act(id) { $0.raft.reportSnapshot(to: peer, succeeded: false) }
        }
    }

    private func deferEvent(_ event: Event, of id: NodeID) { self.nodes[id]?.deferred?.append(event) }

    /// Lets a node do something, and what follows from it.
    func act(_ id: NodeID, _ body: (inout Node) -> Void) {
        guard var node = self.nodes.removeValue(forKey: id) else { return }
        if node.isUp {
            body(&node)
            self.process(id, &node)
        }
        self.nodes[id] = node
    }

    private func process(_ id: NodeID, _ node: inout Node) {
        while self.checks.violation == nil {
            let ready = node.raft.ready()
            self.checks.observe(node.raft, before: node.known)
            node.known = (node.raft.term, node.raft.role == .leader)
            for envelope in ready.messages {
                self.send(Stage.Flight(from: id, to: envelope.to, message: envelope.message))
            }
            if let write = ready.write {
                self.checks.write(write, storage: node.storage)
                node.storage.submit(write)
            }
            if !node.isWriting, !node.storage.pending.isEmpty {
                node.isWriting = true
                let delay = self.random.oneIn(20) && !self.isCalm ? self.faults.slowWrite : self.faults.write
                self.queue.add(.written(id, life: node.life), at: self.after(delay))
            }
            for entry in ready.committedEntries {
                self.checks.applied(entry, on: id, after: node.applied, term: node.raft.term)
                node.applied = entry.index
            }
            node.raft.applied(through: node.applied)
            for state in ready.readStates {
                guard let reading = node.reads.removeValue(forKey: state.context), let index = state.index else {
                    continue
                }
                self.checks.served(index, reading, by: id, how: "a read index")
            }
            for peer in ready.snapshotsNeeded { self.sendSnapshot(from: id, node, to: peer) }
            if let snapshot = ready.snapshot {
                self.queue.add(.installed(id, snapshot, life: node.life), at: self.after(5...40))
            }
            if ready.isEmpty { return }
        }
    }

    private func send(_ flight: Stage.Flight) {
        guard !self.blocked.contains([flight.from, flight.to]) else { return }
        if self.isCalm { return self.queue.add(.deliver(flight), at: self.after(self.faults.delay)) }
        guard !self.random.oneIn(self.faults.loss) else { return }
        for _ in 0..<(self.random.oneIn(self.faults.duplication) ? 2 : 1) {
            let isLate = self.random.oneIn(self.faults.lateness)
            self.queue.add(.deliver(flight), at: self.after(isLate ? self.faults.lateDelay : self.faults.delay))
        }
    }

    private func sendSnapshot(from id: NodeID, _ node: Node, to peer: NodeID) {
        let request = InstallSnapshot(term: node.raft.term, snapshot: node.storage.snapshot)
        self.send(Stage.Flight(from: id, to: peer, message: .installSnapshot(request)))
        self.queue.add(.snapshotTimedOut(id, peer: peer), at: self.now + 120)
    }

    private func read(_ reading: Reading, _ node: inout Node) {
        guard node.raft.role == .leader else { return }
        if node.raft.holdsLease(at: self.instant) {
            self.checks.served(node.applied, reading, by: node.raft.id, how: "a lease")
        } else {
            self.counter += 1
            if (try? node.raft.readIndex(self.counter)) != nil { node.reads[self.counter] = reading }
        }
    }

    private func restart(_ id: NodeID) {
        guard let node = self.nodes[id], !node.isUp else { return }
        var started = Node(raft: self.start(id, node.storage), storage: node.storage)
        started.life = node.life + 1
        started.applied = node.storage.snapshot.index
        self.nodes[id] = started
    }

    func crash(_ id: NodeID) {
        guard self.nodes[id]?.isUp == true else { return }
        self.nodes[id]?.storage.crash(after: self.random.oneIn(2) ? 0 : Int(self.random.next() % 4))
        self.nodes[id]?.isUp = false
        self.queue.add(.restart(id), at: self.after(self.faults.down))
    }
}

/// What will happen, by time, and of one time in the order in which it was planned.
struct EventQueue<Value> {
    private var heap: [(time: Int, order: Int, value: Value)] = []
    private var order = 0

    mutating func add(_ value: Value, at time: Int) {
        self.order += 1
        self.heap.append((time, self.order, value))
        var place = self.heap.count - 1
        while place > 0, self.isBefore(place, (place - 1) / 2) {
            self.heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    mutating func next(before end: Int) -> (time: Int, value: Value)? {
        guard let first = self.heap.first, first.time < end else { return nil }
        self.heap.swapAt(0, self.heap.count - 1)
        self.heap.removeLast()
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < self.heap.count && self.isBefore(child, least) {
                least = child
            }
            if least == place { return (first.time, first.value) }
            self.heap.swapAt(place, least)
            place = least
        }
    }

    private func isBefore(_ one: Int, _ other: Int) -> Bool {
        (self.heap[one].time, self.heap[one].order) < (self.heap[other].time, self.heap[other].order)
    }
}
