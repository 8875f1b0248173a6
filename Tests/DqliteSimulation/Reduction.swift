import DqliteRaft

extension Plan {
    /// A kind of what goes wrong, or of what operators do.
    package enum Fault: String, CaseIterable, Sendable {
        case loss, duplication, lateness, partitions, flaps, slowness, brokenDisks, fullDisks, crashes, pauses, drift
        case transfers, changes
    }

    /// The same without a kind of fault.
    package mutating func remove(_ fault: Fault) {
        switch fault {
        case .loss: self.network.loss = 0
        case .duplication: self.network.duplication = 0
        case .lateness: self.network.lateness = 0
        case .partitions:
            self.network.partitionInterval = nil
            self.network.electionDivisions = 0
        case .flaps: self.network.flapInterval = nil
        case .slowness:
            self.storage.slowness = 0
            self.slowApplying = self.applying
        case .brokenDisks: self.storage.failureInterval = nil
        case .fullDisks: self.storage.fullInterval = nil
        case .crashes: self.crashes.interval = nil
        case .pauses: self.crashes.pauseInterval = nil
        case .drift: self.crashes.drift = 0
        case .transfers: self.transferInterval = nil
        case .changes: self.changeInterval = nil
        }
    }
}

/// What is left out of the life that a seed means.
package struct Reduction: Hashable, Sendable {
    /// Faults that do not happen.
    package var without: [Plan.Fault] = []
    /// nil: as many as the plan has.
    package var clients: Int?
    /// How long faults last, in seconds. nil: as the plan says.
    package var duration: Int?

    package init(without: [Plan.Fault] = [], clients: Int? = nil, duration: Int? = nil) {
        self.without = without
        self.clients = clients
        self.duration = duration
    }

    package func apply(to plan: inout Plan) {
        for fault in self.without { plan.remove(fault) }
        if let clients = self.clients { plan.clients = clients }
        if let duration = self.duration { plan.duration = .seconds(duration) }
    }

    /// As the simulator takes it from the command line.
    package var arguments: String {
        var arguments = ""
        if !self.without.isEmpty { arguments += " --without " + self.without.map(\.rawValue).joined(separator: ",") }
        if let clients = self.clients { arguments += " --clients \(clients)" }
        if let duration = self.duration { arguments += " --duration \(duration)" }
        return arguments
    }
}

/// Looks for the smallest life of a seed in which something is found: fewer kinds of faults, fewer clients, less time. What is
/// found may be something else then; it must not be either.
package struct Shrinking {
    package private(set) var reduction: Reduction
    /// What is found in it.
    package private(set) var result: Trial.Result
    private let defect: Defect?
    private let usesEngine: Bool

    /// - Parameters:
    ///   - result: What was found with a reduction.
    ///   - limit: How long it may take.
    package init(
        _ result: Trial.Result, reduction: Reduction, defect: Defect?, usesEngine: Bool, limit: Duration
    ) {
        self.reduction = reduction
        self.result = result
        self.defect = defect
        self.usesEngine = usesEngine
        let clock = ContinuousClock()
        let end = clock.now + limit
        var hasProgressed = true
        while hasProgressed, clock.now < end {
            hasProgressed = false
            for smaller in self.smaller where clock.now < end {
                if self.fails(smaller) { hasProgressed = true }
            }
        }
    }

    /// What one step makes of it.
    private var smaller: [Reduction] {
        var candidates: [Reduction] = []
        let plan = Trial.plan(
            seed: self.result.seed, defect: self.defect, usesEngine: self.usesEngine, reduction: self.reduction)
        let time = self.result.time.microseconds / 1_000_000 + 1
        if time < plan.duration.microseconds / 1_000_000 {
            candidates.append(
                Reduction(without: self.reduction.without, clients: self.reduction.clients, duration: time))
        }
        for fault in Plan.Fault.allCases where !self.reduction.without.contains(fault) {
            candidates.append(Reduction(without: [fault]))
        }
        for clients in [1, 2, 3] where clients < plan.clients { candidates.append(Reduction(clients: clients)) }
        return candidates
    }

    /// Takes a step if something is found after it too.
    private mutating func fails(_ step: Reduction) -> Bool {
        var reduction = self.reduction
        reduction.without += step.without.filter { !reduction.without.contains($0) }
        reduction.clients = step.clients.map { min($0, reduction.clients ?? $0) } ?? reduction.clients
        reduction.duration = step.duration.map { min($0, reduction.duration ?? $0) } ?? reduction.duration
        guard reduction != self.reduction else { return false }
        var trial = Trial(
            seed: self.result.seed, reduction: reduction, defect: self.defect, usesEngine: self.usesEngine)
        let result = trial.run()
        guard result.violation != nil else { return false }
        self.reduction = reduction
        self.result = result
        return true
    }
}
