import BenchmarkSupport
import DqliteClient
import Foundation
import NIOPosix

/// Both clusters under the same loads, in turns.
struct Comparison {
    var setup: Setup
    var workloads: [Workload]
    private let clock = ContinuousClock()

    init(_ setup: Setup, workloads: [Workload]) {
        self.setup = setup
        self.workloads = workloads
    }

    /// It failed again and again.
    struct GivenUp: Error { var what: String }

    func run(in directory: URL) async throws -> Table {
        var sides: [Side] = []
        defer { for side in sides { side.cluster.stop() } }
        let data = Dataset(rows: self.setup.rows)
        for implementation in self.setup.sides {
            let cluster = try await Cluster.start(
                implementation, nodes: self.setup.nodes, in: directory, group: self.setup.group)
            sides.append(Side(cluster: cluster))
            let connection = try await cluster.connect()
            try await data.fill(connection, for: self.workloads)
            await connection.close()
        }
        let load = Load(group: self.setup.group, data: data, patience: self.setup.patience)
        let probe = try DiskProbe(in: directory)
        var syncs: [Double] = []
        var failed: Set<String> = []
        var table = ComparisonTable()
        table.showTitles()
        for workload in self.workloads {
            for clients in self.setup.clients ?? workload.clients(isQuick: self.setup.isQuick) {
                for index in sides.indices { sides[index].results = [] }
                for round in 0..<self.setup.rounds {
                    syncs += try probe.sample(for: max(self.setup.time / 20, .milliseconds(50)))
                    // Who comes first has the disk as the other left it.
                    for index in round.isMultiple(of: 2) ? Array(sides.indices) : sides.indices.reversed() {
                        do {
                            sides[index].results.append(
                                try await self.run(workload, load, clients, on: sides[index].cluster))
                        } catch let error as GivenUp {
                            failed.insert(error.what)
                        }
                    }
                }
                table.add(
                    workload, clients: clients, ours: sides.first { $0.cluster.implementation == .ours },
                    theirs: sides.first { $0.cluster.implementation == .c },
                    rowsEach: workload == .scan ? data.rows : 1)
            }
        }
        for side in sides { table.add(note: self.end(of: side.cluster)) }
        table.add(note: "pwrite of 4 KiB and fdatasync on this disk meanwhile: p50 \(format(median(syncs), 0)) us")
        for what in failed.sorted() { table.add(note: "FAILED: \(what)") }
        return table.table
    }

    /// Runs a round, again when a node has crashed or another leads now.
    private func run(
        _ workload: Workload, _ load: Load, _ clients: Int, on cluster: Cluster
    ) async throws -> LoadFigures {
        let name = "\(cluster.implementation.rawValue), \(workload.title), \(clients) clients"
        for _ in 1...5 {
            do {
                if workload.writes { try await self.makeTables(cluster) }
                return try await load.run(workload, on: cluster, clients: clients, time: self.setup.time)
            } catch {
                say("  \(name): \(String(reflecting: cause(of: error)))")
                let crashed = try cluster.restartCrashed()
                if crashed { try await cluster.waitForVoters() }
                try await Task.sleep(for: .milliseconds(500))
            }
        }
        throw GivenUp(what: name)
    }

    private func makeTables(_ cluster: Cluster) async throws {
        let connection = try await cluster.connect()
        do {
            for sql in Workload.schema { try await connection.execute(DqliteQuery(unsafeSQL: sql)) }
            while try await connection.execute(DqliteQuery(unsafeSQL: Workload.deleteSome)).changes > 0 {}
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
    }

    private func end(of cluster: Cluster) -> String {
        let memory = cluster.nodes.map { format(Double($0.memory.resident) / 1e6, 0) }
        return "\(cluster.implementation.rawValue): resident at the end \(memory.joined(separator: ", ")) MB, "
            + "\(cluster.crashes) crashes"
    }
}
