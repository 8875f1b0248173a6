import DqliteRaft
import TestSupport

@testable import struct DqliteRaft.Raft

/// Nodes with their disks, and what is on its way between them; nothing happens by itself.
final class Stage {
    struct Node {
        var raft: Raft
        let storage: TestStorage
        var applied: [Entry] = []
        /// Nothing becomes durable by itself.
        var diskIsSlow = false
        /// Nothing is applied by itself.
        var isRunning = true
        var clock = MonotonicInstant(.zero)
        var readStates: [ReadState] = []
        var offered: SnapshotMetadata?
        var wantsSnapshot: [NodeID] = []
        var failedPromotion: RaftError?
    }

    struct Flight: Equatable {
        var from: NodeID
        var to: NodeID
        var message: Message
    }

    var nodes: [NodeID: Node] = [:]
    var network: [Flight] = []
    /// Everything that was ever sent.
    var sent: [Flight] = []
    var blocked: Set<[NodeID]> = []
    let settings: RaftSettings
    private let seed: UInt64

    init(settings: RaftSettings = RaftSettings(), seed: UInt64 = 1) {
        self.settings = settings
        self.seed = seed
    }

    /// A cluster of voters, each with entries of given terms after its configuration.
    convenience init(voters: Int, logs: [UInt64: [UInt64]] = [:], settings: RaftSettings = RaftSettings()) {
        self.init(settings: settings)
        let configuration = Configuration.voters(voters)
        for id in 1...UInt64(voters) {
            self.add(NodeID(id), TestStorage(configuration, terms: logs[id] ?? []))
        }
    }

    func add(_ id: NodeID, _ storage: TestStorage) {
        self.nodes[id] = Node(raft: self.start(id, storage, at: MonotonicInstant(.zero)), storage: storage)
    }

    private func start(_ id: NodeID, _ storage: TestStorage, at clock: MonotonicInstant) -> Raft {
        Raft(
            id: id, settings: self.settings,
            start: Raft.Start(
                hardState: storage.hardState, applied: storage.snapshot.index,
                configurations: storage.configurations(through: storage.lastIndex)),
            reader: storage, randomness: SeededRandom(seed: self.seed &+ id.rawValue), now: clock)
    }

    subscript(id: UInt64) -> Node {
        _read { yield self.nodes[NodeID(id)]! }
        _modify { yield &self.nodes[NodeID(id)]! }
    }

    /// Does what a node has to do; its messages are on their way afterwards.
    func process(_ id: NodeID) {
        while var node = self.nodes[id], node.isRunning {
            let ready = node.raft.ready()
            defer { self.nodes[id] = node }
            for envelope in ready.messages {
                let flight = Flight(from: id, to: envelope.to, message: envelope.message)
                self.network.append(flight)
                self.sent.append(flight)
            }
            node.applied += ready.committedEntries
            if let last = ready.committedEntries.last { node.raft.applied(through: last.index) }
            node.readStates += ready.readStates
            node.wantsSnapshot += ready.snapshotsNeeded
            node.offered = ready.snapshot ?? node.offered
            node.failedPromotion = ready.failedPromotion ?? node.failedPromotion
            if let write = ready.write { node.storage.submit(write) }
            if !node.diskIsSlow { Self.persistAll(&node) }
            if ready.isEmpty { return }
        }
    }

    private static func persistAll(_ node: inout Node) {
        while let number = node.storage.performFirst() { node.raft.persisted(through: number) }
    }

    func persist(_ id: NodeID) {
        guard var node = self.nodes[id] else { return }
        Self.persistAll(&node)
        self.nodes[id] = node
        self.process(id)
    }

    func step(_ message: Message, from: UInt64, to: UInt64) {
        self.nodes[NodeID(to)]?.raft.step(message, from: NodeID(from))
        self.process(NodeID(to))
    }

    /// Takes the oldest message off the network, and gives it to whom it is for, if that can be reached.
    func deliverFirst() {
        let flight = self.network.removeFirst()
        guard !self.blocked.contains([flight.from, flight.to]), self.nodes[flight.to]?.isRunning == true else { return }
        self.nodes[flight.to]?.raft.step(flight.message, from: flight.from)
        self.process(flight.to)
    }

    /// Delivers until nothing is on its way.
    func deliver() {
        for id in self.nodes.keys.sorted() { self.process(id) }
        var count = 0
        while !self.network.isEmpty, count < 100_000 {
            self.deliverFirst()
            count += 1
        }
    }

    func tick(_ id: UInt64, times: Int = 1) {
        for _ in 0..<times {
            guard self[id].isRunning else { return }
            self[id].clock = self[id].clock + self.settings.tickInterval
            self[id].raft.tick(now: self[id].clock)
            self.process(NodeID(id))
        }
    }

    /// Time passes for everyone, with everything delivered in between.
    func run(ticks: Int) {
        for _ in 0..<ticks {
            for id in self.nodes.keys.sorted() { self.tick(id.rawValue) }
            self.deliver()
        }
    }

    /// Makes a node lead, whatever the others' timers say.
    func elect(_ id: UInt64) {
        for other in self.nodes.keys { self.forgetLeader(other) }
        self[id].raft.campaign(.preVote)
        self.deliver()
    }

    /// An election timeout passes for a node, as if its leader were silent.
    func forgetLeader(_ id: NodeID) {
        guard var node = self.nodes[id], node.raft.role != .leader else { return }
        node.clock = node.clock + self.settings.tickInterval * (self.settings.electionTicks + 1)
        node.raft.contactSince = node.raft.contactSince ?? node.raft.now
        node.raft.now = node.clock
        self.nodes[id] = node
    }

    func isolate(_ id: NodeID) {
        for other in self.nodes.keys where other != id {
            self.blocked.insert([id, other])
            self.blocked.insert([other, id])
        }
    }

    func crash(_ id: UInt64, after count: Int = 0) {
        self[id].storage.crash(after: count)
        self[id].isRunning = false
        self[id].applied = []
    }

    func restart(_ id: UInt64) {
        let storage = self[id].storage
        var node = Node(raft: self.start(NodeID(id), storage, at: self[id].clock), storage: storage)
        node.clock = self[id].clock
        self.nodes[NodeID(id)] = node
    }
}
