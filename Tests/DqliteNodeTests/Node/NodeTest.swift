import DqliteFraming
import DqliteProtocol
import DqliteWire
import Logging
import NIOCore
import NIOPosix
import ServiceLifecycle
import Testing

@testable import DqliteNode

/// A node of a test that runs.
struct RunningNode: Sendable {
    let node: DqliteNode
    let address: NodeAddress
    let group: ServiceGroup
    let dataDirectory: String

    /// Calls `body` with a connection that speaks the encoding which the word chooses.
    func connected<Result>(
        _ word: UInt64 = Preface.dqlite, _ body: (TestConnection) async throws -> Result
    ) async throws -> Result {
        try await TestConnection.with(self.address) { connection in
            try await connection.send(ByteBuffer(integer: word, endianness: .little))
            return try await body(connection)
        }
    }

    /// Calls `body` with a connection of the dqlite encoding on which the database "test" is open.
    func opened<Result>(_ body: (TestConnection) async throws -> Result) async throws -> Result {
        try await self.connected { connection in
            #expect(try await connection.call(OpenRequest(name: "test")) == DatabaseResponse())
            return try await body(connection)
        }
    }
}

/// Runs a node on a port that is free, in a directory that is removed, as long as `body` runs.
func withNode(
    logger: Logger? = nil, change: @Sendable (inout DqliteNodeConfiguration) -> Void = { _ in },
    _ body: @Sendable @escaping (RunningNode) async throws -> Void
) async throws {
    try await withTemporaryDirectoryAsync { path in
        try await withNode(in: path + "/node", logger: logger, change: change, body)
    }
}

/// Runs a node on a port that is free as long as `body` runs.
func withNode(
    in directory: String, logger: Logger? = nil, change: @Sendable (inout DqliteNodeConfiguration) -> Void = { _ in },
    _ body: @Sendable @escaping (RunningNode) async throws -> Void
) async throws {
    var configuration = DqliteNodeConfiguration(
        address: NodeAddress(host: "127.0.0.1", port: 0), dataDirectory: directory)
    change(&configuration)
    let logger = logger ?? Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    let node = DqliteNode(configuration: configuration, logger: logger)
    let group = ServiceGroup(services: [node], logger: logger)
    try await withThrowingTaskGroup(of: Void.self) { tasks in
        tasks.addTask { try await group.run() }
        let address = try await node.waitUntilReady()
        try await body(RunningNode(node: node, address: address, group: group, dataDirectory: directory))
        await group.triggerGracefulShutdown()
        try await tasks.waitForAll()
    }
}

/// One connection of a test to a node.
final class TestConnection {
    private var inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator
    private let outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    private var received = ByteBuffer()

    private init(
        inbound: NIOAsyncChannelInboundStream<ByteBuffer>.AsyncIterator,
        outbound: NIOAsyncChannelOutboundWriter<ByteBuffer>
    ) {
        self.inbound = inbound
        self.outbound = outbound
    }

    static func with<Result>(
        _ address: NodeAddress, _ body: (TestConnection) async throws -> Result
    ) async throws -> Result {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: address.host, port: address.port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            try await body(TestConnection(inbound: inbound.makeAsyncIterator(), outbound: outbound))
        }
    }

    func send(_ bytes: ByteBuffer) async throws { try await self.outbound.write(bytes) }

    /// Waits for more bytes.
    ///
    /// - Returns: false when the node has closed the connection.
    private func receive() async -> Bool {
        guard let bytes = try? await self.inbound.next(isolation: #isolation) else { return false }
        self.received.receive(bytes)
        return true
    }

    /// Whether the node closes the connection without a word.
    func isClosed() async -> Bool {
        while await self.receive() {}
        return self.received.readableBytes == 0
    }

    // MARK: The dqlite encoding

    func send(_ message: some RequestMessage, revision: UInt8 = 0) async throws {
        var buffer = ByteBuffer()
        try buffer.writeDqliteRequest(message, revision: revision)
        try await self.send(buffer)
    }

    /// The next frame; nil at the end of the connection.
    func frame() async throws -> DqliteFrame? {
        var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 30)
        while true {
            if let frame = try decoder.decode(buffer: &self.received) { return frame }
            guard await self.receive() else { return nil }
        }
    }

    func answer<Message: ResponseMessage>(
        _: Message.Type = Message.self, revision: UInt8 = 0
    ) async throws -> Message {
        let frame = try #require(try await self.frame())
        if frame.header.code == ResponseCode.failure.rawValue, Message.code != .failure {
            let failure: FailureResponse = try frame.message()
            throw TestFailure(failure: failure)
        }
        return try frame.message(revision: revision)
    }

    func call<Message: ResponseMessage>(
        _ request: some RequestMessage, revision: UInt8 = 0, _: Message.Type = Message.self, answerRevision: UInt8 = 0
    ) async throws -> Message {
        try await self.send(request, revision: revision)
        return try await self.answer(revision: answerRevision)
    }

    @discardableResult
    func exec(_ sql: String, _ parameters: [Value] = []) async throws -> ResultResponse {
        try await self.call(ExecSQLRequest(sql: sql, parameters: parameters))
    }

    /// All rows of a query.
    func query(_ sql: String, _ parameters: [Value] = []) async throws -> [Value] {
        try await self.send(QuerySQLRequest(sql: sql, parameters: parameters))
        var values: [Value] = []
        while true {
            let rows: RowsResponse = try await self.answer()
            values += rows.values
            if !rows.more { return values }
        }
    }

    // MARK: The protobuf encoding

    func send(_ request: Request) async throws {
        var buffer = ByteBuffer()
        buffer.writeEnvelope(request)
        try await self.send(buffer)
    }

    /// The next envelope, as it is and with the size that it had; nil at the end of the connection.
    func envelope() async throws -> (response: Response, size: Int)? {
        var decoder = EnvelopeDecoder(maximumSize: 64 << 20)
        while true {
            let before = self.received.readableBytes
            if let envelope = try decoder.decode(buffer: &self.received) {
                return (try envelope.protobufMessage(), before - self.received.readableBytes)
            }
            guard await self.receive() else { return nil }
        }
    }

    func response() async throws -> Response { try #require(try await self.envelope()).response }

    func call(_ request: Request) async throws -> Response.Body? {
        try await self.send(request)
        let response = try await self.response()
        #expect(response.requestID == request.requestID)
        return response.body
    }
}

/// A Failure where the test expected something else.
struct TestFailure: Error, CustomStringConvertible {
    let failure: FailureResponse
    var description: String { "Failure \(self.failure.code): \(self.failure.message)" }
}
