import Dispatch
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Foundation
import LogSimulation
import Synchronization
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// A node without its connections that gets its entries from a leader: data directory, log and engine.
final class SnapshotFollower {
    let disk: SimulatedDisk
    private let root: String
    private var path: String
    private var crashes = 0
    private(set) var directory: DataDirectory?
    private(set) var log: Log?
    private(set) var engine: Engine?
    private var applied = LogIndex.zero

    init(seed: UInt64 = 1) throws {
        self.disk = SimulatedDisk(seed: seed)
        self.root =
            FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-snap-\(UUID().uuidString)").path
        self.path = self.root + "/0"
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
    }

    /// One whose disks are those of another one, which has stopped.
    init(as other: SnapshotFollower, seed: UInt64) throws {
        self.disk = SimulatedDisk(seed: seed)
        self.disk.files = other.disk.files
        self.root = other.root + "-\(UUID().uuidString)"
        self.path = self.root + "/0"
        try FileManager.default.createDirectory(atPath: self.root, withIntermediateDirectories: true)
        try FileManager.default.copyItem(atPath: other.path, toPath: self.path)
    }

    deinit {
        self.stop()
        try? FileManager.default.removeItem(atPath: self.root)
    }

    /// Opens directory and log, and ends an installation that a crash has interrupted.
    func open(step: @escaping InstallationStepHook = { _ in }) throws -> SnapshotInstallation.Outcome? {
        let directory = try DataDirectory(path: self.path)
        self.directory = directory
        var configuration = LogConfiguration()
        configuration.segmentSize = 256 << 10
        self.log = try Log(fileSystem: self.disk, configuration: configuration)
        guard let installation = try SnapshotInstallation.find(in: directory, step: step) else { return nil }
        return try self.install(installation)
    }

    func install(_ installation: SnapshotInstallation) throws -> SnapshotInstallation.Outcome {
        self.engine?.close(because: "the databases are replaced by those of the leader")
        self.engine = nil
        return try installation.install(into: self.log!)
    }

    /// Opens the engine, with what the log says of the files.
    ///
    /// - Parameter ignoresIntents: A defect: files are taken for what they are when the copy begins.
    func openEngine(ignoresIntents: Bool = false) throws {
        let log = self.log!
        let checkpoints = log.status.checkpoints.mapValues {
            CheckpointPosition(intent: ignoresIntents ? $0.done : $0.intent, done: $0.done)
        }
        self.engine = try Engine(
            configuration: EngineConfiguration(directory: self.directory!.databases),
            replicator: FollowingReplicator(log), checkpoints: checkpoints)
        self.applied = log.status.firstIndex.previous
        self.engine!.passed(self.applied)
    }

    /// Whether the log knows the configuration of a snapshot.
    func hasConfiguration(of metadata: SnapshotMetadata) -> Bool {
        self.log?.status.configurations.last
            == StoredConfiguration(index: metadata.configurationIndex, data: metadata.configuration.encoded())
    }

    /// Gets entries that its log has not yet, up to `index`.
    func append(from leader: Log, through index: LogIndex? = nil) throws {
        let (log, last) = (self.log!, index ?? leader.status.lastIndex)
        let term = max(leader.hardState.term, log.hardState.term)
        try log.save(HardState(term: term, vote: log.hardState.vote))
        while log.status.lastIndex < last {
            let done = DispatchSemaphore(value: 0)
            try log.append(try leader.entries(in: log.status.lastIndex.next...last)) { _ in done.signal() }
            done.wait()
        }
    }

    /// Applies what the log has, up to `index`.
    func apply(through index: LogIndex? = nil) throws {
        let (log, engine) = (self.log!, self.engine!)
        let last = index ?? log.status.lastIndex
        while self.applied < last {
            for entry in try log.entries(in: self.applied.next...last) {
                if entry.kind == .command {
                    try engine.apply(entry.data, at: entry.index)
                } else {
                    engine.passed(entry.index)
                }
                self.applied = entry.index
            }
        }
    }

    func session(_ database: String) throws -> SimulatedClient {
        SimulatedClient(
            try self.engine!.openSession(database: database, encoding: .dqlite, isStateless: false), database: database)
    }

    func dump(_ database: String) throws -> [UInt8] { try self.engine!.dumped(database) }

    func stop() {
        self.engine?.close()
        self.log?.close()
        (self.engine, self.log, self.directory) = (nil, nil, nil)
    }

    // MARK: Crashes

    /// The power fails now: what is on the disk is what the next ``open(step:)`` finds.
    func failPower() {
        self.crashes += 1
        let next = "\(self.root)/\(self.crashes)"
        do {
            try FileManager.default.copyItem(atPath: self.path, toPath: next)
        } catch {
            preconditionFailure("the data directory cannot be copied: \(error)")
        }
        self.path = next
        self.disk.failPower()
    }

    func restart() {
        self.stop()
        self.disk.restart()
    }
}

/// Of a node that does not lead.
private final class FollowingReplicator: Replicator {
    private let log: Log

    init(_ log: Log) { self.log = log }

    func propose(
        _ command: [UInt8], term: Term, completion: @escaping @Sendable (Result<LogIndex, ReplicationFailure>) -> Void
    ) throws(ProposalRefusal) { throw .notLeader }

    var durableIndex: LogIndex { self.log.status.durableIndex }

    var holdsLease: Bool { true }

    func confirmLeadership(_ completion: @escaping @Sendable (Bool) -> Void) { completion(true) }

    func beginCheckpoint(of database: String, through index: LogIndex) throws(ReplicationFailure) {
        try Self.mark { () throws(LogError) in try self.log.beginCheckpoint(of: database, through: index) }
    }

    func endCheckpoint(of database: String, at index: LogIndex) throws(ReplicationFailure) {
        try Self.mark { () throws(LogError) in try self.log.endCheckpoint(of: database, at: index) }
    }

    private static func mark(_ body: () throws(LogError) -> Void) throws(ReplicationFailure) {
        do throws(LogError) { try body() } catch { throw .failed(error.description) }
    }

    func release(through index: LogIndex) {}
}

extension Engine {
    /// The content of a database.
    func dumped(_ database: String) throws -> [UInt8] {
        let done = DispatchSemaphore(value: 0)
        let result = Mutex<Result<FilesResponse, EngineError>?>(nil)
        self.dump(database: database) { files in
            result.withLock { $0 = files }
            done.signal()
        }
        done.wait()
        return try result.withLock { try $0!.get().files[0].content }
    }
}
