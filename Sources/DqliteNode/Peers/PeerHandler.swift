import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Logging
import NIOCore

/// What a stream from another node brings.
protocol PeerReceiver: Sendable {
    /// Bytes of the longest message that is taken, in one piece or in parts.
    var maximumMessageSize: Int { get }
    /// Whether nodes may open their streams in the C form.
    var takesCForm: Bool { get }
    /// A node has connected, and says where it is reached.
    func connected(_ node: NodeID, address: String, form: PeerForm)
    func received(_ message: PeerMessage, from node: NodeID)
    /// A node wants to send a copy of all databases.
    ///
    /// - Parameter successor: Makes the handler of what comes after it, in the C form.
    func snapshotReceiver(
        from node: NodeID, form: PeerForm, successor: @escaping () -> any ChannelHandler
    ) -> any ChannelHandler
    /// Bytes came from a node, though no whole message yet.
    func contact(from node: NodeID)
}

/// The accepting end of a stream of messages from another node: Connect, then frames. Answers travel on a stream that this
/// node opens itself.
final class PeerHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let node: NodeState
    private let receiver: any PeerReceiver
    private let logger: Logger
    private let form: PeerForm
    private var sender: NodeID?
    private var received = ByteBuffer()
    /// A message that comes in parts, and its size.
    private var assembled: (buffer: ByteBuffer, size: Int)?
    /// Of the next message.
    private var round: UInt64 = 0
    private var connect: DqliteFrameDecoder

    /// - Parameter sender: The node that has connected, if Connect was read already.
    init(node: NodeState, receiver: any PeerReceiver, form: PeerForm, sender: NodeID? = nil, logger: Logger) {
        self.node = node
        self.receiver = receiver
        self.form = form
        self.sender = sender
        self.logger = logger
        self.connect = DqliteFrameDecoder(maximumBodySize: 4096)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received.receive(self.unwrapInboundIn(data))
        do {
            if self.sender == nil { try self.readConnect(context: context) }
            guard let sender = self.sender else { return }
            var isWhole = false
            while true {
                if self.assembled == nil, RaftCodec.beginsSnapshot(self.received, form: self.form) {
                    return self.becomeReceiver(of: sender, context: context)
                }
                guard let message = try self.nextMessage() else { break }
                self.receiver.received(message, from: sender)
                isWhole = true
            }
            if !isWhole { self.receiver.contact(from: sender) }
        } catch {
            self.logger.warning(
                "Connection of another node closed: it does not keep to the protocol",
                metadata: ["error": "\(error)", "dqlite.node": "\(self.sender?.rawValue ?? 0)"])
            context.close(promise: nil)
        }
    }

    private func readConnect(context: ChannelHandlerContext) throws {
        guard let frame = try self.connect.decode(buffer: &self.received) else { return }
        guard RequestCode(rawValue: frame.header.code) == .connect else {
            return context.close(promise: nil)
        }
        let request: ConnectRequest = try frame.body.dqliteMessage()
        guard request.serverID != 0, request.serverID != self.node.id else { return context.close(promise: nil) }
        self.sender = NodeID(request.serverID)
        self.receiver.connected(NodeID(request.serverID), address: request.address, form: self.form)
        // So that the other node knows whom it has reached.
        var answer = context.channel.allocator.buffer(capacity: 64)
        _ = answer.writeDqliteAnswer(ServerResponse(serverID: self.node.id, address: self.node.address))
        context.writeAndFlush(self.wrapOutboundOut(answer), promise: nil)
    }

    /// The stream brings a copy of all databases.
    private func becomeReceiver(of sender: NodeID, context: ChannelHandlerContext) {
        let rest = self.received
        self.received = ByteBuffer()
        let (node, receiver, form, logger) = (self.node, self.receiver, self.form, self.logger)
        let handler = receiver.snapshotReceiver(from: sender, form: form) {
            PeerHandler(node: node, receiver: receiver, form: form, sender: sender, logger: logger)
        }
        context.replace(self, with: handler, received: rest)
    }

    private func nextMessage() throws(WireError) -> PeerMessage? {
        while let size = try RaftCodec.size(of: self.received, maximumSize: self.receiver.maximumMessageSize) {
            guard let frame = self.received.readSlice(length: size) else { return nil }
            let message = try RaftCodec.message(frame, form: self.form)
            let part: MessagePart
            switch message {
            case .round(let round):
                self.round = round
                continue
            case .part(let piece): part = piece
            default: return self.withRound(message)
            }
            if let whole = try self.assemble(part) { return try RaftCodec.message(whole, form: self.form) }
            if let sender = self.sender { self.receiver.contact(from: sender) }
        }
        return nil
    }

    private func withRound(_ message: PeerMessage) -> PeerMessage {
        defer { self.round = 0 }
        switch message {
        case .raft(.appendEntries(var append)):
            append.round = self.round
            return .raft(.appendEntries(append))
        case .raft(.appendEntriesResult(var result)):
            result.round = self.round
            return .raft(.appendEntriesResult(result))
        default: return message
        }
    }

    /// - Returns: The whole message, once its last part is there.
    private func assemble(_ part: MessagePart) throws(WireError) -> ByteBuffer? {
        let size = self.assembled?.size ?? Int(clamping: part.messageSize)
        var buffer = self.assembled?.buffer ?? ByteBuffer()
        guard part.messageSize == UInt64(size), size <= self.receiver.maximumMessageSize,
            buffer.readableBytes + part.data.count <= size, !part.data.isEmpty
        else { throw RaftCodec.error(.impossibleLength) }
        self.assembled = nil
        buffer.writeBytes(part.data)
        if buffer.readableBytes < size {
            self.assembled = (buffer, size)
            return nil
        }
        guard try RaftCodec.size(of: buffer, maximumSize: self.receiver.maximumMessageSize) == size else {
            throw RaftCodec.error(.invalidValue)
        }
        return buffer
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.debug("Connection of another node failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        // What the node had to hand over it has handed over before.
        if event is ShutdownEvent { context.close(promise: nil) }
        context.fireUserInboundEventTriggered(event)
    }
}
