import DqliteLog
import DqliteProtocol
import DqliteRaft
import Foundation
import LogSimulation
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
    /// Why nothing could be written when it started.
    private(set) var obstacle: LogError?
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
            self.obstacle = try replicator.start(engine)
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
