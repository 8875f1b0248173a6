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
    let configuration: DqliteNodeConfiguration
    let logger: Logger
    private let readiness = Readiness()
    let wasRun = Atomic<Bool>(false)
    /// What runs now.
    let member = Mutex<Member?>(nil)

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
        let metrics = NodeMetrics()
        let connections = Connections(limit: self.configuration.limits.connections, metrics: metrics)
        let listener = Listener(configuration: self.configuration, logger: self.logger, connections: connections)
        // Nothing is accepted yet: the others are told an address that has the port.
        let channel = try await listener.bind(to: socketAddress)
        do {
            let (bound, advertised) = try self.addresses(of: channel)
            let member = try await self.startMember(in: directory, address: advertised, failure: failure)
            self.member.withLock { $0 = member }
            listener.serve(
                NodeState(
                    id: self.configuration.id, address: advertised, failureDomain: self.configuration.failureDomain,
                    limits: self.configuration.limits, timeouts: self.configuration.timeouts,
                    storage: EngineStorage(slot: member.engines), cluster: member.driver, peers: member,
                    metrics: metrics, logger: self.logger),
                on: channel)
            await self.serve(member, at: bound, failure: failure)
            self.logger.info("Shutting down", metadata: ["dqlite.node": "\(self.configuration.id)"])
            if failure.message == nil { await self.handOver(member) }
            self.member.withLock { $0 = nil }
            await self.shutDown(channel, connections)
            try? await Self.blocking { member.end() }
        } catch {
            self.member.withLock { $0 = nil }
            try? await channel.close()
            throw error
        }
        // The lock is given up when everything under it is closed.
        withExtendedLifetime(directory) {}
        if let message = failure.message { throw DqliteNodeError(.engine, "the node had to stop: \(message)") }
    }

    /// Serves until the service shuts down, the task is cancelled, or the node cannot go on.
    private func serve(_ member: Member, at bound: NodeAddress, failure: Failure) async {
        await withTaskGroup { group in
            group.addTask {
                // A node that is alone leads within moments; in a larger cluster, who leads is no matter of this node.
                if member.isAlone { for await news in member.watchers.watch() where news.isServing { break } }
                if Task.isCancelled { return }
                self.logger.info(
                    "Serving",
                    metadata: ["dqlite.node": "\(self.configuration.id)", "server.address": "\(bound)"])
                self.readiness.succeed(bound)
            }
            if case .join(let addresses, let role) = self.configuration.start, !member.isMember {
                group.addTask {
                    try? await self.joining(member).join(addresses.map(\.description), as: role.server)
                }
            }
            await Self.shutdownOrCancellation(or: failure)
            group.cancelAll()
        }
        if let message = failure.message {
            self.logger.critical("The node cannot go on", metadata: ["error": "\(message)"])
        }
    }

    func joining(_ member: Member) -> Joining {
        Joining(
            id: self.configuration.id, address: member.address, dial: self.configuration.dial ?? dialByTCP,
            eventLoop: self.configuration.eventLoops.next(), logger: self.logger)
    }

    /// How long a node that led goes on to say that it does not.
    private static let farewell = Duration.milliseconds(200)

    /// A leader that goes lets another one lead before, so that nobody's write is lost or in doubt.
    private func handOver(_ member: Member) async {
        guard member.driver.view.role == .leader, !member.isAlone else { return }
        do throws(EngineError) {
            try await member.handOver()
            // Clients learn with their next request that another node leads, before their connections are closed.
            try? await Task.sleep(for: Self.farewell)
        } catch {
            self.logger.notice(
                "Leadership could not be handed over; another node will be elected",
                metadata: ["error": "\(error.message)"])
        }
    }

    private func addresses(of channel: any Channel) throws -> (bound: NodeAddress, advertised: String) {
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
        return (bound, advertised.description)
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

    private func startMember(
        in directory: DataDirectory, address: String, failure: Failure
    ) async throws -> Member {
        let logger = self.logger
        return try await Self.blocking { [configuration = self.configuration] in
            do {
                let member = try Member(
                    configuration: configuration, address: address, directory: directory, logger: logger
                ) {
                    failure.fail($0)
                } report: {
                    Self.report($0, logger, failure)
                }
                do {
                    try directory.setIdentity(nodeID: configuration.id, address: address)
                    try member.begin()
                } catch {
                    member.end()
                    throw error
                }
                return member
            } catch let error as DqliteNodeError {
                throw error
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

    /// Runs what waits for files or names on a thread that may wait.
    static func blocking<Result: Sendable>(
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
