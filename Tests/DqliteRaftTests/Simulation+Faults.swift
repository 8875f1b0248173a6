import DqliteRaft
import TestSupport

/// What clients, operators and bad luck do to a simulated cluster.
extension Simulation {
    func schedule(_ fault: Fault) {
        let interval =
            switch fault {
            case .proposal: self.faults.proposal
            case .read: self.faults.read
            case .crash: self.faults.crash
            case .partition: self.faults.partition
            case .pause: self.faults.pause
            case .transfer: self.faults.transfer
            case .change: self.faults.change
            case .compaction: self.faults.compaction
            }
        guard interval > 0 else { return }
        self.queue.add(.fault(fault), at: self.after(1...2 * interval))
    }

    func happen(_ fault: Fault) {
        var id = self.ids[Int(self.random.next() % UInt64(self.ids.count))]
        // What hits leaders shows most.
        if fault == .crash || fault == .pause, self.random.oneIn(3), let leader = self.anyLeader { id = leader }
        switch fault {
        case .proposal: self.propose()
        case .read:
            for id in self.ids {
                let reading = Reading(acknowledged: self.checks.committedIndex)
                self.queue.add(.read(id, reading), at: self.after(0...3))
            }
        case .crash:
            self.crash(id)
            // Sometimes power goes for many at once.
            if self.random.oneIn(4) {
                for other in self.ids where self.random.oneIn(2) { self.crash(other) }
            }
        case .partition: self.partition()
        case .pause:
            guard self.nodes[id]?.deferred == nil else { return }
            self.nodes[id]?.deferred = []
            self.queue.add(.resume(id), at: self.after(self.faults.paused))
        case .transfer: self.atLeaders { try? $0.raft.transferLeadership(to: nil) }
        case .change: self.change(id)
        case .compaction:
            self.act(id) { node in
                let last = min(node.applied, node.raft.durableIndex)
                node.storage.compact(through: LogIndex(last.rawValue - min(last.rawValue, 3)))
            }
        }
    }

    private var anyLeader: NodeID? { self.ids.first { self.nodes[$0]?.raft.role == .leader } }

    func atLeaders(_ body: (inout Node) -> Void) {
        for id in self.ids where self.nodes[id]?.raft.role == .leader && self.nodes[id]?.deferred == nil {
            self.act(id, body)
        }
    }

    private func propose() {
        self.atLeaders { node in
            self.counter += 1
            _ = try? node.raft.propose(Array("\(self.counter)".utf8), term: node.raft.term)
        }
    }

    /// Cuts the cluster in two, or a leader off, or some directions between two nodes; or heals everything.
    private func partition() {
        self.blocked = []
        switch self.random.next() % 6 {
        case 0: return
        case 3:
            let id = self.ids[Int(self.random.next() % UInt64(self.ids.count))]
            if let leader = self.anyLeader { self.blocked = [[leader, id], [id, leader]] }
        case 2:
            for id in self.ids {
                guard let leader = self.anyLeader, id != leader else { continue }
                self.blocked.insert([leader, id])
                self.blocked.insert([id, leader])
            }
        case 1:
            for from in self.ids {
                for to in self.ids where self.random.oneIn(5) { self.blocked.insert([from, to]) }
            }
        default:
            let side = Set(self.ids.filter { _ in self.random.oneIn(2) })
            for from in self.ids {
                for to in self.ids where side.contains(from) != side.contains(to) { self.blocked.insert([from, to]) }
            }
        }
    }

    private func change(_ id: NodeID) {
        let roles: [Configuration.Role] = [.voter, .voter, .voter, .standBy, .spare]
        let role = roles[Int(self.random.next() % 5)]
        let removes = self.random.oneIn(4)
        self.atLeaders { node in
            let change: ConfigurationChange =
                if node.raft.configuration[id] == nil {
                    .add(id, address: "node-\(id)")
                } else if removes {
                    .remove(id)
                } else {
                    .assign(id, role)
                }
            _ = try? node.raft.proposeConfiguration(change, term: node.raft.term)
        }
    }

    /// Everything is well again: all run, all are connected, nothing is lost. Then one node leads, and what it commits reaches
    /// every member.
    func healAndConverge() {
        self.isCalm = true
        self.blocked = []
        for id in self.ids {
            if self.nodes[id]?.deferred != nil { self.queue.add(.resume(id), at: self.now) }
            if self.nodes[id]?.isUp == false { self.queue.add(.restart(id), at: self.now) }
        }
        let before = self.checks.committedIndex
        self.run(until: self.now + 2500)
        guard self.checks.violation == nil else { return }
        let leaders = self.nodes.values.filter { $0.raft.role == .leader }
        guard let leader = leaders.max(by: { $0.raft.term < $1.raft.term }), self.checks.committedIndex > before else {
            return self.checks.found("nothing is committed although all is well")
        }
        for server in leader.raft.configuration.servers where server.role != .spare {
            guard let node = self.nodes[server.id] else { continue }
            if node.applied.advanced(by: 20) < self.checks.committedIndex {
                self.checks.found("\(server.id) is at \(node.applied) of \(self.checks.committedIndex)")
            }
        }
    }
}

extension Simulation {
    /// What each node thinks, for whoever looks into a failure.
    var report: String {
        self.ids.compactMap { id in
            self.nodes[id].map { node in
                let raft = node.raft
                let servers = raft.configuration.servers.map { "\($0.id)\($0.role)" }.joined(separator: " ")
                return "\(id): \(raft.role) of \(raft.leader.map(\.description) ?? "nobody") in \(raft.term), up to "
                    + "\(raft.lastIndex) (\(raft.durableIndex) durable, \(raft.commitIndex) committed), [\(servers)]"
            }
        }.joined(separator: "\n")
    }
}
