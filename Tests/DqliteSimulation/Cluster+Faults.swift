import DqliteLog
import DqliteRaft
import LogSimulation
import TestSupport

/// What goes wrong, and what operators do.
extension Cluster {
    func scheduleFaults() {
        let plan = self.plan
        self.repeats(plan.network.partitionInterval) { $0.divideNetwork() }
        self.repeats(plan.network.flapInterval) { cluster in
            cluster.network.flap(at: cluster.now, random: &cluster.random)
        }
        self.repeats(plan.storage.failureInterval) { $0.breakDisk() }
        self.repeats(plan.storage.fullInterval) { $0.fillDisk() }
        self.repeats(plan.crashes.interval) { $0.crashSome() }
        self.repeats(plan.crashes.pauseInterval) { $0.pauseOne() }
        self.repeats(.seconds(5)) { cluster in
            for host in cluster.hosts { cluster.replaceClock(of: host) }
        }
        self.repeats(plan.transferInterval) { cluster in
            cluster.atLeaders { node in
                let target =
                    cluster.random.once(in: 2) ? nil : NodeID(UInt64(cluster.random.below(cluster.hosts.count)) + 1)
                guard (try? node.raft.transferLeadership(to: target)) != nil else { return }
                cluster.checks.count("transfers")
                cluster.trace(node.id, "hands leadership over")
            }
        }
        self.repeats(plan.changeInterval) { $0.changeMembers() }
    }

    private func repeats(_ interval: VirtualTime?, _ fault: @escaping (Cluster) -> Void) {
        guard let interval else { return }
        self.after(.microseconds(1)...(interval * 2)) { [unowned self] in
            guard self.isFaulty else { return }
            fault(self)
            self.repeats(interval, fault)
        }
    }

    private func divideNetwork() {
        let division = self.random.pick(self.plan.network.divisions)
        self.network.divide(division, around: self.leader?.place, random: &self.random)
        self.checks.count("divisions of the network")
        self.trace(nil, "the network is divided: \(division)")
    }

    /// A node leads, and has said nothing yet.
    func elected(_ node: Node) {
        self.checks.elected(node.raft)
        self.checkLeases(against: node)
        if self.random.happens(onceIn: self.plan.network.electionDivisions) { self.divideNetwork() }
    }

    /// There may be several who believe that they lead.
    private func atLeaders(_ body: @escaping (Node) -> Void) {
        for host in self.hosts {
            guard let node = host.node, node.raft.role == .leader else { continue }
            host.run(node) { body(node) }
        }
    }

    /// One of all; what hits leaders shows most.
    private func victim() -> Host {
        guard let leader = self.leader else { return self.random.pick(self.hosts) }
        if self.plan.crashes.leaders == 0 {
            let others = self.hosts.filter { $0 !== leader }
            return others.isEmpty ? leader : self.random.pick(others)
        }
        return self.random.once(in: self.plan.crashes.leaders) ? leader : self.random.pick(self.hosts)
    }

    private func crashSome() {
        let isMass = self.random.happens(onceIn: self.plan.crashes.massCrashes)
        let power = !self.random.happens(onceIn: self.plan.crashes.kills)
        let victim = self.victim()
        for host in self.hosts where host === victim || (isMass && self.random.once(in: 2)) {
            self.crash(host, power: power)
        }
    }

    private func pauseOne() {
        let host = self.victim()
        guard host.node != nil, !host.isPaused else { return }
        self.trace(host.id, "stands still")
        self.checks.count("pauses")
        host.pause()
        let node = host.node
        self.after(self.plan.crashes.paused) { [unowned self] in
            guard host.node === node, host.isPaused else { return }
            self.trace(host.id, "goes on")
            host.resume(seed: self.random.next())
        }
    }

    private func breakDisk() {
        let disk = self.random.pick(self.random.pick(self.hosts).disks)
        if self.random.once(in: 2) {
            disk.faults.syncsToFailure = self.random.below(5)
        } else {
            disk.faults.writesToFailure = self.random.below(5)
        }
    }

    /// There is no room for another segment for a while.
    private func fillDisk() {
        let host = self.victim()
        self.trace(host.id, "has a full disk")
        host.logDisk.faults.capacity = self.random.below(2 * self.plan.log.segmentSize)
        self.after(.milliseconds(100)...(.seconds(10))) { host.logDisk.faults.capacity = .max }
    }

    private func changeMembers() {
        let id = NodeID(UInt64(self.random.below(self.hosts.count)) + 1)
        let isDemotion = self.random.happens(onceIn: self.plan.demotions)
        let role = isDemotion ? self.random.pick([nil, .standBy, .spare]) : Configuration.Role.voter
        self.atLeaders { node in
            let change: ConfigurationChange =
                if node.raft.configuration[id] == nil {
                    .add(id, address: "node-\(id)")
                } else if let role {
                    .assign(id, role)
                } else {
                    .remove(id)
                }
            guard (try? node.raft.proposeConfiguration(change, term: node.raft.term)) != nil else { return }
            self.trace(node.id, "proposes to \(change)")
        }
    }
}
