import DqliteRaft
import Foundation
import LogSimulation
import Synchronization
import TestSupport
import Testing

@testable import DqliteLog

/// The log with its thread, on real files.
@Suite struct LogTests {
    static func withDirectory(_ body: (String) throws -> Void) throws {
        let path = FileManager.default.temporaryDirectory.appending(path: "dqlite-log-\(UUID())").path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: path) }
        try body(path)
    }

    static func configuration() -> LogConfiguration {
        var configuration = LogConfiguration()
        configuration.segmentSize = 256 << 10
        configuration.recentEntriesSize = 64 << 10
        return configuration
    }

    static func entry(_ index: UInt64, term: UInt64 = 1) -> Entry {
        Entry(
            index: LogIndex(index), term: Term(term),
            data: [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: Int(index * 37 % 3000)))
    }

    /// Appends, and waits until it is durable.
    static func append(_ entries: [Entry], to log: Log) throws {
        let done = Monitor<Result<LogIndex, LogError>?>(nil)
        try log.append(entries) { result in
            done.withLock { $0 = result }
            done.wake()
        }
        #expect(try done.wait { $0 }.get() == entries.last!.index)
    }

    static func check(_ log: Log, through last: UInt64) throws {
        var next = log.status.firstIndex.rawValue
        while next <= last {
            let entries = try log.entries(in: LogIndex(next)...LogIndex(last), maximumSize: 10_000)
            #expect(entries == (next..<next + UInt64(entries.count)).map { Self.entry($0) })
            next += UInt64(entries.count)
        }
        #expect(throws: LogError.notInLog(LogIndex(last + 1))) {
            try log.entries(in: LogIndex(last + 1)...LogIndex(last + 1))
        }
    }

    @Test func itIsThereAfterReopening() throws {
        try Self.withDirectory { path in
            var log = try Log(directory: path + "/log", configuration: Self.configuration())
            try log.save(HardState(term: Term(1), vote: NodeID(4)))
            for index in UInt64(1)...300 { try Self.append([Self.entry(index)], to: log) }
            try log.beginCheckpoint(of: "db", through: LogIndex(250))
            try Self.check(log, through: 300)
            #expect(throws: LogError.self) { try Log(directory: path + "/log") }
            log.close()
            #expect(throws: LogError.closed) { try log.append([Self.entry(301)]) { _ in } }

            log = try Log(directory: path + "/log", configuration: Self.configuration())
            #expect(log.hardState == HardState(term: Term(1), vote: NodeID(4)))
            #expect(log.status.durableIndex == LogIndex(300))
            #expect(log.status.checkpoints == ["db": CheckpointMarks(intent: LogIndex(250))])
            try Self.check(log, through: 300)
            try log.endCheckpoint(of: "db", at: LogIndex(240))
            try log.truncateTail(after: LogIndex(299))
            #expect(log.term(of: LogIndex(300)) == nil)
            try Self.append([Self.entry(300), Self.entry(301)], to: log)
            try log.reset(to: LogIndex(5000), term: Term(1))
            #expect(log.status.firstIndex == LogIndex(5001))
            log.close()
        }
    }

    @Test func retiredSegmentsAreKeptInTheArchive() throws {
        try Self.withDirectory { path in
            let log = try Log(
                directory: path + "/log", archive: path + "/archive", configuration: Self.configuration())
            try log.save(HardState(term: Term(1)))
            for index in UInt64(1)...600 { try Self.append([Self.entry(index)], to: log) }
            let truncation = log.truncateHead(LogNeeds(checkpoints: LogIndex(500)))
            #expect(truncation.firstIndex > LogIndex(1))
            try Self.append([Self.entry(601)], to: log)
            log.close()
            // All segments together are the whole log.
            for name in try FileManager.default.contentsOfDirectory(atPath: path + "/archive") {
                try FileManager.default.moveItem(atPath: path + "/archive/" + name, toPath: path + "/log/" + name)
            }
            let whole = try Log(directory: path + "/log", configuration: Self.configuration())
            #expect(whole.status.firstIndex == LogIndex(1))
            try Self.check(whole, through: 601)
            whole.close()
        }
    }

    @Test func manyAppendAtOnce() throws {
        try Self.withDirectory { path in
            let log = try Log(directory: path + "/log", configuration: Self.configuration())
            try log.save(HardState(term: Term(1)))
            let next = Mutex(UInt64(1))
            let highest = Mutex(UInt64(0))
            DispatchQueue.concurrentPerform(iterations: 8) { _ in
                for _ in 0..<100 {
                    let done = Monitor<Bool>(false)
                    next.withLock { index in
                        do {
                            try log.append([Self.entry(index)]) { result in
                                guard case .success(let index) = result else { return }
                                highest.withLock { highest in
                                    #expect(highest < index.rawValue, "completions come in order")
                                    highest = index.rawValue
                                }
                                done.withLock { $0 = true }
                                done.wake()
                            }
                            index += 1
                        } catch {
                            Issue.record(error)
                        }
                    }
                    done.wait { $0 ? () : nil }
                }
            }
            #expect(log.status.durableIndex == LogIndex(800))
            try Self.check(log, through: 800)
            log.close()
        }
    }

    /// A process that is killed while it appends, again and again, loses nothing that it reported.
    @Test func aKilledProcessLosesNothing() throws {
        let tool =
            Bundle.allBundles.map(\.bundleURL).map { $0.deletingLastPathComponent() }
            .map { $0.appending(path: "log-benchmark") } + [
                URL(filePath: CommandLine.arguments[0])
                    .deletingLastPathComponent().appending(path: "log-benchmark")
            ]
        guard let program = tool.first(where: { FileManager.default.isExecutableFile(atPath: $0.path) }) else {
            Issue.record("log-benchmark is not built")
            return
        }
        try Self.withDirectory { path in
            var reported: UInt64 = 0
            var random = SeededRandom(seed: 11)
            for _ in 0..<6 {
                let process = Process()
                process.executableURL = program
                process.arguments = ["append", path + "/log"]
                let output = Pipe()
                process.standardOutput = output
                try process.run()
                // It writes a line for what is durable; after some of them it ends, wherever it is.
                let lines = Int.random(in: 1...200, using: &random)
                var text: [UInt8] = []
                while text.count(where: { $0 == 10 }) < lines {
                    let data = output.fileHandleForReading.availableData
                    guard !data.isEmpty else { break }
                    text += data
                }
                kill(process.processIdentifier, SIGKILL)
                process.waitUntilExit()
                text += try output.fileHandleForReading.readToEnd() ?? Data()
                let whole = text.prefix(through: try #require(text.lastIndex(of: 10)))
                reported = try #require(UInt64(String(decoding: whole.split(separator: 10).last!, as: UTF8.self)))
                let log = try Log(directory: path + "/log", configuration: Self.configuration())
                #expect(log.status.lastIndex >= LogIndex(reported))
                for index in UInt64(1)...log.status.lastIndex.rawValue where index % 16 == 0 {
                    let entry = try log.entries(in: LogIndex(index)...LogIndex(index))[0]
                    #expect(
                        entry.data == [UInt8](repeating: UInt8(truncatingIfNeeded: index), count: Int(index % 5000)))
                }
                log.close()
            }
        }
    }
}
