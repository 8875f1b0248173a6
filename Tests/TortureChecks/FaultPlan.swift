import TestSupport

/// What befalls the nodes, one after the other. The same seed gives the same plan.
package struct FaultPlan: Sendable {
    /// Faults that begin together, and the calm after them.
    package struct Step: Hashable, Sendable {
        package var faults: [Fault]
        package var calm: Duration
    }

    private let kinds: [Fault.Kind]
    private let nodes: Int
    private var random: SeededRandom

    package init(seed: UInt64, nodes: Int, kinds: Set<Fault.Kind>) {
        // A node alone has nobody to be cut off from, or to give the leadership to.
        let alone: Set<Fault.Kind> = [.kill, .stop, .restart, .disk]
        self.kinds = Fault.Kind.allCases.filter { kinds.contains($0) && (nodes > 1 || alone.contains($0)) }
        self.nodes = nodes
        self.random = SeededRandom(seed: seed)
    }

    /// What comes next. nil: nothing is allowed.
    package mutating func next() -> Step? {
        guard !self.kinds.isEmpty else { return nil }
        var faults = [self.fault()]
        // Misfortunes come together sometimes.
        if self.random.once(in: 4) {
            let second = self.fault()
            if second.kind != faults[0].kind { faults.append(second) }
        }
        return Step(faults: faults, calm: .milliseconds(500 + self.random.below(3000)))
    }

    private mutating func fault() -> Fault {
        let lasting = Duration.milliseconds(100 + self.random.below(4900))
        switch self.kinds[self.random.below(self.kinds.count)] {
        case .kill: return .kill(self.target(many: true), down: .milliseconds(self.random.below(2000)))
        case .stop: return .stop(self.target(many: false), lasting: lasting)
        case .restart: return .restart(self.target(many: true))
        case .transfer: return .transfer
        case .partition: return .partition(self.partition(), lasting: lasting)
        case .flap:
            return .flap(self.partition(), every: .milliseconds(50 + self.random.below(500)), lasting: lasting)
        case .delay:
            return .delay(self.target(many: true), by: .milliseconds(1 + self.random.below(150)), lasting: lasting)
        case .disk:
            // Long enough for the log to want another file.
            return .disk(self.target(many: true), lasting: .milliseconds(2000 + self.random.below(12000)))
        }
    }

    private mutating func target(many: Bool) -> Fault.Target {
        switch self.random.below(10) {
        case 0..<5: .leader
        case 5 where many: .majority
        case 6 where many: .all
        default: .node(self.random.below(self.nodes))
        }
    }

    private mutating func partition() -> Partition {
        let shapes = Partition.Shape.allCases
        let manners = Partition.Manner.allCases
        return Partition(
            shapes[self.random.below(shapes.count)], self.target(many: false), manners[self.random.below(2)])
    }
}
