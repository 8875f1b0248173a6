import DqliteLog
import DqliteRaft
import LogSimulation
import TestSupport

/// A whole cluster in one thread and made-up time, with all that can go wrong between and under its nodes, and clients. The
/// same seed plays the same.
final class Cluster {
    let seed: UInt64
    private(set) var plan: Plan
    let defect: Defect?
    var random: Chance
    var now = VirtualTime.zero
    var queue = EventQueue()
    var network: Network
    private(set) var hosts: [Host] = []
    private var clients: [Client] = []
    var checks: Checks
    var history = History()
    var counter: UInt64 = 0
    /// The newest version of the database that anybody was answered.
    private var newestAnswered: UInt64 = 0
    private var lastElement: UInt64 = 0
    /// Whether anything goes wrong.
    private(set) var isFaulty = true
    var areClientsActive = true
    /// Told what happens, for who looks into a failure.
    private let tracer: ((String) -> Void)?

    init(seed: UInt64, plan: Plan, defect: Defect? = nil, tracer: ((String) -> Void)? = nil) {
        self.seed = seed
        self.plan = plan
        self.defect = defect
        self.tracer = tracer
        self.random = Chance(seed: seed ^ 0x5eed)
        self.network = Network(count: plan.voters + plan.others)
        self.checks = Checks(plan: plan)
        let voters = (0..<plan.voters).map { Self.server(NodeID(UInt64($0) + 1), .voter) }
        let first = Entry(
            index: LogIndex(1), term: Term(1), kind: .configuration,
            data: Configuration(servers: voters).encoded())
        self.checks.begin(with: first)
        for place in 0..<plan.voters + plan.others {
            let clock = DriftingClock(shown: self.random.below(1_000_000_000))
            let host = Host(place: place, seed: self.random.next(), plan: plan, clock: clock)
            if place < plan.voters { Self.bootstrap(host, first, plan.log) }
            host.logDisk.faults.ignoresSyncs = defect == .syncsNothing
            self.hosts.append(host)
        }
        for host in self.hosts { self.start(host) }
        self.clients = (0..<plan.clients).map { Client(place: $0, cluster: self) }
        for client in self.clients { client.think() }
        self.scheduleFaults()
    }

    static func server(_ id: NodeID, _ role: Configuration.Role) -> Configuration.Server {
        Configuration.Server(id: id, address: "node-\(id)", role: role)
    }

    /// Writes what a new cluster begins with.
    private static func bootstrap(_ host: Host, _ entry: Entry, _ configuration: LogConfiguration) {
        do {
            var log = try SteppedLog(
                fileSystem: host.logDisk, configuration: configuration, newLogID: UInt64(host.place) + 7)
            try log.save(HardState(term: entry.term))
            try log.offerNow { (log) throws(LogError) in try log.append([entry], ticket: 0) }
        } catch {
            preconditionFailure("a disk without faults failed: \(error)")
        }
    }

    func trace(_ id: NodeID?, _ what: @autoclosure () -> String) {
        guard let tracer = self.tracer else { return }
        tracer("\(self.now) \(id.map { "node \($0)" } ?? "cluster"): \(what())")
    }

    /// Plays until a time, or until something is found that must never be.
    func run(until end: VirtualTime) {
        while !self.checks.hasViolation, let (time, action) = self.queue.next(through: end) {
            self.now = time
            action()
        }
        if !self.checks.hasViolation { self.now = end }
    }

    func after(_ range: ClosedRange<VirtualTime>, _ action: @escaping () -> Void) {
        self.queue.add(at: self.now + self.random.time(in: range), action)
    }

    /// Nothing goes wrong from now on.
    func calm() {
        self.isFaulty = false
        self.plan.calm()
        self.network.heal()
        self.trace(nil, "all is well from now on")
        for host in self.hosts {
            for disk in host.disks {
                disk.faults.capacity = .max
                disk.faults.writesToFailure = nil
                disk.faults.syncsToFailure = nil
            }
            if host.isPaused { host.resume(seed: self.random.next()) }
        }
    }

    // MARK: Messages

    func send(_ message: PeerMessage, from: NodeID, to: NodeID) {
        let (one, other) = (Int(from.rawValue) - 1, Int(to.rawValue) - 1)
        guard self.hosts.indices.contains(other) else { return }
        let arrivals = self.network.arrivals(
            from: one, to: other, at: self.now, plan: self.plan.network, random: &self.random)
        for arrival in arrivals {
            self.queue.add(at: arrival) { [unowned self] in
                let host = self.hosts[other]
                guard let node = host.node else { return }
                host.run(node) { node.receive(message, from: from) }
            }
        }
    }

    /// A client asks a node. Clients reach nodes that do not reach each other.
    func ask(_ request: Request, of target: Int) {
        if self.isFaulty, self.random.once(in: 100) { return }
        self.after(self.plan.clientDelay) { [unowned self] in
            let host = self.hosts[target]
            guard let node = host.node else {
                return self.tell(.notCommitted(leader: nil), request)
            }
            host.run(node) { [unowned self] in
                var request = request
                request.floor = self.newestAnswered
                node.receive(request)
            }
        }
    }

    func answer(_ request: Request, _ answer: Answer, from host: Host) {
        if case .committed(_, let version) = answer { self.answered(request, at: version, by: host) }
        if self.isFaulty, self.random.once(in: 100) { return }
        self.tell(answer, request)
    }

    /// Strict serializability, as clients see it that are so near that a message takes no time: an answer comes after all that
    /// were given before the request came.
    private func answered(_ request: Request, at version: UInt64, by host: Host) {
        let transaction = request.transaction
        self.trace(host.id, "answers \(transaction.id) at \(version)")
        self.newestAnswered = max(self.newestAnswered, version)
        if !transaction.isReadOnly { self.checks.acknowledged(transaction.id) }
        if transaction.isReadOnly ? version < request.floor : version <= request.floor {
            self.checks.found(
                "\(host.id) answers \(transaction.id) (\(request.reading)) at version \(version), but version "
                    + "\(request.floor) had been answered before")
        }
    }

    private func tell(_ answer: Answer, _ request: Request) {
        guard request.client >= 0 else { return self.completed(request, answer) }
        if case .notCommitted = answer, !request.transaction.isReadOnly {
            self.checks.refused(request.transaction.id)
        }
        self.after(self.plan.clientDelay) { [unowned self] in
            self.clients[request.client].receive(answer, to: request.transaction.id)
        }
    }

    /// Of a request that no client made.
    private func completed(_ request: Request, _ answer: Answer) {
        if case .committed(let results, let version) = answer {
            self.completed(request.transaction.id, .committed(results, version: version))
        }
    }

    func completed(_ id: UInt64, _ outcome: History.Outcome) {
        self.history.complete(id, outcome, at: self.now)
        switch outcome {
        case .committed: self.checks.count("requests committed")
        case .notCommitted: self.checks.count("requests not committed")
        case .unknown: self.checks.count("requests of unknown fate")
        }
    }

    var areClientsIdle: Bool { self.clients.allSatisfy(\.isIdle) }

    func makeTransaction() -> Transaction {
        let shape = self.plan.shape
        let onlyReads = self.random.below(10) < self.plan.reads
        let steps = (0..<1 + self.random.below(4)).map { _ -> Step in
            let reads = onlyReads || self.random.once(in: 3)
            if self.random.once(in: 3) {
                let register = self.random.below(shape.registers)
                self.lastElement += 1
                return reads ? .readRegister(register) : .write(register: register, value: self.lastElement)
            }
            let list = self.random.below(shape.lists)
            self.lastElement += 1
            return reads ? .readList(list) : .append(list: list, element: self.lastElement)
        }
        return Transaction(id: self.history.nextID, steps: steps)
    }

    // MARK: Machines

    /// Starts what a machine holds; power may fail meanwhile.
    func start(_ host: Host) {
        guard host.node == nil else { return }
        let isUnlucky = self.isFaulty && self.now > .zero && self.random.once(in: 4)
        if isUnlucky { self.random.pick(host.disks).faults.stepsToCrash = self.random.below(40) }
        do {
            let node = try Node(host, in: self)
            for disk in host.disks { disk.faults.stepsToCrash = nil }
            host.node = node
            self.trace(host.id, "starts: \(node.summary)")
            node.run()
        } catch {
            for disk in host.disks { disk.faults.stepsToCrash = nil }
            self.trace(host.id, "does not start: \(error)")
            if host.disks.contains(where: \.isCrashed) {
                self.checks.count("crashes while starting")
                self.restart(host, power: true)
            } else if case LogError.noSpace = error {
                self.restart(host, power: false)
            } else {
                self.checks.found("\(host.id) does not start: \(error)")
            }
        }
    }

    /// A process ends, or a machine loses its power: what is being written is torn.
    func crash(_ host: Host, power: Bool) {
        guard let node = host.node else { return }
        self.trace(host.id, power ? "loses its power" : "is killed")
        self.checks.count(power ? "power failures" : "kills")
        let underWay = node.underWay
        host.end()
        for lane in Node.Lane.allCases.shuffled(using: &self.random) {
            guard let effect = underWay[lane.rawValue] else { continue }
            for disk in host.disks { disk.faults.stepsToCrash = self.random.below(5) }
            effect()
        }
        self.restart(host, power: power)
    }

    private func restart(_ host: Host, power: Bool) {
        for disk in host.disks { disk.failPower() }
        self.after(self.isFaulty ? self.plan.crashes.down : .milliseconds(10)...(.milliseconds(100))) {
            [unowned self] in
            guard host.node == nil else { return }
            for disk in host.disks { disk.restart(killed: !power) }
            self.start(host)
        }
    }

    var leader: Host? {
        let leaders = self.hosts.filter { $0.node?.raft.role == .leader }
        return leaders.max { $0.node!.raft.term < $1.node!.raft.term }
    }

    /// While somebody has a lease nobody else is elected (rule 28).
    func checkLeases(against leader: Node) {
        for host in self.hosts where host !== leader.host {
            guard let node = host.node, node.raft.term < leader.raft.term, let end = node.raft.leaseEnd,
                node.instant < end
            else { continue }
            self.checks.found("\(leader.id) leads in \(leader.raft.term) while \(host.id) has a lease until \(end)")
        }
    }

    func replaceClock(of host: Host) {
        let drift = self.plan.crashes.drift
        host.clock.drift(partsPerMillion: Int.random(in: -drift...drift, using: &self.random), from: self.now)
    }
}

extension Node {
    /// What it thinks, for whoever looks into a failure.
    var summary: String {
        let servers = self.raft.configuration.servers.map { "\($0.id) \($0.role)" }.joined(separator: ", ")
        let peers = self.raft.peers.map { peer in
            "\(peer.id) at \(peer.match)\(peer.needsSnapshot ? " needs a copy" : "")\(peer.isRecentlyActive ? "" : " silent")"
        }
        return "\(self.raft.role) of \(self.raft.leader.map(\.description) ?? "nobody") in \(self.raft.term), log "
            + "\(self.storage.firstIndex)…\(self.raft.lastIndex) (\(self.raft.durableIndex) durable), \(self.raft.commitIndex) committed, "
            + "\(self.database.applied) applied\(self.database.isOpen ? "" : " (not open)"), checkpoint "
            + "\(self.database.marks.done) of \(self.database.marks.intent), members [\(servers)]"
            + (peers.isEmpty ? "" : ", peers: " + peers.joined(separator: ", "))
    }
}
