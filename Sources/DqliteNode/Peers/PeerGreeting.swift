import DqliteFraming
import DqliteProtocol
import NIOCore

/// How a stream to another node begins: each says who it is.
struct PeerGreeting: Sendable {
    /// Of this node.
    let id: UInt64
    let address: String

    private static let timeout = TimeAmount.seconds(2)

    /// Greets whoever is at the other end of a new connection. To be called on its event loop.
    ///
    /// - Returns: The connection, when it is the expected node that has answered; otherwise it is closed.
    func greet(_ channel: any Channel, expecting id: UInt64) -> EventLoopFuture<any Channel> {
        let answered = channel.eventLoop.makePromise(of: UInt64.self)
        let timeout = channel.eventLoop.scheduleTask(in: Self.timeout) {
            answered.fail(ChannelError.connectTimeout(Self.timeout))
        }
        do {
            let handler = PeerGreetingHandler(answered: answered)
            try channel.pipeline.syncOperations.addHandler(handler)
            var hello = channel.allocator.buffer(capacity: 128)
            hello.writeInteger(Preface.raft, endianness: .little)
            try hello.writeDqliteRequest(ConnectRequest(serverID: self.id, address: self.address))
            channel.writeAndFlush(hello, promise: nil)
        } catch {
            answered.fail(error)
        }
        return answered.futureResult.flatMapThrowing { reached in
            timeout.cancel()
            guard reached == id else { throw PeerError.reached(reached) }
            return channel
        }.flatMapErrorThrowing { error in
            timeout.cancel()
            channel.close(promise: nil)
            throw error
        }
    }
}

enum PeerError: Error, CustomStringConvertible {
    /// Another node listens at the address.
    case reached(UInt64)
    case closed

    var description: String {
        switch self {
        case .reached(let id): "node \(id) listens at that address"
        case .closed: "the connection was closed before the node had said who it is"
        }
    }
}

/// Reads the one answer to a greeting, and makes room for what comes then.
final class PeerGreetingHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private var answered: EventLoopPromise<UInt64>?
    private var received = ByteBuffer()
    private var decoder = DqliteFrameDecoder(maximumBodySize: 4096)

    init(answered: EventLoopPromise<UInt64>) { self.answered = answered }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received.receive(self.unwrapInboundIn(data))
        do {
            guard let promise = self.answered, let frame = try self.decoder.decode(buffer: &self.received) else {
                return
            }
            let response: ServerResponse = try frame.body.dqliteMessage()
            self.answered = nil
            promise.succeed(response.serverID)
            let rest = self.received
            if rest.readableBytes > 0 { context.fireChannelRead(self.wrapInboundOut(rest)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.answered?.fail(PeerError.closed)
        self.answered = nil
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.answered?.fail(error)
        self.answered = nil
        context.close(promise: nil)
    }
}
