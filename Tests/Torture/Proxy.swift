import DqliteFraming
import NIOCore
import NIOPosix
import TortureChecks

/// What others take for a node: it passes on what it gets, as far as the routes let it.
struct Proxy: Sendable {
    let port: Int
    private let listener: any Channel

    /// - Parameter target: The port that the node listens on.
    init(of node: Int, target: Int, routes: RouteTable) async throws {
        let listener = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.autoRead, value: false)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = ProxyHandler(accepting: node, routes: routes, target: target)
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        self.listener = listener
        self.port = listener.localAddress!.port!
    }

    func close() async { try? await self.listener.close() }
}

/// Passes on what arrives on one of two channels that belong together.
final class ProxyHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// What may wait here; then the sender has to wait.
    private static let limit = 256 << 10

    /// The way of what arrives here; nil: nobody has said yet who connects.
    private var route: Route?
    private let node: Int
    private let routes: RouteTable
    /// Port to connect to, as long as nobody has.
    private var target: Int?
    private var partner: ProxyHandler?
    private var context: ChannelHandlerContext?
    private var queue: [(due: NIODeadline, bytes: ByteBuffer)] = []
    private var queuedBytes = 0
    private var isReading = false
    /// Whether nothing more comes from this side.
    private var isEnded = false

    /// The side of who connects to a node.
    init(accepting node: Int, routes: RouteTable, target: Int) {
        self.node = node
        self.routes = routes
        self.target = target
    }

    /// The side of the node.
    private init(from node: Int, to party: Route.Party, routes: RouteTable) {
        self.node = node
        self.route = Route(from: .node(node), to: party)
        self.routes = routes
    }

    /// Who connects, by the first words that arrive.
    private var party: Route.Party? {
        var words = ByteBuffer()
        for (_, bytes) in self.queue where words.readableBytes < 24 { words.writeImmutableBuffer(bytes) }
        // A stream of another node begins with this, and has its number in the third word.
        let preface = withUnsafeBytes(of: Preface.raft.littleEndian) { Array($0) }
        guard preface.starts(with: words.readableBytesView.prefix(8)) else { return .clients }
        guard let id: UInt64 = words.getInteger(at: words.readerIndex + 16, endianness: .little) else { return nil }
        return .node(Int(id) - 1)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        let eventLoop = context.eventLoop
        self.routes.listen(ObjectIdentifier(self)) { eventLoop.execute { handler.value.pump() } }
        if context.channel.isActive { self.pump() }
    }

    // What waits here may yet arrive, when the channel is gone.
    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    func channelActive(context: ChannelHandlerContext) { self.pump() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = self.unwrapInboundIn(data)
        if let route = self.route { return self.enqueue([bytes], on: route, context.eventLoop) }
        self.queue.append((.now(), bytes))
        guard let party = self.party else { return }
        let route = Route(from: party, to: .node(self.node))
        self.route = route
        let first = self.queue.map(\.bytes)
        self.queue = []
        self.enqueue(first, on: route, context.eventLoop)
    }

    private func enqueue(_ pieces: [ByteBuffer], on route: Route, _ eventLoop: any EventLoop) {
        let delay = TimeAmount(self.routes.condition(of: route).delay)
        // In order, also when the delay gets shorter.
        let due = max(.now() + delay, self.queue.last?.due ?? .now())
        for bytes in pieces {
            self.queue.append((due, bytes))
            self.queuedBytes += bytes.readableBytes
        }
        if delay > .zero {
            let handler = NIOLoopBound(self, eventLoop: eventLoop)
            eventLoop.scheduleTask(deadline: due) { handler.value.pump() }
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.isReading = false
        self.pump()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) { self.partner?.pump() }

    func channelInactive(context: ChannelHandlerContext) {
        self.isEnded = true
        self.context = nil
        self.pump()
        self.partner?.pump()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    /// Nothing passes here any more.
    private func finish() {
        self.isEnded = true
        self.queue = []
        self.target = nil
        self.routes.listen(ObjectIdentifier(self), nil)
        self.context?.close(promise: nil)
    }

    /// Does what can be done now.
    private func pump() {
        guard let route = self.route else {
            if self.isEnded { return self.finish() }
            return self.readMore()
        }
        let condition = self.routes.condition(of: route)
        if condition.cut == .broken {
            self.finish()
            self.partner?.finish()
            return
        }
        // Nothing passes, and who sends has to wait: also a new connection, and the end of one.
        if condition.cut == .held { return }
        guard let partner = self.partner else {
            if let target = self.target, !self.isEnded { self.connect(to: target) } else { self.finish() }
            return
        }
        guard let onward = partner.context else {
            // It connects, or is gone.
            if partner.isEnded { self.finish() }
            return
        }
        var count = 0
        while count < self.queue.count, self.queue[count].due <= .now(), onward.channel.isWritable {
            onward.write(partner.wrapOutboundOut(self.queue[count].bytes), promise: nil)
            self.queuedBytes -= self.queue[count].bytes.readableBytes
            count += 1
        }
        if count > 0 {
            self.queue.removeFirst(count)
            onward.flush()
        }
        if self.isEnded {
            guard self.queue.isEmpty else { return }
            onward.close(promise: nil)
            self.finish()
        } else {
            self.readMore()
        }
    }

    private func readMore() {
        guard !self.isReading, self.queuedBytes < Self.limit, let context = self.context else { return }
        self.isReading = true
        context.read()
    }

    private func connect(to target: Int) {
        guard let context = self.context else { return }
        self.target = nil
        guard let party = self.route?.from else { return }
        let other = ProxyHandler(from: self.node, to: party, routes: self.routes)
        other.partner = self
        self.partner = other
        let both = NIOLoopBound((self, other), eventLoop: context.eventLoop)
        ClientBootstrap(group: context.eventLoop)
            .channelOption(.autoRead, value: false)
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(both.value.1)
                }
            }
            .connect(host: "127.0.0.1", port: target)
            .whenComplete { result in
                let (handler, other) = both.value
                switch result {
                case .success:
                    handler.pump()
                    other.pump()
                case .failure:
                    other.finish()
                    handler.finish()
                }
            }
    }
}
