import DqliteRaft

/// One life of a cluster, from a seed.
package struct Trial {
    /// What came of it.
    package struct Result: Sendable {
        package var seed: UInt64
        /// What was found that must never be; nil: nothing.
        package var violation: String?
        /// Simulated time.
        package var time: VirtualTime
        /// How long it took until all was well after faults had stopped.
        package var convergence: VirtualTime
        package var counts: [String: Int]
        /// The same for the same seed.
        package var digest: UInt64
        /// What each node thought at the end.
        package var nodes: [String]
    }

    private let cluster: Cluster
    private var convergence = VirtualTime.zero

    /// - Parameters:
    ///   - plan: nil: drawn from the seed.
    ///   - reduction: What is left out of what was drawn.
    ///   - usesEngine: Whether databases are the engine's, unless the plan says so.
    ///   - tracer: Told what happens.
    package init(
        seed: UInt64, plan: Plan? = nil, reduction: Reduction = Reduction(), defect: Defect? = nil,
        usesEngine: Bool = false, tracer: ((String) -> Void)? = nil
    ) {
        let plan = plan ?? Self.plan(seed: seed, defect: defect, usesEngine: usesEngine, reduction: reduction)
        self.cluster = Cluster(seed: seed, plan: plan, defect: defect, tracer: tracer)
    }

    /// What a seed means.
    static func plan(seed: UInt64, defect: Defect?, usesEngine: Bool, reduction: Reduction = Reduction()) -> Plan {
        var plan = defect?.plan(seed: seed) ?? Plan(seed: seed)
        if usesEngine { plan = plan.withEngine() }
        reduction.apply(to: &plan)
        return plan
    }

    package mutating func run() -> Result {
        let cluster = self.cluster
        cluster.run(until: cluster.plan.duration)
        if !cluster.checks.hasViolation { self.converge() }
        if !cluster.checks.hasViolation { self.readAll() }
        if !cluster.checks.hasViolation { self.checkHistory() }
        if !cluster.checks.hasViolation { self.checkDatabases() }
        let nodes = cluster.hosts.map { "node \($0.id): " + ($0.node?.summary ?? "down") }
        // Who has an engine holds files.
        for host in cluster.hosts { host.end() }
        return Result(
            seed: cluster.seed, violation: cluster.checks.violation, time: cluster.now,
            convergence: self.convergence, counts: cluster.checks.counts, digest: cluster.checks.digest,
            nodes: nodes)
    }

    /// Faults stop. Then one node leads, what clients ask is done, and every member has all that is committed.
    private mutating func converge() {
        let cluster = self.cluster
        let start = cluster.now
        let before = cluster.checks.counts["requests committed", default: 0]
        cluster.calm()
        while true {
            cluster.run(until: cluster.now + .milliseconds(200))
            if cluster.checks.hasViolation { return }
            let served = cluster.checks.counts["requests committed", default: 0] - before
            if served > 20, cluster.now - start > .seconds(1) { cluster.areClientsActive = false }
            let problem = served <= 20 ? "clients are not served" : self.difference
            guard let problem else { break }
            if cluster.now - start > cluster.plan.convergence {
                return cluster.checks.found("\(problem), \(cluster.plan.convergence) s after all faults have stopped")
            }
        }
        self.convergence = cluster.now - start
    }

    /// Why the cluster is not of one mind; nil: it is.
    private var difference: String? {
        guard self.cluster.areClientsIdle else { return "clients wait" }
        guard let leader = self.cluster.leader?.node else { return "nobody leads" }
        let committed = self.cluster.checks.committedIndex
        guard leader.raft.commitIndex == committed, leader.raft.lastIndex == committed else {
            return "the leader is at \(leader.raft.commitIndex) of \(committed)"
        }
        for server in leader.raft.configuration.servers where server.role != .spare {
            guard let node = self.cluster.hosts[Int(server.id.rawValue) - 1].node else { return "\(server.id) is down" }
            if let difference = node.database.difference(at: committed) { return difference }
        }
        return nil
    }

    /// What is there at the end, as a client sees it.
    private func readAll() {
        let cluster = self.cluster
        let shape = cluster.plan.shape
        let steps = (0..<shape.lists).map { Step.readList($0) } + (0..<shape.registers).map { Step.readRegister($0) }
        let transaction = Transaction(id: cluster.history.nextID, steps: steps)
        cluster.history.invoke(transaction, at: cluster.now)
        guard let host = cluster.leader else { return cluster.checks.found("nobody leads") }
        cluster.ask(Request(client: -1, transaction: transaction, reading: .readIndex), of: host.place)
        cluster.run(until: cluster.now + .seconds(1))
        if case .unknown = cluster.history.operations[Int(transaction.id)].outcome {
            cluster.checks.found("the last read is not answered")
        }
    }

    private func checkDatabases() {
        guard let leader = self.cluster.leader?.node else { return }
        for server in leader.raft.configuration.servers where server.role != .spare {
            self.cluster.hosts[Int(server.id.rawValue) - 1].node?.database.checkAtEnd()
        }
    }

    private func checkHistory() {
        if let problem = self.cluster.history.violation() { self.cluster.checks.found(problem) }
    }
}
