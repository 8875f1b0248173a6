import DqliteFraming
import DqliteProtocol
import Logging
import NIOCore
import NIOEmbedded
import NIOPosix
import Synchronization
import Testing

@testable import DqliteClient

/// A connection on a channel without a network. The test is the node. Time passes when the test says so.
final class TestConnection: Sendable {
    let encoding: WireEncoding
    let channel: NIOAsyncTestingChannel
    let connection: DqliteConnection
    let reads: ReadCounter
    private let outbound = Mutex(Outbound())

    private struct Outbound: Sendable {
        var bytes = ByteBuffer()
        var hasPreface = false
        var requests: [ReceivedRequest] = []
    }

    init(
        _ encoding: WireEncoding, _ configure: (inout DqliteConnectionConfiguration) -> Void = { _ in }
    ) async throws {
        self.encoding = encoding
        var configuration = DqliteConnectionConfiguration(encoding: encoding.configured)
        configure(&configuration)
        let reads = ReadCounter()
        self.reads = reads
        let channel = NIOAsyncTestingChannel()
        self.channel = channel
        let settings = configuration
        let link = try await channel.testingEventLoop.executeInContext {
            let handler = try ConnectionHandler(configuration: settings, logger: Logger(label: "test"))
            try channel.pipeline.syncOperations.addHandlers(reads, handler)
            return try ConnectionLink(channel: channel, encoding: encoding)
        }
        try await channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).get()
        self.connection = DqliteConnection(
            link: link, sessionID: link.makeSession(), databaseID: 0, address: .hostname("127.0.0.1", port: 1),
            database: "test", configuration: configuration,
            eventLoopGroup: MultiThreadedEventLoopGroup.singleton, logger: Logger(label: "test"))
    }

    /// The next request that the client sends.
    func next() async throws -> ReceivedRequest {
        while true {
            let request = self.outbound.withLock { $0.requests.isEmpty ? nil : $0.requests.removeFirst() }
            if let request { return request }
            try self.took(try await self.channel.waitForOutboundWrite(as: ByteBuffer.self))
        }
    }

    /// The requests that the client has sent already.
    func sent() async throws -> [ReceivedRequest] {
        await self.channel.testingEventLoop.run()
        while let bytes = try await self.channel.readOutbound(as: ByteBuffer.self) { try self.took(bytes) }
        return self.outbound.withLock { outbound in
            defer { outbound.requests = [] }
            return outbound.requests
        }
    }

    private func took(_ bytes: ByteBuffer) throws {
        try self.outbound.withLock { outbound in
            var bytes = bytes
            outbound.bytes.writeBuffer(&bytes)
            if !outbound.hasPreface {
                let preface = outbound.bytes.readInteger(endianness: .little, as: UInt64.self)
                #expect(preface == (self.encoding == .dqlite ? Preface.dqlite : Preface.protobuf))
                outbound.hasPreface = true
            }
            outbound.requests += try takeRequests(from: &outbound.bytes, encoding: self.encoding)
        }
    }

    /// Answers a request.
    func answer(_ request: ReceivedRequest, _ body: Response.Body) async throws {
        try await self.channel.writeInbound(frame(body, to: request.requestID, in: self.encoding))
    }

    /// Expects the SQL of the next request, and answers it.
    func expect(_ sql: String, _ body: Response.Body) async throws {
        let request = try await self.next()
        #expect(request.sql == sql)
        try await self.answer(request, body)
    }
}

/// Counts how often the channel is asked to read, and to send what was written.
final class ReadCounter: ChannelOutboundHandler, Sendable {
    typealias OutboundIn = ByteBuffer

    let count = Atomic(0)
    private let flushCount = Atomic(0)

    func flush(context: ChannelHandlerContext) {
        self.flushCount.wrappingAdd(1, ordering: .relaxed)
        context.flush()
    }

    func read(context: ChannelHandlerContext) {
        self.count.wrappingAdd(1, ordering: .relaxed)
        context.read()
    }

    var value: Int { self.count.load(ordering: .relaxed) }
    var flushes: Int { self.flushCount.load(ordering: .relaxed) }
}

extension ReceivedRequest {
    /// SQL of ExecSQL, QuerySQL and Prepare.
    var sql: String? {
        switch self.body {
        case .execSQL(let request): request.sql
        case .querySQL(let request): request.sql
        case .prepare(let request): request.sql
        default: nil
        }
    }

    /// Whether it takes another one back.
    var isTakingBack: Bool {
        switch self.body {
        case .cancel, .interrupt: true
        default: false
        }
    }
}

let done = Response.Body.result(ResultResponse())
