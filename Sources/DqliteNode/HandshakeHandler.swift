import DqliteFraming
import Logging
import NIOCore

/// Reads the first 8 bytes of a connection, which choose its encoding, and makes room for the handler of that.
final class HandshakeHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let node: NodeState
    private let logger: Logger
    private var received = ByteBuffer()
    private var timeout: Scheduled<Void>?

    init(node: NodeState, logger: Logger) {
        self.node = node
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        self.timeout = context.eventLoop.scheduleTask(in: TimeAmount(self.node.timeouts.handshake)) {
            let (handler, context) = bound.value
            handler.logger.debug("Connection closed: it did not begin in time")
            context.close(promise: nil)
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.timeout?.cancel()
        self.timeout = nil
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.received.writeBuffer(&bytes)
        guard self.timeout != nil, let word = self.received.readInteger(endianness: .little, as: UInt64.self) else {
            return
        }
        self.timeout?.cancel()
        self.timeout = nil
        let handler: any ChannelHandler
        switch word {
        case Preface.raft:
            guard let peers = self.node.peers else { return context.close(promise: nil) }
            handler = PeerHandler(node: self.node, receiver: peers, form: .native, logger: self.logger)
        case Preface.dqlite: handler = DqliteConnectionHandler(node: self.node, isLegacy: false, logger: self.logger)
        case Preface.dqliteLegacy:
            handler = DqliteConnectionHandler(node: self.node, isLegacy: true, logger: self.logger)
        case Preface.protobuf: handler = ProtobufConnectionHandler(node: self.node, logger: self.logger)
        default:
            self.logger.debug("Connection closed: unknown protocol", metadata: ["word": "\(word)"])
            return context.close(promise: nil)
        }
        context.replace(self, with: handler, received: self.received)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.debug("Connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ShutdownEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
