import BenchmarkSupport
import DqliteClient
import Foundation

/// How long a client that writes gets no acknowledgement when the leader is killed.
struct Failover {
    var setup: Setup

    /// A row was acknowledged and is not there.
    struct Lost: Error { var what: String }

    func run(in directory: URL) async throws -> Table {
        var sides: [(cluster: Cluster, acknowledged: Int, gaps: [Double])] = []
        defer { for side in sides { side.cluster.stop() } }
        for implementation in self.setup.sides {
            let cluster = try await Cluster.start(
                implementation, nodes: self.setup.nodes, in: directory, group: self.setup.group)
            sides.append((cluster, 0, []))
            let connection = try await cluster.connect()
            try await connection.execute(DqliteQuery(unsafeSQL: GapWriter.schema))
            await connection.close()
        }
        for _ in 0..<self.setup.rounds {
            for index in sides.indices {
                let (gap, acknowledged) = try await self.kill(
                    sides[index].cluster, acknowledged: sides[index].acknowledged)
                sides[index].gaps.append(gap)
                sides[index].acknowledged = acknowledged
            }
        }
        var table = Table([
            .init(title: "no write after SIGKILL of the leader", width: 36, isLeft: true),
            .init(title: "kills", width: 5), .init(title: "median ms", width: 9),
            .init(title: "least ms", width: 9), .init(title: "most ms", width: 9),
            .init(title: "rows acknowledged, all there", width: 28),
        ])
        table.showTitles()
        for side in sides {
            table.add([
                side.cluster.implementation.rawValue, "\(side.gaps.count)", text(median(side.gaps)),
                text(side.gaps.min()), text(side.gaps.max()), "\(side.acknowledged)",
            ])
        }
        if let ours = sides.first(where: { $0.cluster.implementation == .ours }),
            let theirs = sides.first(where: { $0.cluster.implementation == .c })
        {
            let ratio = median(ours.gaps) / median(theirs.gaps)
            table.add(["ours / C", "", text(ratio), "", "", ""])
        }
        return table
    }

    /// - Returns: Milliseconds, and how many rows are there now.
    private func kill(_ cluster: Cluster, acknowledged: Int) async throws -> (gap: Double, acknowledged: Int) {
        let leader = try await cluster.leader()
        let writer = GapWriter(ports: cluster.nodes.map(\.port), acknowledged: acknowledged, group: self.setup.group)
        async let writing: Void = writer.run()
        do {
            try await self.waitForRows(writer, acknowledged + 20)
            try await Task.sleep(for: .milliseconds(500))
            leader.kill()
            // Those on their way at the moment of the kill are no proof of a new leader.
            try await self.waitForRows(writer, writer.acknowledged + 20)
        } catch {
            writer.stop()
            await writing
            throw error
        }
        writer.stop()
        await writing
        try leader.start()
        try await cluster.waitForVoters()
        try await self.check(cluster, rows: writer.acknowledged)
        // The node that was killed gets what it has missed.
        try await Task.sleep(for: .seconds(1))
        return (writer.longestGap.inSeconds * 1000, writer.acknowledged)
    }

    private func waitForRows(_ writer: GapWriter, _ count: Int) async throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(60)
        while writer.acknowledged < count {
            guard clock.now < end else {
                throw Cluster.TimedOut(
                    what: "no write was acknowledged: \(writer.lastError.map { "\($0)" } ?? "no error")")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    private func check(_ cluster: Cluster, rows: Int) async throws {
        let connection = try await cluster.connect()
        let counts = try await connection.query("SELECT count(*) FROM gap WHERE n <= \(rows)").decode(Int.self)
            .collect()
        await connection.close()
        guard counts == [rows] else {
            throw Lost(
                what: "\(cluster.implementation.rawValue): \(rows) rows were acknowledged and \(counts) are there")
        }
    }
}
