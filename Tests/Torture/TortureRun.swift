import DqliteClient
import Foundation
import Logging
import TestSupport
import TortureChecks

/// Nodes, clients and faults, from the beginning to the verdict.
struct TortureRun {
    struct Settings: Sendable {
        var duration: Duration
        var seed: UInt64
        var nodes: Int
        var clients: Int
        var faults: Set<Fault.Kind>
        var isVerbose: Bool
        var pretends: Bool
    }

    let settings: Settings
    let directory: URL
    let run = RunState()
    let routes = RouteTable()
    let workloads: [any Workload]

    init(settings: Settings, directory: URL) {
        self.settings = settings
        self.directory = directory
        self.workloads = [
            ListWorkload(recorder: Recorder(run: self.run)), BankWorkload(recorder: Recorder(run: self.run)),
            SetWorkload(recorder: Recorder(run: self.run)),
        ]
    }

    /// - Returns: What there is to tell.
    func perform() async throws -> Report {
        var settings = self.settings
        var nodes: [TortureNode] = []
        var result = Result<Report, any Error>.failure(CancellationError())
        do {
            for number in 0..<settings.nodes {
                nodes.append(try await self.makeNode(number, &settings, join: nodes.first?.proxy.port))
            }
            result = .success(try await self.perform(nodes, settings))
        } catch {
            result = .failure(error)
        }
        // By their own numbers, and however it went.
        for node in nodes {
            await node.kill()
            await node.proxy.close()
            await node.disk?.unmount(scratch: self.directory.appending(path: "mount.log").path(percentEncoded: false))
        }
        return try result.get()
    }

    private func makeNode(_ number: Int, _ settings: inout Settings, join: Int?) async throws -> TortureNode {
        let directory = self.directory.appending(path: "node\(number + 1)").path(percentEncoded: false)
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        var disk: Disk?
        if settings.faults.contains(.disk) {
            disk = await Disk.mount(
                at: directory, scratch: self.directory.appending(path: "mount.log").path(percentEncoded: false))
            if disk == nil {
                say("disk: skipped, a file system in memory cannot be mounted here")
                settings.faults.remove(.disk)
            }
        }
        return try await TortureNode(
            number: number, directory: directory, disk: disk, join: join, routes: self.routes)
    }

    private func configuration(
        _ nodes: [TortureNode], _ database: String, _ encoding: DqliteConnectionConfiguration.Encoding
    ) -> DqliteClientConfiguration {
        var configuration = DqliteClientConfiguration(
            seeds: nodes.map { .hostname("127.0.0.1", port: $0.proxy.port) }, database: database)
        configuration.connection.encoding = encoding
        return configuration
    }

    private func perform(_ nodes: [TortureNode], _ settings: Settings) async throws -> Report {
        // The first makes the cluster; the others join it.
        for node in nodes { try await node.start() }
        let logger = Logger(label: "torture") { _ in SwiftLogNoOpLogHandler() }
        let admin = DqliteClient(
            configuration: self.configuration(nodes, self.workloads[0].database, .protobuf), logger: logger)
        let nemesis = Nemesis(
            nodes: nodes, routes: self.routes, client: admin, run: self.run, isVerbose: settings.isVerbose)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await admin.run() }
            group.addTask { await nemesis.guardNodes() }
            defer { group.cancelAll() }
            for workload in self.workloads { try await self.prepare(workload, nodes, logger) }
            try await self.waitForVoters(admin)
            let plan = FaultPlan(seed: settings.seed, nodes: settings.nodes, kinds: settings.faults)
            let end = self.run.clock.now + settings.duration
            await withTaskGroup(of: Void.self) { group in
                for (index, workload) in self.workloads.enumerated() {
                    for number in 0..<settings.clients {
                        group.addTask {
                            await self.runClient(index * settings.clients + number + 1, workload, nodes, logger)
                        }
                    }
                }
                await nemesis.rage(plan, until: end)
                while self.run.clock.now < end, !Task.isCancelled { await pause(.milliseconds(50)) }
                await nemesis.mend()
                self.run.isOver = true
            }
            try Task.checkCancellation()
            let healed = self.run.clock.now
            for workload in self.workloads { try await self.finish(workload, nodes, logger) }
            say("all reads done \((self.run.clock.now - healed).text) after the last fault")
            await Convergence(nodes: nodes, databases: self.workloads.map(\.database), run: self.run).check()
        }
        for node in nodes {
            do {
                try await node.stop()
            } catch {
                self.run.violated(Violation(.node, "\(error)"))
            }
        }
        if settings.pretends { for workload in self.workloads { workload.pretend() } }
        var handovers = 0
        for node in nodes { handovers += await node.handovers }
        return await self.report(nemesis, handovers)
    }

    private func prepare(_ workload: any Workload, _ nodes: [TortureNode], _ logger: Logger) async throws {
        try await DqliteClient.withClient(
            configuration: self.configuration(nodes, workload.database, .dqlite), logger: logger
        ) { client in
            // Until there is a leader, and it has a majority.
            let deadline = ContinuousClock.now + .seconds(60)
            while true {
                do {
                    try await client.execute(DqliteQuery(unsafeSQL: workload.schema))
                    return
                } catch {
                    if ContinuousClock.now > deadline { throw error }
                    await pause(.milliseconds(100))
                }
            }
        }
    }

    /// Waits until all nodes have a vote.
    private func waitForVoters(_ client: DqliteClient) async throws {
        let deadline = ContinuousClock.now + .seconds(120)
        while true {
            let servers = try await client.withConnection { try await $0.cluster() }
            if servers.count(where: { $0.role == .voter }) == self.settings.nodes { return }
            guard ContinuousClock.now < deadline else {
                throw TortureNode.Failure(description: "not all nodes have become voters: \(servers)")
            }
            await pause(.milliseconds(50))
        }
    }

    private func runClient(
        _ number: Int, _ workload: any Workload, _ nodes: [TortureNode], _ logger: Logger
    ) async {
        let encoding: DqliteConnectionConfiguration.Encoding = number.isMultiple(of: 2) ? .protobuf : .dqlite
        try? await DqliteClient.withClient(
            configuration: self.configuration(nodes, workload.database, encoding), logger: logger
        ) { client in
            await WorkloadClient(number: number, client: client).run(
                workload, seed: self.settings.seed, run: self.run)
        }
    }

    private func finish(_ workload: any Workload, _ nodes: [TortureNode], _ logger: Logger) async throws {
        var configuration = self.configuration(nodes, workload.database, .protobuf)
        configuration.callTimeout = .seconds(60)
        try await DqliteClient.withClient(configuration: configuration, logger: logger) { client in
            await workload.finish(WorkloadClient(number: 0, client: client))
            let check = try await client.query("PRAGMA integrity_check").decode(String.self).collect()
            if check != ["ok"] {
                self.run.violated(
                    Violation(.divergence, "\(workload.database): integrity_check says \(check.prefix(5))"))
            }
        }
    }

    private func report(_ nemesis: Nemesis, _ handovers: Int) async -> Report {
        let workloads = self.workloads
        let violations = await onOwnThread { workloads.flatMap { $0.check() } }
        return Report(
            violations: self.run.violations + violations, workloads: workloads, faults: nemesis.faults,
            acknowledgments: self.run.acknowledgments, errors: self.run.errors, handovers: handovers)
    }
}
