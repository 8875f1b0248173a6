import BenchmarkSupport
import DqliteClient
import NIOCore
import Synchronization
import TestSupport

/// A follower that is away while a lot is written, and comes back under load.
struct CatchUp {
    var cluster: Cluster
    var load: Load
    /// Bytes that are written while it is away.
    var size: Int
    var clients: Int
    var time: Duration
    private let clock = ContinuousClock()

    private static let rowSize = 1000
    private static let rowsPerInsert = 100
    private static let insertsPerTransaction = 10
    /// A small database by which one can tell how far a node is: all databases of a cluster have one log.
    private static let markDatabase = "mark.db"

    init(cluster: Cluster, load: Load, size: Int, clients: Int, time: Duration) {
        self.cluster = cluster
        self.load = load
        self.size = size
        self.clients = clients
        self.time = time
    }

    func prepare() async throws {
        let connection = try await self.cluster.connect()
        for sql in Workload.schema { try await connection.execute(DqliteQuery(unsafeSQL: sql)) }
        try await connection.execute("CREATE TABLE change (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        await connection.close()
        try await self.mark { try await $0.execute("CREATE TABLE mark (text TEXT NOT NULL)") }
    }

    func round(_ number: Int) async throws -> CatchUpFigures {
        let leader = try await self.cluster.leader()
        guard let follower = self.cluster.nodes.last(where: { $0 !== leader }),
            let other = self.cluster.nodes.first(where: { $0 !== leader && $0 !== follower })
        else { throw Cluster.TimedOut(what: "there are no followers") }
        var figures = CatchUpFigures(quiet: .init(try await self.insert()))
        if !follower.stop() { say("  the follower did not end as it should:\n\(follower.lastWords())") }
        var start = self.clock.now
        try await self.change(seed: number)
        let mark = "mark \(number), after everything else"
        try await self.mark { try await $0.execute("INSERT INTO mark VALUES (\(mark))") }
        figures.writing = (self.clock.now - start).inSeconds

        let before = self.cluster.nodes.map { Double($0.memory.resident) }
        start = self.clock.now
        try follower.start()
        let served = Double(follower.memory.resident)
        let isOver = StopSign()
        let requests = self.cluster.requests
        let port = follower.port
        async let caughtUp = Self.waitForMark(mark, requests, port, isOver)
        var peaks = self.cluster.nodes.map { _ in 0.0 }
        do {
            while !isOver.isSet {
                let result = try await self.insert(isOver: isOver)
                peaks = zip(peaks, result.peaks).map(max)
                // What is too short says nothing. How many inserts there were must not matter: the slow ones are what is asked for.
                if result.elapsed >= 0.5, result.round.p99.isFinite {
                    figures.windows.append(.init(result))
                }
            }
        } catch {
            isOver.set()
            throw error
        }
        figures.duration = (try await caughtUp - start).inSeconds
        for (index, node) in self.cluster.nodes.enumerated() {
            if node === leader { figures.leaderGrowth = peaks[index] - before[index] }
            if node === other { figures.otherGrowth = peaks[index] - before[index] }
            if node === follower { figures.followerGrowth = peaks[index] - served }
        }
        return figures
    }

    // MARK: Steps

    private func insert(isOver: StopSign = StopSign()) async throws -> LoadFigures {
        try await self.load.run(
            .inserts, on: self.cluster, clients: self.clients, time: self.time, warmUp: .zero, isOver: isOver)
    }

    /// Replaces the same rows in each round, so that the database stays as large as what is written once.
    private func change(seed: Int) async throws {
        let connection = try await self.cluster.connect()
        var random = SeededRandom(seed: UInt64(seed))
        let values = repeatElement("(?, ?)", count: Self.rowsPerInsert).joined(separator: ", ")
        let replace = try await connection.prepare("REPLACE INTO change (id, data) VALUES \(values)")
        let rows = self.size / Self.rowSize
        for first in stride(from: 1, through: rows, by: Self.rowsPerInsert * Self.insertsPerTransaction) {
            var inserts: [DqliteBindings] = []
            for insert in 0..<Self.insertsPerTransaction {
                var bindings = DqliteBindings()
                for row in 0..<Self.rowsPerInsert {
                    bindings.append(first + insert * Self.rowsPerInsert + row)
                    var data = ByteBuffer()
                    for _ in 0..<Self.rowSize / 8 { data.writeInteger(random.next()) }
                    bindings.append(data)
                }
                inserts.append(bindings)
            }
            let transaction = inserts
            try await connection.withTransaction { _ in
                for bindings in transaction { try await replace.execute(bindings: bindings) }
            }
        }
        await connection.close()
    }

    private func mark(_ body: (DqliteConnection) async throws -> Void) async throws {
        let leader = try await self.cluster.leader()
        let connection = try await Cluster.connect(
            to: leader.port, database: Self.markDatabase, group: self.load.group)
        try await body(connection)
        await connection.close()
    }

    /// Waits until the node has a text in its copy, and says so with the sign.
    @concurrent private static func waitForMark(
        _ mark: String, _ requests: NodeRequests, _ port: Int, _ isOver: StopSign
    ) async throws -> ContinuousClock.Instant {
        defer { isOver.set() }
        let bytes = Array(mark.utf8)
        let clock = ContinuousClock()
        let end = clock.now + .seconds(300)
        while clock.now < end, !isOver.isSet {
            let dump = (try? await requests.dump(Self.markDatabase, of: port)).flatMap(\.self)
            if let dump, dump.readableBytesView.firstRange(of: bytes) != nil { return clock.now }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw Cluster.TimedOut(what: "the node that came back did not catch up")
    }
}
