import DqliteFraming
import DqliteProtocol
import Logging
import NIOCore
import NIOPosix
import Synchronization

/// A connection as tasks see it: what they want is done on its event loop.
final class ConnectionLink: Sendable {
    let channel: any Channel
    let encoding: WireEncoding
    private let handler: NIOLoopBound<ConnectionHandler>
    private let lastRequestID = Atomic<UInt64>(0)
    private let lastSessionID = Atomic<UInt64>(0)
    private let openSessions = Atomic<Int>(0)

    init(channel: any Channel, encoding: WireEncoding, handler: NIOLoopBound<ConnectionHandler>) {
        self.channel = channel
        self.encoding = encoding
        self.handler = handler
    }

    /// The time of the event loop.
    var now: NIODeadline { self.channel.eventLoop.now }

    /// An id for a request: even, the odd ones are the state machine's.
    func makeRequestID() -> UInt64 { self.lastRequestID.wrappingAdd(2, ordering: .relaxed).newValue }

    /// An id for a session. Each has to be ended with ``endSession()``.
    func makeSession() -> UInt64 {
        self.openSessions.wrappingAdd(1, ordering: .relaxed)
        return self.lastSessionID.wrappingAdd(1, ordering: .relaxed).newValue
    }

    /// A session has ended. True: it was the last one.
    func endSession() -> Bool { self.openSessions.wrappingSubtract(1, ordering: .acquiringAndReleasing).newValue == 0 }

    func submit(_ request: OutgoingRequest, reply: Reply) {
        self.onLoop { $0.submit(request, reply: reply) }
    }

    func takeBack(_ id: UInt64) { self.onLoop { $0.takeBack(id) } }

    func consumed(_ id: UInt64, bytes: Int) { self.onLoop { $0.consumed(id, bytes: bytes) } }

    func close(_ error: DqliteError) { self.onLoop { $0.closed(error) } }

    private func onLoop(_ body: @escaping @Sendable (ConnectionHandler) -> Void) {
        let handler = self.handler
        // Always through the queue, so that what one task asks for is done in its order.
        self.channel.eventLoop.execute { body(handler.value) }
    }
}

extension ConnectionHandler {
    /// The handler of a connection that is configured so.
    convenience init(configuration: DqliteConnectionConfiguration, logger: Logger) throws {
        let limits = ConnectionLimits(configuration)
        switch configuration.encoding {
        case .dqlite:
            var interrupt = ByteBuffer()
            // A connection has one database, so its number is always zero.
            try interrupt.writeDqliteRequest(InterruptRequest(databaseID: 0))
            self.init(machine: DqliteEncodingStateMachine(limits: limits, interrupt: interrupt), logger: logger)
        case .protobuf:
            self.init(machine: ProtobufEncodingStateMachine(limits: limits), logger: logger)
        }
    }
}

extension ConnectionLink {
    /// The link to a channel whose handler is a ``ConnectionHandler``. Called on the channel's event loop.
    convenience init(channel: any Channel, encoding: WireEncoding) throws {
        let handler = try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self)
        self.init(
            channel: channel, encoding: encoding, handler: NIOLoopBound(handler, eventLoop: channel.eventLoop))
    }

    /// Connects. What comes too late, because the task was cancelled, is closed again.
    static func connect(
        to address: DqliteServerAddress, configuration: DqliteConnectionConfiguration,
        eventLoopGroup: any EventLoopGroup, logger: Logger
    ) async throws(DqliteError) -> ConnectionLink {
        let bootstrap = ClientBootstrap(group: eventLoopGroup)
            .connectTimeout(TimeAmount(configuration.connectTimeout))
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = try ConnectionHandler(configuration: configuration, logger: logger)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        let connected =
            switch address.base {
            case .hostname(let host, let port):
                bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host, port: port)
            case .unixDomainSocket(let path): bootstrap.connect(unixDomainSocketPath: path)
            }
        let future = connected.flatMapThrowing { channel in
            try ConnectionLink(channel: channel, encoding: configuration.encoding.wire)
        }
        let completion = Completion<ConnectionLink>()
        future.whenComplete { result in
            completion.complete(
                result.mapError { error in
                    DqliteError(.connectFailed, message: "no connection to \(address)", underlyingError: error)
                })
        }
        return try await completion.wait(onCancel: { connected.whenSuccess { $0.close(promise: nil) } }).get()
    }
}

extension DqliteConnectionConfiguration.Encoding {
    var wire: WireEncoding {
        switch self {
        case .protobuf: .protobuf
        case .dqlite: .dqlite
        }
    }
}
