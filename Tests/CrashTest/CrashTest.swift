import ArgumentParser
import CSQLite
import DqliteClient
import Foundation
import Logging
import NodeProcess
import TestSupport

/// A node under random load is killed at random moments, started again and checked.
@main
struct CrashTest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "crash-test",
        abstract: "Kills a node at random moments, and checks what is left.",
        discussion: """
            After each kill the node is started again: every acknowledged transaction must be there, no other in part, and \
            PRAGMA integrity_check must say ok. At the end the node stops, and the files must be the same as a replay of its \
            whole log, which it keeps in an archive.
            """)

    @Option(help: "How often to kill.") var kills = 200
    @Option(help: "What chance begins with.") var seed: UInt64 = .random(in: 1...1_000_000)
    @Flag(help: "Claim one transaction more than there was: must fail, and print SEEN if that is all that is wrong.")
    var pretend = false

    func run() async throws {
        let directory = FileManager.default.temporaryDirectory.appending(path: "crash-test-\(UUID().uuidString)")
        try FileManager.default.createDirectory(
            at: directory.appending(path: "archive"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        print("crash-test --kills \(self.kills) --seed \(self.seed)")
        let trial = CrashTrial(directory: directory, seed: self.seed)
        let began = ContinuousClock.now
        var pretended: String?
        do {
            for kill in 1...self.kills {
                try await trial.round()
                if self.pretend, kill == self.kills { pretended = await trial.workers[0].pretend() }
                if kill.isMultiple(of: 20) { print("\(kill) kills") }
            }
            print(try await trial.finish())
        } catch {
            let problems = (error as? Findings)?.problems
            if let pretended, problems == [pretended] { print("SEEN: \(pretended)") }
            print("FAILED: \(error)\nreplay: crash-test --kills \(self.kills) --seed \(self.seed)")
            throw ExitCode.failure
        }
        print("\(self.kills) kills in \(began.duration(to: .now)): everything was as it should be.")
    }
}

/// What was found, one sentence each.
struct Findings: Error, CustomStringConvertible {
    var problems: [String]
    var description: String { self.problems.prefix(20).joined(separator: "\n") }
}

/// The node and its clients, over all kills.
final class CrashTrial {
    static let databases = ["one.db", "two.db"]

    private let directory: URL
    private var random: SeededRandom
    let workers: [Worker]
    private var killsWhileStarting = 0

    init(directory: URL, seed: UInt64) {
        self.directory = directory
        self.random = SeededRandom(seed: seed)
        self.workers = (0..<6).map {
            Worker(number: $0, database: Self.databases[$0 / 3], seed: seed)
        }
    }

    private var data: URL { self.directory.appending(path: "data") }
    private var archive: URL { self.directory.appending(path: "archive") }

    private func start() throws -> ServerProcess {
        try .node(on: self.data, ["--log-archive", self.archive.path(percentEncoded: false)])
    }

    /// Starts the node, checks what is there, lets the workers write, and kills it.
    func round() async throws {
        // Sometimes while it starts: nothing waits for it to be ready.
        if self.random.below(8) == 0 {
            try await self.killWhileStarting(after: .milliseconds(self.random.below(60)))
        }
        let node = try self.start()
        // Also when the check has found something.
        defer { node.kill() }
        try await self.check(port: node.port)
        let delay = Duration.milliseconds(self.random.below(10) == 0 ? 800 : 10 + self.random.below(250))
        await Self.write(self.workers, node, for: delay)
    }

    private static func write(_ workers: [Worker], _ node: ServerProcess, for delay: Duration) async {
        let port = node.port
        await withTaskGroup(of: Void.self) { group in
            for worker in workers { group.addTask { await worker.run(port: port) } }
            // The moment of the crash is what is random here; nothing is waited for.
            try? await Task.sleep(for: delay)
            node.kill()
        }
    }

    private func killWhileStarting(after delay: Duration) async throws {
        let process = Process()
        process.executableURL = ServerProcess.binaries.appending(path: "dqlite")
        process.arguments = [
            "node", "--id", "1", "--address", "127.0.0.1:0", "--data-dir", self.data.path(percentEncoded: false),
            "--log-archive", self.archive.path(percentEncoded: false),
        ]
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        try? await Task.sleep(for: delay)
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        self.killsWhileStarting += 1
    }

    private func check(port: Int) async throws {
        var problems: [String] = []
        for database in Self.databases {
            try await DqliteConnection.withConnection(
                to: .hostname("127.0.0.1", port: port), database: database, logger: Logger(label: "crash-test")
            ) { connection in
                _ = try await connection.execute(DqliteQuery(unsafeSQL: Worker.schema))
                var parts: [Int64: Int] = [:]
                for try await row in try await connection.query("SELECT ticket, count(*) FROM part GROUP BY ticket") {
                    let (ticket, count) = try row.decode((Int64, Int).self)
                    parts[ticket] = count
                }
                problems += try await self.checkTables(connection, database, parts)
            }
        }
        if !problems.isEmpty { throw Findings(problems: problems) }
    }

    private func checkTables(
        _ connection: DqliteConnection, _ database: String, _ parts: [Int64: Int]
    ) async throws -> [String] {
        var problems: [String] = []
        var tables: Set<Int64> = []
        for try await row in try await connection.query("SELECT name FROM sqlite_schema WHERE name GLOB 'table_*'") {
            let name = try row.decode(String.self)
            if let number = Int64(name.dropFirst("table_".count)) { tables.insert(number) }
        }
        for (sql, expected) in [
            ("SELECT CAST(sum(balance) AS TEXT) FROM bank", "800"), ("PRAGMA integrity_check", "ok"),
        ] {
            for try await row in try await connection.query(
                DqliteQuery(unsafeSQL: sql), options: .init(timeout: .seconds(60)))
            {
                let value = try row.decode(String.self)
                if value != expected { problems.append("\(database): \(sql): \(value)") }
            }
        }
        for worker in self.workers where worker.database == database {
            let own = parts.filter { $0.key / 1_000_000_000 == worker.number }
            problems += await worker.check(parts: own, tables: tables)
        }
        return problems
    }

    /// Stops the node, and compares its files with its log.
    ///
    /// - Returns: What there was.
    func finish() async throws -> String {
        let node = try self.start()
        defer { node.kill() }
        try await self.check(port: node.port)
        let status = node.stop()
        guard status == 0 else { throw Findings(problems: ["the node ended with status \(status)"]) }
        let (files, entries) = try Replay.databases(
            of: [self.archive, self.data.appending(path: "log")], scratch: self.directory.appending(path: "replay"))
        var problems: [String] = []
        var sizes: [String] = []
        for database in Self.databases {
            let file = try Data(contentsOf: self.data.appending(path: "databases").appending(path: database))
            guard let replayed = files[database] else {
                problems.append("\(database): nothing in the log")
                continue
            }
            sizes.append("\(database) \(file.count) bytes")
            if file == replayed { continue }
            let pages = stride(from: 0, to: min(file.count, replayed.count), by: Replay.pageSize).filter {
                file[$0..<$0 + Replay.pageSize] != replayed[$0..<$0 + Replay.pageSize]
            }.map { $0 / Replay.pageSize + 1 }
            problems.append(
                "\(database) has \(file.count) bytes, a replay \(replayed.count); pages that differ: \(pages.prefix(10))"
            )
        }
        if !problems.isEmpty { throw Findings(problems: problems) }
        var fates: [String: Int] = [:]
        for worker in self.workers {
            for ticket in await worker.model.tickets.values { fates["\(ticket.fate)", default: 0] += 1 }
        }
        let archived = try FileManager.default.contentsOfDirectory(atPath: self.archive.path(percentEncoded: false))
            .count
        return "\(entries) entries, \(archived) segments archived, \(self.killsWhileStarting) kills while starting; "
            + "transactions: \(fates.map { "\($0.value) \($0.key)" }.sorted().joined(separator: ", ")); files equal to a "
            + "replay of the log: \(sizes.joined(separator: ", "))"
    }
}
