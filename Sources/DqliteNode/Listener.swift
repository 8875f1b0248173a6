import Logging
import NIOCore
import NIOPosix
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The listening socket of a node.
final class Listener: Sendable {
    private let configuration: DqliteNodeConfiguration
    private let logger: Logger
    private let connections: Connections
    /// What connections serve. Nothing is accepted before it is there.
    private let node = Mutex<NodeState?>(nil)
    private let nextConnection = Atomic<UInt64>(1)

    init(configuration: DqliteNodeConfiguration, logger: Logger, connections: Connections) {
        self.configuration = configuration
        self.logger = logger
        self.connections = connections
    }

    /// Listens, without accepting yet: what a connection is told needs the port.
    func bind(to address: SocketAddress) async throws -> any Channel {
        let group = self.configuration.eventLoops
        let limit = self.configuration.limits.pendingBytesPerConnection
        do {
            let bootstrap = ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 128)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.autoRead, value: false)
                .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
                .childChannelOption(.writeBufferWaterMark, value: .init(low: limit, high: 4 * limit))
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try self.initialize(channel) }
                }
            // So that a client that vanished does not keep its turn to write for long.
            return try await ConnectionLoss.keepAlive.reduce(bootstrap) { $0.childChannelOption($1.0, value: $1.1) }
                .bind(to: address)
                .get()
        } catch {
            throw DqliteNodeError(.address, "cannot listen at \(self.configuration.address): \(Self.reason(error))")
        }
    }

    private static func reason(_ error: any Error) -> String {
        (error as? IOError).map { String(cString: strerror($0.errnoCode)) } ?? "\(error)"
    }

    /// Accepts connections from now on.
    func serve(_ node: NodeState, on channel: any Channel) {
        self.node.withLock { $0 = node }
        channel.setOption(.autoRead, value: true).whenSuccess { channel.read() }
    }

    private func initialize(_ channel: any Channel) throws {
        guard let node = self.node.withLock({ $0 }), self.connections.add(channel) else {
            return channel.close(promise: nil)
        }
        var logger = self.logger
        logger[metadataKey: "dqlite.connection"] = "\(self.nextConnection.add(1, ordering: .relaxed).oldValue)"
        logger.debug("Connection accepted", metadata: ["client.address": "\(channel.remoteAddress?.description ?? "")"])
        try self.configuration.acceptedChannelInitializer?(channel)
        try channel.pipeline.syncOperations.addHandler(HandshakeHandler(node: node, logger: logger))
    }
}
