import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
public import Logging
import NIOCore
import NIOPosix
public import ServiceLifecycle
import Synchronization

/// A node: serves databases of SQLite to clients of both encodings, on one port.
///
/// Making one does nothing; ``run()`` does everything:
///
/// ```swift
/// let node = DqliteNode(
///     configuration: .init(address: .init(host: "127.0.0.1", port: 9001), dataDirectory: "data"), logger: logger)
/// try await ServiceGroup(services: [node], gracefulShutdownSignals: [.sigterm], logger: logger).run()
/// ```
public final class DqliteNode: Service {
    private let configuration: DqliteNodeConfiguration
    private let logger: Logger
    private let readiness = Readiness()
    private let wasRun = Atomic<Bool>(false)

    /// A node that does nothing yet.
    ///
    /// - Parameters:
    ///   - configuration: What the node is and where it lives. It is checked by ``run()``.
    ///   - logger: Where the node writes. It logs nothing per request above trace, and nothing per connection above debug.
    public init(configuration: DqliteNodeConfiguration, logger: Logger) {
        self.configuration = configuration
        self.logger = logger
    }

    /// The address at which the node listens, as soon as it serves: the port is the real one if zero was asked for.
    ///
    /// - Throws: What ``run()`` throws when the node cannot start, ``DqliteNodeError/Code/stopped`` when it has stopped, and
    ///   `CancellationError` when the task is cancelled.
    public func waitUntilReady() async throws -> NodeAddress { try await self.readiness.wait() }

    /// Serves until the service shuts down gracefully or the task is cancelled. May be called once.
    ///
    /// A graceful shutdown stops accepting, ends the running requests within the limit of
    /// ``DqliteNodeConfiguration/Timeouts/shutdown``, rolls back open transactions and closes. Cancelling interrupts the running requests.
    ///
    /// - Throws: ``DqliteNodeError`` when the node cannot start.
    public func run() async throws {
        guard !self.wasRun.exchange(true, ordering: .relaxed) else {
            throw DqliteNodeError(.stopped, "the node was run before")
        }
        do {
            try await self.serve()
            self.readiness.fail(DqliteNodeError(.stopped, "the node has stopped"))
        } catch let error as DqliteNodeError {
            self.readiness.fail(error)
            throw error
        }
    }

    private func serve() async throws {
        try self.configuration.validate()
        let socketAddress = try await self.resolvedAddress()
        let directory = try await Self.blocking { [configuration] in
            let directory = try DataDirectory(path: configuration.dataDirectory)
            try directory.check(belongsTo: configuration.id)
            return directory
        }
        let failure = Failure()
        let (engine, log) = try await self.startEngine(in: directory, failure: failure)
        do {
            try await self.serve(at: socketAddress, directory: directory, engine: engine, failure: failure)
        } catch {
            await self.stop(engine, log)
            throw error
        }
        await self.stop(engine, log)
        // The lock is given up when everything under it is closed.
        withExtendedLifetime(directory) {}
        if let message = failure.message { throw DqliteNodeError(.engine, "the node had to stop: \(message)") }
    }

    private func serve(
        at socketAddress: SocketAddress, directory: DataDirectory, engine: Engine, failure: Failure
    ) async throws {
        let metrics = NodeMetrics()
        let connections = Connections(limit: self.configuration.limits.connections, metrics: metrics)
        let listener = Listener(configuration: self.configuration, logger: self.logger, connections: connections)
        let channel = try await listener.bind(to: socketAddress)
        do {
            guard let bound = channel.localAddress.flatMap(NodeAddress.init) else {
                throw DqliteNodeError(.address, "the address of the socket is unknown")
            }
            let advertised =
                self.configuration.advertisedAddress
                ?? NodeAddress(host: self.configuration.address.host, port: bound.port)
            if NodeAddress.wildcards.contains(advertised.host) {
                self.logger.warning(
                    "The advertised address is none that others can reach: set it",
                    metadata: ["server.address": "\(advertised)"])
            }
            let id = self.configuration.id
            try await Self.blocking { try directory.setIdentity(nodeID: id, address: advertised.description) }
            listener.serve(
                NodeState(
                    id: id, address: advertised.description, failureDomain: self.configuration.failureDomain,
                    limits: self.configuration.limits, timeouts: self.configuration.timeouts,
                    storage: EngineStorage(engine: engine), metrics: metrics, logger: self.logger),
                on: channel)
            self.logger.info("Serving", metadata: ["dqlite.node": "\(id)", "server.address": "\(bound)"])
            self.readiness.succeed(bound)
            await Self.shutdownOrCancellation(or: failure)
            if let message = failure.message {
                self.logger.critical("The node cannot go on", metadata: ["error": "\(message)"])
            }
        } catch {
            try? await channel.close()
            throw error
        }
        self.logger.info("Shutting down", metadata: ["dqlite.node": "\(self.configuration.id)"])
        await self.shutDown(channel, connections)
    }

    /// Returns when the service is to shut down, when the task is cancelled, or when the node cannot go on.
    private static func shutdownOrCancellation(or failure: Failure) async {
        await withTaskCancellationOrGracefulShutdownHandler {
            for await _ in failure.stream {}
        } onCancelOrGracefulShutdown: {
            failure.end()
        }
    }

    private func shutDown(_ listener: any Channel, _ connections: Connections) async {
        let loop = listener.eventLoop
        let limit = TimeAmount(self.configuration.timeouts.shutdown)
        listener.close(promise: nil)
        connections.shutDown(.drain)
        // Interrupting is answered within moments; a connection whose client does not take its answers is just closed.
        let interrupt = loop.scheduleTask(in: limit) { connections.shutDown(.interrupt) }
        let close = loop.scheduleTask(in: limit + .seconds(1)) { connections.closeAll() }
        await withTaskCancellationHandler {
            await connections.closed()
        } onCancel: {
            interrupt.cancel()
            connections.shutDown(.interrupt)
            _ = loop.scheduleTask(in: .seconds(1)) { connections.closeAll() }
        }
        interrupt.cancel()
        close.cancel()
    }

    // MARK: Parts of the start

    private func resolvedAddress() async throws -> SocketAddress {
        let address = self.configuration.address
        let resolved = try await Self.blocking {
            do {
                return try SocketAddress.makeAddressResolvingHost(address.host, port: address.port)
            } catch {
                throw DqliteNodeError(.address, "cannot resolve \(address.host)")
            }
        }
        guard resolved.isLoopback else {
            guard self.configuration.allowsInsecureAddress else {
                throw DqliteNodeError(
                    .address,
                    "\(address) can be reached from other machines, and there is no TLS yet: "
                        + "use a loopback address or allow it (--insecure)")
            }
            self.logger.warning(
                "Listening without TLS: whoever reaches the port can do everything",
                metadata: ["server.address": "\(address)"])
            return resolved
        }
        return resolved
    }

    private func startEngine(in directory: DataDirectory, failure: Failure) async throws -> (Engine, Log) {
        let id = self.configuration.id
        let logger = self.logger
        return try await Self.blocking { [configuration = self.configuration] in
            do {
                let log = try Log(
                    directory: directory.log, archive: configuration.logArchive, configuration: configuration.log)
                if log.tornBytes > 0 {
                    logger.notice(
                        "The end of the log was cut off: a crash had interrupted its write",
                        metadata: ["dqlite.log.bytes": "\(log.tornBytes)"])
                }
                let replicator = LocalReplicator(log: log) { failure.fail($0) }
                let checkpoints = log.status.checkpoints.mapValues {
                    CheckpointPosition(intent: $0.intent, done: $0.done)
                }
                let engine = try Engine(
                    configuration: configuration.engine(in: directory.databases), replicator: replicator,
                    checkpoints: checkpoints
                ) { Self.report($0, logger, failure) }
                do {
                    if let obstacle = try replicator.start(engine, nodeID: NodeID(id)) {
                        logger.warning(
                            "Nothing can be written until there is room for the log; reads are served",
                            metadata: ["error": "\(obstacle)"])
                    }
                } catch {
                    engine.close()
                    throw error
                }
                return (engine, log)
            } catch {
                let reason = (error as? EngineError)?.message ?? "\(error)"
                throw DqliteNodeError(.engine, "the storage cannot start: \(reason)")
            }
        }
    }

    private static func report(_ event: EngineEvent, _ logger: Logger, _ failure: Failure) {
        switch event {
        case .checkpointFailed(let database, let reason):
            logger.warning(
                "Pages could not be copied into a database file; it will be tried again",
                metadata: ["dqlite.database": "\(database)", "error": "\(reason)"])
        case .snapshotGivenUp(let database, let pages):
            logger.warning(
                "A reader lost its snapshot: too many pages were kept for it",
                metadata: ["dqlite.database": "\(database)", "dqlite.pages": "\(pages)"])
        case .overlayLost(let database, let reason):
            logger.error(
                "Writes were dropped, and their clients told",
                metadata: ["dqlite.database": "\(database)", "error": "\(reason)"])
        case .failed(let error):
            failure.fail(error.message)
        }
    }

    private func stop(_ engine: Engine, _ log: Log) async {
        try? await Self.blocking {
            engine.close()
            log.close()
        }
    }

    /// Runs what waits for files or names on a thread that may wait.
    private static func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive(body)
    }
}

/// Why a node cannot go on, told by threads of the engine and of the log.
private final class Failure: Sendable {
    let stream: AsyncStream<Never>
    private let continuation: AsyncStream<Never>.Continuation
    private let first = Mutex<String?>(nil)

    init() { (self.stream, self.continuation) = AsyncStream.makeStream() }

    /// The first reason; nil: there is none.
    var message: String? { self.first.withLock { $0 } }

    func fail(_ message: String) {
        self.first.withLock { $0 = $0 ?? message }
        self.continuation.finish()
    }

    func end() { self.continuation.finish() }
}

extension DataDirectory {
    /// - Throws: When the directory is that of another node.
    func check(belongsTo id: UInt64) throws(DqliteNodeError) {
        guard let identity = try self.identity(), identity.nodeID != id else { return }
        throw DqliteNodeError(
            .identity, "the directory \(self.path) belongs to node \(identity.nodeID), not to node \(id)")
    }
}
