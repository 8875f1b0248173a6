import DqliteFraming
import DqliteProtocol
import Logging
import NIOCore
import NIOPosix
import Testing

@testable import DqliteClient

/// A node that does what a test tells it to, on a real socket of the loopback interface.
///
/// It answers Open and CloseSession by itself; every other request is handed to the test.
final class FakeNode: Sendable {
    /// A request, and the way to answer it.
    struct Exchange: Sendable {
        let request: ReceivedRequest
        let encoding: WireEncoding
        let channel: any Channel

        var body: Request.Body { self.request.body }

        /// SQL of ExecSQL, QuerySQL and Prepare.
        var sql: String? {
            switch self.body {
            case .execSQL(let request): request.sql
            case .querySQL(let request): request.sql
            case .prepare(let request): request.sql
            default: nil
            }
        }

        func answer(_ body: Response.Body) throws {
            let frame = try frame(body, to: self.request.requestID, in: self.encoding)
            self.channel.writeAndFlush(frame, promise: nil)
        }

        func close() { self.channel.close(promise: nil) }
    }

    let address: DqliteServerAddress
    let encoding: WireEncoding

    private let exchanges: AsyncStream<Exchange>

    private init(address: DqliteServerAddress, encoding: WireEncoding, exchanges: AsyncStream<Exchange>) {
        self.address = address
        self.encoding = encoding
        self.exchanges = exchanges
    }

    /// The next request that is not answered by itself.
    func next() async throws -> Exchange {
        for await exchange in self.exchanges { return exchange }
        throw CancellationError()
    }

    /// Runs `body` beside a node that it listens to.
    ///
    /// - Parameter handling: Answers a request; false: it is for the test to take.
    static func with<Value>(
        _ encoding: WireEncoding, answersOpen: Bool = true,
        handling: @escaping @Sendable (Exchange) throws -> Bool = { _ in false },
        _ body: (FakeNode) async throws -> Value
    ) async throws -> Value {
        let (stream, continuation) = AsyncStream.makeStream(of: Exchange.self)
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        FakeNodeHandler(encoding: encoding, answersOpen: answersOpen) { exchange in
                            if try !handling(exchange) { continuation.yield(exchange) }
                        })
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let port = try #require(server.localAddress?.port)
        let node = FakeNode(
            address: .hostname("127.0.0.1", port: port), encoding: encoding, exchanges: stream)
        do {
            let value = try await body(node)
            try await server.close()
            return value
        } catch {
            try? await server.close()
            throw error
        }
    }

    /// Connects to it.
    func connect(
        _ configure: (inout DqliteConnectionConfiguration) -> Void = { _ in }
    ) async throws -> DqliteConnection {
        var configuration = DqliteConnectionConfiguration(encoding: self.encoding.configured)
        // Long enough to be no part of any test that does not set it.
        configuration.callTimeout = .seconds(60)
        configuration.connectTimeout = .seconds(60)
        configure(&configuration)
        return try await DqliteConnection.connect(
            to: self.address, database: "test", configuration: configuration, logger: Logger(label: "test"))
    }
}

private final class FakeNodeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    let encoding: WireEncoding
    let answersOpen: Bool
    let handle: (FakeNode.Exchange) throws -> Void
    var inbound = ByteBuffer()
    var hasPreface = false

    init(encoding: WireEncoding, answersOpen: Bool, handle: @escaping (FakeNode.Exchange) throws -> Void) {
        self.encoding = encoding
        self.answersOpen = answersOpen
        self.handle = handle
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.inbound.writeBuffer(&bytes)
        do {
            if !self.hasPreface {
                guard let preface = self.inbound.readInteger(endianness: .little, as: UInt64.self) else { return }
                let expected = self.encoding == .dqlite ? Preface.dqlite : Preface.protobuf
                guard preface == expected else { return context.close(promise: nil) }
                self.hasPreface = true
            }
            for request in try takeRequests(from: &self.inbound, encoding: self.encoding) {
                let exchange = FakeNode.Exchange(
                    request: request, encoding: self.encoding, channel: context.channel)
                switch request.body {
                case .open where self.answersOpen: try exchange.answer(.database(DatabaseResponse(databaseID: 0)))
                default: try self.handle(exchange)
                }
            }
        } catch {
            Issue.record(error)
            context.close(promise: nil)
        }
    }
}
