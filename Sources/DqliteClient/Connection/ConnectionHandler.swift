import DqliteProtocol
import Logging
import NIOCore

/// Who waits for a request.
enum Reply: Sendable {
    case answer(Completion<ReceivedAnswer>)
    case rows(RowStream)

    var isOver: Bool {
        switch self {
        case .answer(let completion): completion.isOver
        case .rows(let stream): stream.isAbandoned
        }
    }

    /// False: the request must not be sent.
    func markSent() -> Bool {
        switch self {
        case .answer(let completion): completion.markSent()
        case .rows(let stream): stream.markSent()
        }
    }

    func fail(_ error: DqliteError) {
        switch self {
        case .answer(let completion): completion.complete(.failure(error))
        case .rows(let stream): stream.fail(error)
        }
    }
}

/// Does what the state machine of the connection decides. Reads only when the machine wants to: the channel's own
/// reading is off.
final class ConnectionHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var machine: any ConnectionStateMachine
    private let logger: Logger
    private var replies: [UInt64: Reply] = [:]
    private var actions: [ConnectionAction] = []
    /// The beginning of a frame whose end has not arrived.
    private(set) var inbound = ByteBuffer()
    private var context: ChannelHandlerContext?
    private var isReading = false
    private var isInRead = false
    private var needsFlush = false
    private var isFlushScheduled = false
    private var timer: Scheduled<Void>?
    private var timerDeadline: NIODeadline?

    init(machine: some ConnectionStateMachine, logger: Logger) {
        self.machine = machine
        self.logger = logger
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.begin(context) }
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.closed(DqliteError(.connectionClosed, message: "the connection is closed"))
        self.context = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        self.begin(context)
        context.fireChannelActive()
    }

    private func begin(_ context: ChannelHandlerContext) {
        var preface = context.channel.allocator.buffer(capacity: 8)
        preface.writeInteger(self.machine.preface, endianness: .little)
        context.write(self.wrapOutboundOut(preface), promise: nil)
        // Flushed with the first request, in one packet.
        self.readIfWanted()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = self.unwrapInboundIn(data)
        self.isInRead = true
        if self.inbound.readableBytes == 0 {
            self.inbound = bytes
        } else {
            if self.inbound.readerIndex > 0 {
                // Only what is left of a frame is kept: a buffer that is never quite emptied would keep all that ever arrived.
                var rest = context.channel.allocator.buffer(
                    capacity: self.inbound.readableBytes + bytes.readableBytes)
                rest.writeImmutableBuffer(self.inbound)
                self.inbound = rest
            }
            self.inbound.writeBuffer(&bytes)
        }
        self.machine.received(&self.inbound, now: self.now, actions: &self.actions)
        self.perform()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.isInRead = false
        self.isReading = false
        // Memory of parts that were read long since is not kept for the next frame.
        if self.inbound.readableBytes == 0 { self.inbound = ByteBuffer() }
        self.flushIfNeeded()
        self.readIfWanted()
        context.fireChannelReadComplete()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.closed(DqliteError(.connectionClosed, message: "the node closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.closed(
            DqliteError(.connectionClosed, message: "the connection failed", underlyingError: error))
    }

    /// The time of the event loop, which tests can set.
    private var now: NIODeadline { self.context?.eventLoop.now ?? .now() }

    // MARK: What the program wants

    func submit(_ request: OutgoingRequest, reply: Reply) {
        // Whoever was cancelled before this could run is told by its reply, and nothing was sent.
        if reply.isOver { return }
        self.replies[request.id] = reply
        self.machine.submit(request, actions: &self.actions)
        self.perform()
    }

    func takeBack(_ id: UInt64) {
        guard self.replies.removeValue(forKey: id) != nil else { return }
        self.machine.takeBack(id, now: self.now, actions: &self.actions)
        self.perform()
    }

    func consumed(_ id: UInt64, bytes: Int) {
        self.machine.consumed(id, bytes: bytes, actions: &self.actions)
        self.perform()
    }

    func closed(_ error: DqliteError) {
        self.machine.closed(error, actions: &self.actions)
        self.perform()
    }

    // MARK: Actions

    private func perform() {
        // Closing a channel may call back before it returns: that call finds a list of its own.
        while !self.actions.isEmpty {
            var actions: [ConnectionAction] = []
            swap(&actions, &self.actions)
            for action in actions { self.perform(action) }
            if self.actions.isEmpty {
                actions.removeAll(keepingCapacity: true)
                self.actions = actions
            }
        }
        if !self.isInRead {
            self.flushSoon()
            self.readIfWanted()
        }
        self.armTimer()
    }

    private func perform(_ action: ConnectionAction) {
        switch action {
        case .send(let id, let bytes):
            // A task that is cancelled is told so at once, by this very flag; word of it reaches the event loop later.
            guard let reply = self.replies[id], reply.markSent() else {
                self.replies[id] = nil
                self.machine.notSent(id, actions: &self.actions)
                return
            }
            self.write(bytes)
        case .control(let bytes):
            self.write(bytes)
        case .answer(let id, let answer):
            if case .answer(let completion)? = self.replies.removeValue(forKey: id) {
                completion.complete(.success(answer))
            }
        case .late(let answer, let receive): receive(answer)
        case .part(let id, let part, let isLast):
            if case .rows(let stream)? = self.replies[id] { stream.append(part, isLast: isLast) }
            if isLast { self.replies[id] = nil }
        case .fail(let id, let error):
            self.replies.removeValue(forKey: id)?.fail(error)
        case .close:
            self.timer?.cancel()
            self.timer = nil
            self.needsFlush = false
            self.logger.debug("closing the connection to the node")
            self.context?.close(promise: nil)
        }
    }

    private func write(_ bytes: ByteBuffer) {
        self.context?.write(self.wrapOutboundOut(bytes), promise: nil)
        self.needsFlush = true
    }

    /// Flushes once for everything that waits on the event loop by now: what many tasks ask for at a time goes out in one packet.
    private func flushSoon() {
        guard self.needsFlush, !self.isFlushScheduled, let context = self.context else { return }
        // Who is alone with the connection gains nothing by a detour.
        guard self.replies.count > 1 else { return self.flushIfNeeded() }
        self.isFlushScheduled = true
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            handler.value.isFlushScheduled = false
            handler.value.flushIfNeeded()
        }
    }

    private func flushIfNeeded() {
        guard self.needsFlush else { return }
        self.needsFlush = false
        self.context?.flush()
    }

    private func readIfWanted() {
        guard !self.isReading, self.machine.wantsToRead, let context = self.context, context.channel.isActive else {
            return
        }
        self.isReading = true
        context.read()
    }

    private func armTimer() {
        guard let deadline = self.machine.nextDeadline, let context = self.context else { return }
        if self.timer != nil, let armed = self.timerDeadline, armed <= deadline { return }
        self.timer?.cancel()
        self.timerDeadline = deadline
        let handler = NIOLoopBound(self, eventLoop: context.eventLoop)
        self.timer = context.eventLoop.scheduleTask(deadline: deadline) { handler.value.timerFired() }
    }

    private func timerFired() {
        self.timer = nil
        self.timerDeadline = nil
        self.machine.deadlinePassed(now: self.now, actions: &self.actions)
        self.perform()
    }
}
