import DqliteRaft
import LogSimulation
import TestSupport

/// A machine: what survives the end of its process.
final class Host {
    let place: Int
    let logDisk: SimulatedDisk
    let files: DatabaseFiles
    let directory = EngineDirectory()
    var clock: DriftingClock
    /// What runs; nil: nothing.
    var node: Node?
    /// What a process that stands still would have done; nil: it runs.
    private var deferred: [() -> Void]?
    /// Everything through here came with a copy.
    var copiedThrough = LogIndex.zero

    init(place: Int, seed: UInt64, plan: Plan, clock: DriftingClock) {
        self.place = place
        self.logDisk = SimulatedDisk(seed: seed)
        self.files = DatabaseFiles(disk: SimulatedDisk(seed: seed ^ 0xf11e))
        self.clock = clock
        if !plan.usesEngine { self.files.begin(plan.shape) }
    }

    var id: NodeID { NodeID(UInt64(self.place) + 1) }
    var disks: [SimulatedDisk] { [self.logDisk, self.files.disk] }
    var isPaused: Bool { self.deferred != nil }

    /// Lets a node do something now, or when it goes on.
    func run(_ node: Node, _ body: @escaping () -> Void) {
        guard self.node === node else { return }
        if self.deferred != nil {
            self.deferred?.append { self.run(node, body) }
        } else {
            body()
            node.pump()
        }
    }

    func pause() { if self.node != nil, self.deferred == nil { self.deferred = [] } }

    /// What waited came over several connections and from several threads, and its order means nothing.
    func resume(seed: UInt64) {
        var random = Chance(seed: seed)
        let deferred = (self.deferred ?? []).shuffled(using: &random)
        self.deferred = nil
        for action in deferred { action() }
    }

    /// The process is no more.
    func end() {
        self.node?.end()
        self.node = nil
        self.deferred = nil
    }
}
