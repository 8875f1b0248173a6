import DqliteClient
import Synchronization
import TortureChecks

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Brings about what is planned, and sees that nodes run otherwise.
final class Nemesis: Sendable {
    private struct State {
        var begun: [(at: Duration, fault: Fault)] = []
        /// Nodes that somebody means to be down.
        var down: [Int: Int] = [:]
    }

    private let nodes: [TortureNode]
    private let routes: RouteTable
    private let client: DqliteClient
    private let run: RunState
    private let state = Mutex(State())
    private let isVerbose: Bool

    init(nodes: [TortureNode], routes: RouteTable, client: DqliteClient, run: RunState, isVerbose: Bool) {
        self.nodes = nodes
        self.routes = routes
        self.client = client
        self.run = run
        self.isVerbose = isVerbose
    }

    /// What happened, and when.
    var faults: [(at: Duration, fault: Fault)] { self.state.withLock { $0.begun } }

    /// Goes through the plan until the time is over.
    func rage(_ plan: FaultPlan, until end: Duration) async {
        var plan = plan
        while self.run.clock.now < end, !Task.isCancelled, let step = plan.next() {
            await withTaskGroup(of: Void.self) { group in
                for fault in step.faults { group.addTask { await self.bringAbout(fault) } }
            }
            await self.mend()
            await pause(min(step.calm, max(.zero, end - self.run.clock.now)))
        }
    }

    /// Starts nodes that end although nobody wanted it, until the task is cancelled.
    func guardNodes() async {
        while !Task.isCancelled {
            for (index, node) in self.nodes.enumerated() {
                guard let reason = await node.hasEnded() else { continue }
                if !reason.isEmpty { self.run.violated(Violation(.node, reason)) }
                if self.state.withLock({ $0.down[index, default: 0] == 0 }) { await self.start([index]) }
            }
            await pause(.milliseconds(200))
        }
    }

    /// Ends all that is wrong: every node runs, and messages pass.
    func mend() async {
        for node in self.nodes { await node.emptyDisk() }
        self.routes.healAll()
        await self.start(Array(self.nodes.indices))
    }

    private func start(_ nodes: [Int]) async {
        await withTaskGroup(of: Void.self) { group in
            for index in nodes {
                group.addTask {
                    do {
                        try await self.nodes[index].start()
                    } catch {
                        self.run.violated(Violation(.node, "\(error)"))
                    }
                }
            }
        }
    }

    private func leader() async -> Int? {
        let leader = try? await self.client.withConnection(options: .init(timeout: .seconds(2))) { connection in
            try await connection.leader(options: .init(timeout: .seconds(1)))
        }
        return leader.flatMap { $0.id > 0 && $0.id <= self.nodes.count ? Int($0.id) - 1 : nil }
    }

    private func bringAbout(_ fault: Fault) async {
        let leader = await self.leader()
        let now = self.run.clock.now
        self.state.withLock { $0.begun.append((now, fault)) }
        if self.isVerbose { say("\(now.text) \(fault)\(leader.map { ", node \($0 + 1) leads" } ?? "")") }
        func nodes(_ target: Fault.Target) -> [Int] { target.nodes(of: self.nodes.count, leader: leader) }
        switch fault {
        case .kill(let target, let down):
            await self.down(nodes(target)) {
                for index in nodes(target) { await self.nodes[index].kill() }
                await pause(down)
            }
        case .restart(let target):
            await self.down(nodes(target)) {
                await withTaskGroup(of: Void.self) { group in
                    for index in nodes(target) {
                        group.addTask {
                            do {
                                try await self.nodes[index].stop()
                            } catch {
                                self.run.violated(Violation(.node, "\(error)"))
                            }
                        }
                    }
                }
            }
        case .stop(let target, let lasting):
            var processes: [ChildProcess] = []
            for index in nodes(target) {
                if let process = await self.nodes[index].suspend() { processes.append(process) }
            }
            await pause(lasting)
            for process in processes { process.signal(SIGCONT) }
        case .transfer:
            let voters = self.nodes.indices.filter { $0 != leader }.map { UInt64($0 + 1) }
            let target = voters.isEmpty || now.components.seconds.isMultiple(of: 2) ? nil : voters[0]
            do {
                try await self.client.withConnection(options: .init(timeout: .seconds(2))) { connection in
                    try await connection.transferLeadership(to: target, options: .init(timeout: .seconds(5)))
                }
            } catch {
                self.run.failed(error)
            }
        case .partition(let partition, let lasting):
            let number = self.routes.cut(
                partition.routes(nodes: self.nodes.count, leader: leader), partition.manner)
            await pause(lasting)
            self.routes.heal(number)
        case .flap(let partition, let every, let lasting):
            let routes = partition.routes(nodes: self.nodes.count, leader: leader)
            let end = now + lasting
            while self.run.clock.now < end, !Task.isCancelled {
                let number = self.routes.cut(routes, partition.manner)
                await pause(every)
                self.routes.heal(number)
                await pause(every)
            }
        case .delay(let target, let by, let lasting):
            let slow = Set(nodes(target))
            let parties = self.nodes.indices.map { Route.Party.node($0) } + [.clients]
            let routes = parties.flatMap { from in parties.map { Route(from: from, to: $0) } }
                .filter { route in slow.contains { route.from == .node($0) || route.to == .node($0) } }
            let number = self.routes.delay(Set(routes), by: by)
            await pause(lasting)
            self.routes.heal(number)
        case .disk(let target, let lasting):
            for index in nodes(target) { await self.nodes[index].fillDisk() }
            await pause(lasting)
            for index in nodes(target) { await self.nodes[index].emptyDisk() }
        }
    }

    /// Does something with nodes down, and starts them again.
    private func down(_ nodes: [Int], _ body: () async -> Void) async {
        self.state.withLock { state in
            for index in nodes { state.down[index, default: 0] += 1 }
        }
        await body()
        let startable = self.state.withLock { state in
            nodes.filter { index in
                state.down[index]! -= 1
                return state.down[index] == 0
            }
        }
        await self.start(startable)
    }
}
