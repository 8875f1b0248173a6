import DqliteEngine
import DqliteProtocol
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
        let engine = try await self.startEngine(in: directory)
        do {
            try await self.serve(at: socketAddress, directory: directory, engine: engine)
        } catch {
            await self.stop(engine)
            throw error
        }
        await self.stop(engine)
        // The lock is given up when everything under it is closed.
        withExtendedLifetime(directory) {}
    }

    private func serve(at socketAddress: SocketAddress, directory: DataDirectory, engine: Engine) async throws {
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
            await Self.shutdownOrCancellation()
        } catch {
            try? await channel.close()
            throw error
        }
        self.logger.info("Shutting down", metadata: ["dqlite.node": "\(self.configuration.id)"])
        await self.shutDown(channel, connections)
    }

    /// Returns when the service is to shut down, or when the task is cancelled.
    private static func shutdownOrCancellation() async {
        let (stream, continuation) = AsyncStream.makeStream(of: Never.self)
        await withTaskCancellationOrGracefulShutdownHandler {
            for await _ in stream {}
        } onCancelOrGracefulShutdown: {
            continuation.finish()
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

    private func startEngine(in directory: DataDirectory) async throws -> Engine {
        var configuration = EngineConfiguration(directory: directory.databases)
        configuration.writeTimeout = self.configuration.timeouts.write
        configuration.maximumDatabases = self.configuration.limits.databases
        return try await Self.blocking { [configuration] in
            do throws(EngineError) {
                return try Engine(configuration: configuration)
            } catch {
                throw DqliteNodeError(.engine, "the storage cannot start: \(error.message)")
            }
        }
    }

    private func stop(_ engine: Engine) async { try? await Self.blocking { engine.close() } }

    /// Runs what waits for files or names on a thread that may wait.
    private static func blocking<Result: Sendable>(
        _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
        try await NIOThreadPool.singleton.runIfActive(body)
    }
}

extension DataDirectory {
    /// - Throws: When the directory is that of another node.
    func check(belongsTo id: UInt64) throws(DqliteNodeError) {
        guard let identity = try self.identity(), identity.nodeID != id else { return }
        throw DqliteNodeError(
            .identity, "the directory \(self.path) belongs to node \(identity.nodeID), not to node \(id)")
    }
}
