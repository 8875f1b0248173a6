import BenchmarkSupport
import DqliteClient
import Foundation
import Logging
import NodeProcess
import TestSupport

/// A database that is larger than what a node may have of it in memory: what it takes to fill, read and reopen it.
struct LargeDatabaseBenchmark {
    static let database = "large.db"
    static let rowsPerTransaction = 1000
    static let rowSize = 1000

    var directory: URL
    /// Bytes of data.
    var size: Int
    /// How many rows are read one by one.
    var reads: Int

    private var data: URL { self.directory.appending(path: "data") }
    private let clock = ContinuousClock()

    init(directory: URL, size: Int, reads: Int) {
        self.directory = directory
        self.size = size
        self.reads = reads
    }

    func run() async throws {
        say(
            "a database of \(self.size / 1_000_000) MB, \(Self.rowsPerTransaction) rows of \(Self.rowSize) bytes a transaction"
        )
        var rows = self.size / Self.rowSize
        try await self.fillAndRead(rows: rows)
        try await self.updateOneRow()
        rows += try await self.fillAndKill(rows: rows)
        let (node, duration) = try await self.restart()
        defer { node.stop() }
        show("SIGKILL to it, restart", "\(milliseconds(duration)) from exec to the first row read (target: < 1000 ms)")
        let count = try await self.connected(to: node) {
            try await $0.query("SELECT count(*) FROM item").decode(Int.self).collect()
        }
        try self.check(count == [rows], "\(rows) rows were acknowledged, and there are \(count)")
        show("rows", "\(rows) acknowledged, all there")
    }

    /// The database is not what it should be.
    struct Wrong: Error { var what: String }

    private func check(_ isRight: Bool, _ what: @autoclosure () -> String) throws {
        guard isRight else { throw Wrong(what: what()) }
    }

    // MARK: Steps

    private func fillAndRead(rows: Int) async throws {
        let node = try ServerProcess.node(on: self.data)
        defer { node.stop() }
        let watch = MemoryWatch(node.id)
        defer { watch.stop() }
        try await self.connected(to: node) { connection in
            try await connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
            var start = self.clock.now
            try await self.fill(connection, from: 0, to: rows)
            self.showRate("fill", bytes: rows * Self.rowSize, since: start)
            let sizes = Disk.size(of: self.data, file: Self.database)
            self.show("database file", "\(megabytes(sizes.file)) of \(megabytes(sizes.all)) in the data directory")
            self.show("memory while filling", watch.takePeak())

            start = self.clock.now
            try await connection.withPreparedStatement("SELECT data FROM item WHERE id = ?") { select in
                var random = SeededRandom(seed: 1)
                for _ in 0..<self.reads {
                    let id = Int(random.next() % UInt64(rows)) + 1
                    let found = try await select.query(id).decode([UInt8].self).collect()
                    try self.check(found.first?.count == Self.rowSize, "row \(id) is missing")
                }
            }
            let rate = Double(self.reads) / (self.clock.now - start).inSeconds
            self.show("random rows, one client", "\(format(rate, 0)) a second")
            self.show("memory while reading", watch.takePeak())

            start = self.clock.now
            var count = 0
            for try await row in try await connection.query(
                "SELECT id, data FROM item", options: .init(timeout: .seconds(600)))
            {
                count += row.count == 2 ? 1 : 0
            }
            try self.check(count == rows, "\(count) rows instead of \(rows)")
            self.showRate("full scan to the client", bytes: rows * Self.rowSize, since: start)
            self.show("memory while scanning", watch.takePeak())
        }
        if let memory = ProcessFigures.memory(of: node.id) {
            self.show("peak of resident memory", "\(megabytes(memory.highWaterMark)) (target: < 200 MB)")
        }
        let stopping = self.clock.now
        node.stop()
        self.show("SIGTERM to its end", milliseconds(self.clock.now - stopping))
    }

    /// All that the node has to write for a row, until the row is in the database file or the node has ended.
    private func updateOneRow() async throws {
        let endedBefore = ProcessFigures.bytesWrittenByEndedChildren()
        let (node, duration) = try await self.restart()
        defer { node.stop() }
        self.show(
            "restart after SIGTERM", "\(milliseconds(duration)) from exec to the first row read (target: < 1000 ms)")
        var written: [Int] = []
        try await self.connected(to: node) { connection in
            // What the first write after a start needs once is not counted.
            for row in [1, 2] {
                written += [ProcessFigures.bytesWritten(by: node.id)].compactMap(\.self)
                let id = self.size / Self.rowSize / 3 * row
                try await connection.execute("UPDATE item SET data = zeroblob(\(Self.rowSize)) WHERE id = \(id)")
            }
        }
        written += [ProcessFigures.bytesWritten(by: node.id)].compactMap(\.self)
        node.stop()
        guard let endedBefore, written.count == 3, let ended = ProcessFigures.bytesWrittenByEndedChildren() else {
            return
        }
        self.show(
            "an update of one row",
            "\(kilobytes(written[2] - written[1])) written until it was answered; of two of them "
                + "\(kilobytes(ended - endedBefore - written[2])) more until the node had stopped")
    }

    /// Kills a node that has just acknowledged a lot.
    private func fillAndKill(rows: Int) async throws -> Int {
        let node = try ServerProcess.node(on: self.data)
        defer { node.stop() }
        let more = max(Self.rowsPerTransaction, rows / 10)
        try await self.connected(to: node) { connection in
            try await self.fill(connection, from: rows, to: rows + more)
            node.kill()
        }
        self.show("written before SIGKILL", megabytes(more * Self.rowSize))
        return more
    }

    private func restart() async throws -> (ServerProcess, Duration) {
        let start = self.clock.now
        let node = try ServerProcess.node(on: self.data)
        do {
            let rows = try await self.firstRow(of: node)
            try self.check(rows == [Self.rowSize], "the first row is missing")
        } catch {
            node.stop()
            throw error
        }
        return (node, self.clock.now - start)
    }

    /// Asks until the node answers: one that serves may have no leader yet.
    private func firstRow(of node: ServerProcess) async throws -> [Int] {
        let end = self.clock.now + .seconds(60)
        while true {
            do {
                return try await self.connected(to: node) {
                    try await $0.query("SELECT length(data) FROM item WHERE id = 1").decode(Int.self).collect()
                }
            } catch let error as DqliteError {
                guard self.clock.now < end else { throw error }
                try await Task.sleep(for: .milliseconds(1))
            }
        }
    }

    private func fill(_ connection: DqliteConnection, from first: Int, to end: Int) async throws {
        let values = repeatElement("(?)", count: Self.rowsPerTransaction).joined(separator: ", ")
        try await connection.withPreparedStatement("INSERT INTO item (data) VALUES \(values)") { insert in
            var random = SeededRandom(seed: UInt64(first))
            for _ in stride(from: first, to: end, by: Self.rowsPerTransaction) {
                var bindings = DqliteBindings()
                for _ in 0..<Self.rowsPerTransaction { bindings.append(random.bytes(Self.rowSize)) }
                let values = bindings
                try await connection.withTransaction { _ in try await insert.execute(bindings: values) }
            }
        }
    }

    @discardableResult
    private func connected<Value>(
        to node: ServerProcess, _ body: (DqliteConnection) async throws -> Value
    ) async throws -> Value {
        var configuration = DqliteConnectionConfiguration()
        configuration.callTimeout = .seconds(60)
        return try await DqliteConnection.withConnection(
            to: .hostname("127.0.0.1", port: node.port), database: Self.database, configuration: configuration,
            logger: Logger(label: "node-benchmark"), body)
    }

    // MARK: What is printed

    private func show(_ name: String, _ value: String) { say("  " + name.padded(26) + value) }

    private func showRate(_ name: String, bytes: Int, since start: ContinuousClock.Instant) {
        let seconds = (self.clock.now - start).inSeconds
        self.show(name, "\(format(seconds, 1)) s, \(format(Double(bytes) / seconds / 1e6, 1)) MB/s")
    }
}

private func megabytes(_ bytes: Int) -> String { format(Double(bytes) / 1e6, 1) + " MB" }
private func kilobytes(_ bytes: Int) -> String { format(Double(bytes) / 1e3, 1) + " kB" }
private func milliseconds(_ duration: Duration) -> String { format(duration.inSeconds * 1000, 0) + " ms" }

extension SeededRandom {
    /// Data that nothing can compress or guess, the same in each run.
    mutating func bytes(_ count: Int) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: count) { memory, initialized in
            let raw = UnsafeMutableRawBufferPointer(memory)
            for offset in stride(from: 0, to: count & ~7, by: 8) {
                raw.storeBytes(of: self.next(), toByteOffset: offset, as: UInt64.self)
            }
            for offset in count & ~7..<count { raw[offset] = UInt8(truncatingIfNeeded: self.next()) }
            initialized = count
        }
    }
}
