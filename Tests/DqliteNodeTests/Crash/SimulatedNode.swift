import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Foundation
import LogSimulation
import NIOCore
import Synchronization

@testable import DqliteEngine
@testable import DqliteNode

/// What a node reports, by threads of its engine and of its log.
final class NodeReports: Sendable {
    struct State: Sendable {
        /// Why the log can go on no more.
        var logFailures: [String] = []
        var events: [EngineEvent] = []

        /// Why the engine can go on no more.
        var engineFailures: [EngineError] {
            self.events.compactMap { if case .failed(let error) = $0 { error } else { nil } }
        }
        var checkpointFailures: [String] {
            self.events.compactMap { if case .checkpointFailed(_, let reason) = $0 { reason } else { nil } }
        }
    }

    private let state = Mutex(State())
    private let heard = DispatchSemaphore(value: 0)

    var now: State { self.state.withLock { $0 } }

    func add(_ change: @Sendable (inout State) -> Void) {
        self.state.withLock { change(&$0) }
        self.heard.signal()
    }

    /// Waits until something is reported.
    func wait(until isReached: (State) -> Bool) -> Bool {
        while !isReached(self.now) {
            guard self.heard.wait(timeout: .now() + 30) == .success else { return false }
        }
        return true
    }
}

/// A node without its connections: log, engine, and what joins them, on a simulated disk.
final class SimulatedNode {
    let disk: SimulatedDisk
    let files: SimulatedDatabaseFiles
    private let directory: String
    private let configureLog: (inout LogConfiguration) -> Void
    private let configureEngine: (inout EngineConfiguration) -> Void
    private var starts = 0
    let reports = NodeReports()

    private(set) var log: Log?
    private(set) var replicator: TrialReplicator?
    private(set) var engine: Engine?
    var peersCommit = false
    var defect: CrashDefect?

    init(
        seed: UInt64, log: @escaping (inout LogConfiguration) -> Void = { _ in },
        engine: @escaping (inout EngineConfiguration) -> Void = { _ in }
    ) {
        self.disk = SimulatedDisk(seed: seed &* 3)
        self.directory =
            FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-crash-\(UUID().uuidString)").path
        self.files = SimulatedDatabaseFiles(on: self.disk, seed: seed &* 5, directory: self.directory + "/0")
        self.configureLog = log
        self.configureEngine = engine
    }

    deinit {
        self.discard()
        try? FileManager.default.removeItem(atPath: self.directory)
    }

    // MARK: Starts and ends

    /// Starts as `DqliteNode` does.
    ///
    /// - Parameter opened: Given the log before anything else has it.
    func start(opened: (Log) throws -> Void = { _ in }) throws {
        self.starts += 1
        try FileManager.default.createDirectory(atPath: self.directory, withIntermediateDirectories: true)
        var logConfiguration = LogConfiguration()
        self.configureLog(&logConfiguration)
        let log = try Log(fileSystem: self.disk, configuration: logConfiguration)
        self.log = log
        do {
            try opened(log)
            let local = LocalReplicator(log: log) { [reports] reason in reports.add { $0.logFailures.append(reason) } }
            let replicator = TrialReplicator(
                local, files: self.files, peersCommit: self.peersCommit, defect: self.defect, seed: UInt64(self.starts))
            self.replicator = replicator
            let skipsRedo = self.defect == .skipsRedo
            let checkpoints = log.status.checkpoints.mapValues {
                CheckpointPosition(intent: $0.intent, done: skipsRedo ? $0.intent : $0.done)
            }
            var configuration = EngineConfiguration(directory: self.files.directory)
            configuration.fileCalls = self.files.calls
            configuration.writeTimeout = .seconds(60)
            self.configureEngine(&configuration)
            let engine = try Engine(configuration: configuration, replicator: replicator, checkpoints: checkpoints) {
                [reports] event in reports.add { $0.events.append(event) }
            }
            self.engine = engine
            try replicator.start(engine)
        } catch {
            self.discard()
            throw error
        }
    }

    /// Ends in order: files have everything afterwards.
    func stop() {
        self.replicator?.flush()
        self.discard()
    }

    private func discard() {
        self.engine?.close()
        self.log?.close()
        (self.engine, self.log, self.replicator) = (nil, nil, nil)
    }

    /// Ends as when the power fails, or when only the process is killed; the disk is as the next start finds it.
    func crash(killed: Bool) throws {
        self.disk.failPower()
        self.discard()
        self.disk.restart(killed: killed)
        let old = self.files.directory
        guard !killed, FileManager.default.fileExists(atPath: old) else { return }
        try self.files.restart(in: "\(self.directory)/\(self.starts)")
        try FileManager.default.removeItem(atPath: old)
    }

    func session(_ database: String) throws -> SimulatedClient {
        guard let engine = self.engine else { preconditionFailure("the node is not running") }
        return SimulatedClient(
            try engine.openSession(database: database, encoding: .dqlite, isStateless: false), database: database)
    }
}

/// A session of a client.
final class SimulatedClient {
    let session: EngineSession
    let database: String

    init(_ session: EngineSession, database: String) {
        self.session = session
        self.database = database
    }

    private func start(_ message: some RequestMessage, _ answer: Answer) throws -> Answer {
        self.session.run(
            type(of: message).code, revision: 0,
            request: RequestBody(buffer: ByteBuffer(bytes: try message.dqliteBytes(revision: 0))), timeout: nil,
            sink: answer)
        return answer
    }

    func startExec(_ sql: String, _ answer: Answer = Answer()) throws -> Answer {
        try self.start(ExecSQLRequest(sql: sql), answer)
    }

    func exec(_ sql: String) throws {
        if let error = try self.startExec(sql).wait().failure { throw error }
    }

    func query(_ sql: String) throws -> [[Value]] {
        let end = try self.start(QuerySQLRequest(sql: sql), Answer()).wait()
        if let error = end.failure { throw error }
        var rows: [[Value]] = []
        var width = 0
        for part in end.parts {
            let response = try part.withUnsafeBytes { bytes in
                var reader = WordReader(bytes, message: "RowsResponse")
                return try RowsResponse(dqlite: &reader, revision: 0)
            }
            width = max(width, response.columns.count)
            for start in stride(from: 0, to: response.values.count, by: max(1, width)) {
                rows.append(Array(response.values[start..<start + width]))
            }
        }
        return rows
    }

    func close() {
        let closed = DispatchSemaphore(value: 0)
        self.session.close { closed.signal() }
        closed.wait()
    }
}

/// What a session answers.
final class Answer: ResponseSink {
    struct State: Sendable {
        var parts: [[UInt8]] = []
        var part: [UInt8] = []
        var isEnded = false
        var failure: EngineError?
    }

    private let state = Mutex(State())
    private let semaphore = DispatchSemaphore(value: 0)
    private let ended: @Sendable () -> Void

    init(ended: @escaping @Sendable () -> Void = {}) { self.ended = ended }

    var now: State { self.state.withLock { $0 } }

    /// Waits for the end; a silent engine is a failure too.
    func wait() -> State {
        if self.semaphore.wait(timeout: .now() + 30) == .timedOut {
            self.state.withLock { $0.failure = EngineError(code: 999, message: "the client is told nothing") }
        }
        self.semaphore.signal()
        return self.now
    }

    private func end(_ failure: EngineError? = nil) {
        self.state.withLock { state in
            state.isEnded = true
            state.failure = failure
        }
        self.semaphore.signal()
        self.ended()
    }

    func result(_ response: ResultResponse) { self.end() }
    func statement(_ response: StatementResponse) { self.end() }
    func empty() { self.end() }
    func failure(_ error: EngineError) { self.end(error) }
    var partLimit: Int { .max }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            count = body(UnsafeMutableRawBufferPointer(memory))
        }
        self.state.withLock { $0.part += bytes }
    }

    func endPart(more: Bool) -> Bool {
        self.state.withLock { state in
            state.parts.append(state.part)
            state.part = []
        }
        if !more { self.end() }
        return more
    }

    func discardPart() { self.state.withLock { $0.part = [] } }
    func blocked(bytesNeeded: Int) {}
}
