import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteNode

/// One connection to a node in memory, with the pipeline that a socket has.
struct HandlerTest {
    let storage: FakeStorage
    let node: NodeState
    let channel: EmbeddedChannel
    let gate: WriteGate

    init(id: UInt64 = 1, limits: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }) throws {
        self.storage = FakeStorage()
        self.node = .forTests(id: id, storage: self.storage, change: limits)
        self.gate = WriteGate()
        self.channel = EmbeddedChannel()
        try self.channel.pipeline.syncOperations.addHandlers([
            self.gate, HandshakeHandler(node: self.node, logger: self.node.logger),
        ])
        try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
    }

    /// The node's only session, or the one that was opened last.
    var session: FakeSession { self.storage.sessions.last! }

    func send(_ bytes: ByteBuffer) throws {
        try self.channel.writeInbound(bytes)
        self.channel.embeddedEventLoop.run()
    }

    func send(word: UInt64) throws { try self.send(ByteBuffer(integer: word, endianness: .little)) }

    /// Everything that the node has sent and that was not read yet.
    func received() throws -> ByteBuffer {
        self.channel.embeddedEventLoop.run()
        var all = ByteBuffer()
        while var part = try self.channel.readOutbound(as: ByteBuffer.self) { all.writeBuffer(&part) }
        return all
    }

    // MARK: The dqlite encoding

    func send(_ message: some RequestMessage, revision: UInt8 = 0) throws {
        var buffer = ByteBuffer()
        try buffer.writeDqliteRequest(message, revision: revision)
        try self.send(buffer)
    }

    func frames() throws -> [DqliteFrame] {
        var received = try self.received()
        var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 30)
        var frames: [DqliteFrame] = []
        while let frame = try decoder.decode(buffer: &received) { frames.append(frame) }
        #expect(received.readableBytes == 0)
        return frames
    }

    /// The one answer to a request.
    func call<Message: ResponseMessage>(
        _ request: some RequestMessage, revision: UInt8 = 0, _: Message.Type = Message.self, answerRevision: UInt8 = 0
    ) throws -> Message {
        try self.send(request, revision: revision)
        return try self.answer(revision: answerRevision)
    }

    /// The one answer that was sent.
    func answer<Message: ResponseMessage>(_: Message.Type = Message.self, revision: UInt8 = 0) throws -> Message {
        let frames = try self.frames()
        try #require(frames.count == 1)
        return try frames[0].message(revision: revision)
    }

    // MARK: The protobuf encoding

    func send(_ request: Request) throws {
        var buffer = ByteBuffer()
        buffer.writeEnvelope(request)
        try self.send(buffer)
    }

    func envelopes() throws -> [Response] {
        var received = try self.received()
        var decoder = EnvelopeDecoder(maximumSize: 64 << 20)
        var responses: [Response] = []
        while let envelope = try decoder.decode(buffer: &received) {
            // The parts of the fake engine are zeros, which no message begins with.
            if let response: Response = try? envelope.protobufMessage() {
                responses.append(response)
            } else {
                let view = try RequestEnvelope(envelope)
                responses.append(Response(requestID: view.requestID, body: .rows(RowsResponse())))
            }
        }
        #expect(received.readableBytes == 0)
        return responses
    }
}

extension DqliteFrame {
    /// The message of the frame, if it is of that type.
    func message<Message: ResponseMessage>(_: Message.Type = Message.self, revision: UInt8 = 0) throws -> Message {
        try #require(self.header.code == Message.code.rawValue)
        return try self.body.dqliteMessage(revision: revision)
    }
}

/// Holds back what is written when it is closed, as a socket does whose peer does not read.
final class WriteGate: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var held: [(NIOAny, EventLoopPromise<Void>?)] = []
    private var context: ChannelHandlerContext?
    private(set) var reads = 0
    var isClosed = false

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        if self.isClosed { self.held.append((data, promise)) } else { context.write(data, promise: promise) }
    }

    func read(context: ChannelHandlerContext) {
        self.reads += 1
        context.read()
    }

    /// Lets as many writes through; all, and those that come, without a number.
    func open(_ count: Int? = nil) {
        let writes = self.held.prefix(count ?? self.held.count)
        self.held.removeFirst(writes.count)
        if count == nil { self.isClosed = false }
        for (data, promise) in writes { self.context?.write(data, promise: promise) }
        self.context?.flush()
    }

    var heldWrites: Int { self.held.count }
}
