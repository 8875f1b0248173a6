import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Logging
import NIOCore

/// Serves one connection of the dqlite encoding.
final class DqliteConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let node: NodeState
    private let logger: Logger
    /// Whether the connection began with the legacy word: Leader is then answered in its old form.
    private let isLegacy: Bool
    private let budget: ResultBudget
    private var machine: DqliteConnectionMachine
    private var decoder: DqliteFrameDecoder
    private var received = ByteBuffer()
    private var partial: PartialRequests.Share
    private var database: (session: any StorageSession, sink: DqliteResultSink)?
    private var context: ChannelHandlerContext?
    private var readIsHeld = false
    private var needsFlush = false

    init(node: NodeState, isLegacy: Bool, logger: Logger) {
        self.node = node
        self.logger = logger
        self.isLegacy = isLegacy
        self.budget = ResultBudget(limit: node.limits.pendingBytesPerConnection)
        self.machine = DqliteConnectionMachine(
            limit: node.limits.queuedRequests, byteLimit: node.limits.requestBytesPerConnection)
        self.partial = PartialRequests.Share(of: node.partialRequests)
        self.decoder = DqliteFrameDecoder(maximumBodySize: node.limits.frameSize)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelInactive(context: ChannelHandlerContext) {
        self.abandon()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.abandon() }

    /// Nobody waits for answers any more. The session's transaction is rolled back.
    private func abandon() {
        self.context = nil
        self.received = ByteBuffer()
        _ = self.partial.update(0)
        self.machine.drain()
        self.database?.session.close {}
        self.database = nil
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.context != nil else { return }
        self.received.receive(self.unwrapInboundIn(data))
        self.proceed(context: context)
        guard self.context != nil, !self.partial.update(self.received.readableBytes) else { return }
        if self.machine.runningRequest == nil {
            var buffer = context.channel.allocator.buffer(capacity: 128)
            buffer.writeDqliteFailure(.tooManyPartialRequests)
            context.write(self.wrapOutboundOut(buffer), promise: nil)
        }
        self.close(context: context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.flushIfNeeded(context: context)
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if self.machine.wantsRequests { context.read() } else { self.readIsHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.machine.outputBecame(full: !context.channel.isWritable)
        self.proceed(context: context)
        self.flushIfNeeded(context: context)
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.debug("Connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ShutdownEvent {
            self.machine.drain()
            if event == .interrupt { self.database?.session.interrupt() }
            self.closeIfDrained(context: context)
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Takes requests out of what has arrived, and runs them, as far as that is possible now.
    private func proceed(context: ChannelHandlerContext) {
        while self.context != nil {
            // A request starts before the next one is looked at: an Interrupt right behind it is meant for it.
            if let request = self.machine.startNext() {
                self.run(request, context: context)
            } else if self.machine.wantsRequests, let frame = self.nextFrame(context: context) {
                let request = DqliteConnectionMachine.Request(frame: frame, arrival: .now())
                if self.machine.received(request) { self.database?.session.interrupt() }
            } else {
                break
            }
        }
        guard self.context != nil else { return }
        self.closeIfDrained(context: context)
        if self.readIsHeld, self.machine.wantsRequests {
            self.readIsHeld = false
            context.read()
        }
    }

    private func nextFrame(context: ChannelHandlerContext) -> DqliteFrame? {
        do {
            return try self.decoder.decode(buffer: &self.received)
        } catch {
            self.logger.debug("Connection closed: not a frame", metadata: ["error": "\(error)"])
            self.close(context: context)
            return nil
        }
    }

    // MARK: Running

    private func run(_ request: DqliteConnectionMachine.Request, context: ChannelHandlerContext) {
        let header = request.frame.header
        let code = request.code
        self.logger.trace("Request", metadata: ["dqlite.request": "\(code.rawValue)"])
        guard let highestRevision = code.highestRevision else { return self.fail(.unknownRequest, context: context) }
        guard header.revision <= highestRevision else {
            // The two codes are dqlite's.
            let message = "unrecognized schema version"
            let code = highestRevision == 0 ? FailureCode.malformedRequest : FailureCode.error
            return self.fail(.refused(code, message), context: context)
        }
        if code.isForEngine {
            guard self.node.isLeader || code == .finalize else { return self.fail(.notLeader, context: context) }
            guard let database = self.database else { return self.fail(.noDatabase, context: context) }
            guard !database.session.isOver else {
                // The databases were replaced under it: only a new connection sees the new ones.
                self.fail(.isReceiving, context: context)
                return self.close(context: context)
            }
            database.sink.begin(revision: header.revision)
            return database.session.run(
                code, revision: header.revision, request: RequestBody(buffer: request.frame.body),
                timeout: nil, requiresTransaction: false, isCurrent: false, sink: database.sink)
        }
        let body: Request.Body?
        do throws(WireError) {
            body = try request.frame.body.withReadableMemory { bytes throws(WireError) in
                var reader = WordReader(bytes, message: "Request")
                return try Request.Body(dqlite: &reader, code: header.code, revision: header.revision)
            }
        } catch {
            return self.fail(.malformed("\(error)"), context: context)
        }
        switch body {
        case .open(let open): self.open(open.name, context: context)
        case .dump(let dump): self.dump(dump.name)
        case .interrupt: self.answer(EmptyResponse(), context: context)
        case .leader where self.isLegacy:
            self.answer(LegacyServerResponse(address: self.node.knownLeader?.address ?? ""), context: context)
        case .connect(let connect): self.becomePeer(connect, context: context)
        case .some(let body): self.answer(self.node.answer(body), context: context)
        case nil: self.fail(.unknownRequest, context: context)
        }
    }

    private func open(_ name: String, context: ChannelHandlerContext) {
        guard self.node.isLeader else { return self.fail(.notLeader, context: context) }
        guard self.database == nil else { return self.fail(.databaseIsOpen, context: context) }
        do throws(EngineError) {
            let session = try self.node.storage.openSession(database: name, encoding: .dqlite, isStateless: false)
            let sink = DqliteResultSink(
                session: session, budget: self.budget, allocator: context.channel.allocator,
                maximumBodySize: self.node.limits.frameSize, eventLoop: context.eventLoop, connection: self)
            self.database = (session, sink)
            self.answer(DatabaseResponse(), context: context)
        } catch {
            self.fail(error, context: context)
        }
    }

    private func dump(_ name: String) {
        guard let context = self.context else { return }
        let eventLoop = context.eventLoop
        let allocator = context.channel.allocator
        let connection = NIOLoopBound(self, eventLoop: eventLoop)
        self.node.dump(database: name) { result, permit in
            var buffer = allocator.buffer(capacity: 0)
            let isAnswer: Bool
            switch result {
            case .success(let files): isAnswer = buffer.writeDqliteAnswer(files)
            case .failure(let error):
                buffer.writeDqliteFailure(error)
                isAnswer = false
            }
            eventLoop.execute { [buffer] in
                connection.value.dumped(buffer, isFailure: !isAnswer, permit: permit)
            }
        }
    }

    // MARK: Answering

    private func answer(_ answer: NodeState.LocalAnswer, context: ChannelHandlerContext) {
        switch answer {
        case .response(let body, let revision):
            switch body {
            case .server(let response): self.answer(response, context: context)
            case .welcome(let response): self.answer(response, context: context)
            case .servers(let response): self.answer(response, revision: revision, context: context)
            case .empty(let response): self.answer(response, context: context)
            case .metadata(let response): self.answer(response, context: context)
            default: self.fail(.unknownRequest, context: context)
            }
        case .failure(let error): self.fail(error, context: context)
        case .later(let begin):
            let eventLoop = context.eventLoop
            let connection = NIOLoopBound(self, eventLoop: eventLoop)
            begin { result in
                eventLoop.execute { connection.value.answeredLater(result) }
            }
        }
    }

    /// What the cluster was asked for is done, or not.
    private func answeredLater(_ result: Result<Response.Body, EngineError>) {
        guard let context = self.context else { return }
        switch result {
        case .success(let body): self.answer(.response(body), context: context)
        case .failure(let error): self.fail(error, context: context)
        }
        self.proceed(context: context)
        self.flushIfNeeded(context: context)
    }

    /// The connection is from now on a stream of messages from another node.
    private func becomePeer(_ connect: ConnectRequest, context: ChannelHandlerContext) {
        guard let peers = self.node.peers, connect.serverID != 0, connect.serverID != self.node.id else {
            return self.close(context: context)
        }
        guard peers.takesCForm else {
            self.logger.warning(
                "A node of C dqlite wants to take part in the cluster, which is not supported: it is not listened to",
                metadata: ["dqlite.peer": "\(connect.serverID)", "dqlite.address": "\(connect.address)"])
            return self.close(context: context)
        }
        let rest = self.received
        self.abandon()
        peers.connected(NodeID(connect.serverID), address: connect.address, form: .c)
        let handler = PeerHandler(
            node: self.node, receiver: peers, form: .c, sender: NodeID(connect.serverID), logger: self.logger)
        context.replace(self, with: handler, received: rest)
        context.read()
    }

    private func answer(_ response: some ResponseMessage, revision: UInt8 = 0, context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 64)
        let isAnswer = buffer.writeDqliteAnswer(response, revision: revision)
        self.finish(with: buffer, isFailure: !isAnswer, context: context)
    }

    private func fail(_ error: EngineError, context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 64)
        buffer.writeDqliteFailure(error)
        self.finish(with: buffer, isFailure: true, context: context)
    }

    /// A part of a result that more follow.
    func partProduced(_ frame: ByteBuffer) {
        let count = frame.readableBytes
        guard let context = self.context else { return self.budget.remove(count) }
        self.machine.partProduced()
        self.writeCounted(frame, count: count, context: context)
        context.flush()
    }

    /// The last answer of the running request, from the engine. `counted` bytes of it are in the budget.
    func answered(_ frame: ByteBuffer, isFailure: Bool, counted: Int) {
        guard let context = self.context else { return self.budget.remove(counted) }
        self.finish(with: frame, isFailure: isFailure, counted: counted, context: context)
        self.budget.remove(0)
        self.proceed(context: context)
        self.flushIfNeeded(context: context)
    }

    /// The answer to Dump, which may be large: the permit lasts until it is written.
    private func dumped(_ frame: ByteBuffer, isFailure: Bool, permit: DumpPermits.Permit?) {
        guard let context = self.context else { return }
        self.finish(with: frame, isFailure: isFailure, context: context)
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in withExtendedLifetime(permit) {} }
        context.write(self.wrapOutboundOut(ByteBuffer()), promise: written)
        self.proceed(context: context)
        self.flushIfNeeded(context: context)
    }

    private func finish(
        with frame: ByteBuffer, isFailure: Bool, counted: Int = 0, context: ChannelHandlerContext
    ) {
        guard let (request, sendsAnswer) = self.machine.answered(isFailure: isFailure) else { return }
        self.node.metrics.answered(request.code, since: request.arrival, failed: isFailure)
        guard sendsAnswer else { return self.budget.remove(counted) }
        if counted > 0 {
            self.writeCounted(frame, count: counted, context: context)
        } else {
            context.write(self.wrapOutboundOut(frame), promise: nil)
        }
        self.needsFlush = true
    }

    private func writeCounted(_ frame: ByteBuffer, count: Int, context: ChannelHandlerContext) {
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { [budget] _ in budget.remove(count) }
        context.write(self.wrapOutboundOut(frame), promise: promise)
    }

    private func flushIfNeeded(context: ChannelHandlerContext) {
        guard self.needsFlush else { return }
        self.needsFlush = false
        context.flush()
    }

    private func closeIfDrained(context: ChannelHandlerContext) {
        guard self.machine.isDrained, self.context != nil else { return }
        self.close(context: context)
    }

    private func close(context: ChannelHandlerContext) {
        self.abandon()
        context.closeAfterWrites()
    }
}
