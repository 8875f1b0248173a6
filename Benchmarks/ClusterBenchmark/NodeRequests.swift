import DqliteFraming
import DqliteProtocol
import NIOCore
import NIOPosix

/// Requests about the cluster, which every node answers without a database: each on a connection of its own, in the dqlite
/// encoding.
struct NodeRequests: Sendable {
    var group: MultiThreadedEventLoopGroup

    /// The node refused, or answered what was not asked for.
    struct Refused: Error { var message: String }

    /// Where the node believes the leader to be; nil when it knows none.
    func leader(accordingTo port: Int) async throws -> String? {
        let answer = try await self.ask(LeaderRequest(), port: port, for: ServerResponse.self)
        return answer.address.isEmpty ? nil : answer.address
    }

    func servers(accordingTo port: Int) async throws -> [Server] {
        try await self.ask(ClusterRequest(format: 1), port: port, for: ServersResponse.self, revision: 1).servers
    }

    /// Adds a node, which then is a spare.
    func add(id: UInt64, address: String, through leader: Int) async throws {
        _ = try await self.ask(
            AddRequest(serverID: id, address: address), port: leader, for: EmptyResponse.self, timeout: .seconds(60))
    }

    /// Makes a node a voter: waits until it has the log.
    func promote(id: UInt64, through leader: Int) async throws {
        _ = try await self.ask(
            AssignRequest(serverID: id, role: .voter), port: leader, for: EmptyResponse.self, timeout: .seconds(60))
    }

    /// The database's files as the node has them, whether it leads or not; nil when it has none.
    func dump(_ database: String, of port: Int) async throws -> ByteBuffer? {
        do {
            let answer = try await self.ask(DumpRequest(name: database), port: port, for: FilesResponse.self)
            return ByteBuffer(bytes: answer.files.map(\.content).joined())
        } catch is Refused {
            return nil
        }
    }

    private func ask<Answer: ResponseMessage>(
        _ message: some RequestMessage, port: Int, for answer: Answer.Type, revision: UInt8 = 0,
        timeout: TimeAmount = .seconds(2)
    ) async throws -> Answer {
        var request = ByteBuffer(integer: Preface.dqlite, endianness: .little)
        try request.writeDqliteRequest(message)
        let first = request
        let loop = self.group.next()
        let answered = loop.makePromise(of: DqliteFrame.self)
        let channel: any Channel
        do {
            channel = try await ClientBootstrap(group: loop).connectTimeout(timeout)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(AnswerHandler(first, answered))
                    }
                }
                .connect(host: "127.0.0.1", port: port).get()
        } catch {
            answered.fail(error)
            throw error
        }
        let timer = loop.scheduleTask(in: timeout) { answered.fail(ChannelError.connectTimeout(timeout)) }
        answered.futureResult.whenComplete { _ in
            timer.cancel()
            channel.close(promise: nil)
        }
        let frame = try await answered.futureResult.get()
        guard frame.header.code == Answer.code.rawValue else {
            let failure: FailureResponse? = try? frame.body.dqliteMessage()
            throw Refused(message: failure?.message ?? "unexpected answer \(frame.header.code)")
        }
        return try frame.body.dqliteMessage(revision: revision)
    }
}

/// Sends one request and waits for one frame.
private final class AnswerHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let request: ByteBuffer
    private let answered: EventLoopPromise<DqliteFrame>
    private var received = ByteBuffer()
    private var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 24)

    init(_ request: ByteBuffer, _ answered: EventLoopPromise<DqliteFrame>) {
        self.request = request
        self.answered = answered
    }

    func channelActive(context: ChannelHandlerContext) {
        context.writeAndFlush(Self.wrapOutboundOut(self.request), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = Self.unwrapInboundIn(data)
        self.received.writeBuffer(&buffer)
        do {
            if let frame = try self.decoder.decode(buffer: &self.received) { self.answered.succeed(frame) }
        } catch {
            self.answered.fail(error)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.answered.fail(error)
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) { self.answered.fail(ChannelError.eof) }
}
