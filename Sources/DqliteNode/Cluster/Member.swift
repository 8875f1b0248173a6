import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore
import Synchronization

/// A node without its listener: log, databases, Raft, and the streams to other nodes.
final class Member: Sendable {
    let id: NodeID
    let address: String
    let log: Log
    let engines = EngineSlot()
    let driver: RaftDriver
    let transport: PeerTransport
    let configuration: DqliteNodeConfiguration
    let directory: DataDirectory
    private let start: Raft.Start
    let logger: Logger
    private let report: @Sendable (EngineEvent) -> Void
    let watchers = LeadershipWatchers()
    let snapshots: Snapshots
    let failed: @Sendable (String) -> Void

    /// Opens the log, and makes a cluster of one if that is asked for. Waits for the disk.
    ///
    /// - Parameters:
    ///   - address: Where other nodes reach this one.
    ///   - failed: Told once when the node cannot go on.
    init(
        configuration: DqliteNodeConfiguration, address: String, directory: DataDirectory, logger: Logger,
        failed: @escaping @Sendable (String) -> Void, report: @escaping @Sendable (EngineEvent) -> Void
    ) throws {
        self.id = NodeID(configuration.id)
        self.address = address
        self.configuration = configuration
        self.directory = directory
        self.logger = logger
        self.report = report
        let log = try Log(
            directory: directory.log, archive: configuration.logArchive, configuration: configuration.log)
        self.log = log
        if log.tornBytes > 0 {
            logger.notice(
                "The end of the log was cut off: a crash had interrupted its write",
                metadata: ["dqlite.log.bytes": "\(log.tornBytes)"])
        }
        do {
            // What a crash has interrupted.
            if let installation = try SnapshotInstallation.find(in: directory) {
                _ = try installation.install(into: log)
            }
            if configuration.bootstraps, log.isPristine {
                let server = Configuration.Server(id: self.id, address: address, role: .voter)
                try log.bootstrap(Configuration(servers: [server]))
            }
            let start = try log.start
            self.start = start
            let group = configuration.eventLoops
            let transport = PeerTransport(
                id: configuration.id, address: address, forms: configuration.peerForms, group: group,
                dial: configuration.dial ?? dialByTCP, logger: logger)
            self.transport = transport
            let watchers = self.watchers
            let snapshots = Snapshots()
            self.snapshots = snapshots
            self.failed = failed
            let delegate = RaftDriver.Delegate(
                failed: failed, viewChanged: { watchers.changed($0) },
                servingChanged: { watchers.changed(serving: $0) },
                snapshotNeeded: { snapshots.needed(by: $0) }, streamDropped: { snapshots.dropped($0) })
            self.driver = RaftDriver(
                id: self.id, settings: configuration.raft, commitTimeout: configuration.consensus.commitTimeout,
                log: log, start: start, engines: self.engines, transport: transport, delegate: delegate, logger: logger)
        } catch {
            log.close()
            throw error
        }
    }

    /// Brings the databases to where they were, and takes part in the cluster. Waits for the disk.
    func begin() throws {
        let engine = try self.makeEngine(applied: self.start.applied)
        do {
            self.snapshots.serve(self)
            try self.driver.start(engine)
        } catch {
            engine.close()
            throw error
        }
    }

    /// An engine whose databases have everything that is known to be committed.
    func makeEngine(applied: LogIndex) throws -> Engine {
        let status = self.log.status
        let engine = try Engine(
            configuration: self.configuration.engine(in: self.directory.databases), replicator: self.driver,
            checkpoints: status.checkpoints.mapValues { CheckpointPosition(intent: $0.intent, done: $0.done) },
            events: self.report)
        do {
            try engine.redo(self.log, through: applied)
            // Of databases that were received, the log may not have all yet that their files hold a part of.
            if engine.recoveryTarget <= applied { try engine.recovered() }
        } catch {
            engine.close()
            throw error
        }
        self.engines.engine = engine
        return engine
    }

    /// Hands leadership to another voter, if this node has it and there is one.
    func handOver(to target: NodeID? = nil) async throws(EngineError) {
        let result = await withCheckedContinuation { continuation in
            self.driver.change(.transfer(target)) { continuation.resume(returning: $0) }
        }
        try result.get()
    }

    /// Ends everything; waits for the disk.
    func end() {
        self.watchers.finish()
        self.engines.engine?.close()
        self.driver.stop()
        self.transport.stop()
        self.engines.engine = nil
        self.log.close()
    }
}

extension Member: PeerReceiver {
    var maximumMessageSize: Int { self.configuration.raft.maximumEntrySize + (1 << 20) }
    var takesCForm: Bool { self.configuration.takesCForm }

    func connected(_ node: NodeID, address: String, form: PeerForm) {
        self.transport.learned(node, address: address, form: form)
    }

    func received(_ message: PeerMessage, from node: NodeID) {
        switch message {
        case .raft(let message):
            if case .appendEntriesResult(let result) = message { self.snapshots.answered(by: node, result) }
            self.driver.append(.message(message, from: node))
        case .readIndex(.request(let context)):
            self.driver.append(
                .read { [transport] index in transport.send(.result(context: context, index: index), to: node) })
        case .readIndex(.result(let context, let index)):
            self.driver.freshness.answered(context, index)
            self.driver.freshness.applied(through: self.driver.applier.applied)
        case .part, .round: break
        }
    }

    func contact(from node: NodeID) { self.driver.append(.contact(node)) }
}

extension Log {
    /// Whether nothing was ever written to it.
    var isPristine: Bool {
        let status = self.status
        return status.lastIndex == .zero && self.hardState == HardState() && status.configurations.isEmpty
    }

    /// Writes the first entry of a new cluster; it is durable when this returns.
    func bootstrap(_ configuration: Configuration) throws(LogError) {
        try self.save(HardState(term: Term(1)))
        try self.appendAndWait([
            Entry(index: LogIndex(1), term: Term(1), kind: .configuration, data: configuration.encoded())
        ])
    }

    /// What Raft starts with: what was ever written into a file was committed.
    var start: Raft.Start {
        get throws {
            let status = self.status
            let intent = status.checkpoints.values.map(\.intent).max() ?? .zero
            let applied = min(max(intent, status.firstIndex.previous), status.lastIndex)
            let configurations = try status.configurations.map { stored in
                do {
                    return (index: stored.index, configuration: try Configuration(decoding: stored.data))
                } catch {
                    throw DqliteNodeError(
                        .engine, "entry \(stored.index) of the log holds no configuration of a cluster: \(error)")
                }
            }
            return Raft.Start(hardState: self.hardState, applied: applied, configurations: configurations)
        }
    }
}

extension Member {
    /// Whether the node is in a cluster, as far as it knows.
    var isMember: Bool { self.driver.view.configuration[self.id] != nil }

    /// Whether it is the only one there that votes.
    var isAlone: Bool { self.driver.view.configuration.voters == [self.id] }
}
