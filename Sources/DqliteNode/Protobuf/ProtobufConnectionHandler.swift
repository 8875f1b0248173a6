import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteWire
import Logging
import NIOCore

/// Serves one connection of the protobuf encoding.
///
/// A client that does not keep to the protocol gets a Failure with the request id zero, which belongs to no request, and the
/// connection is closed: when the id of a request is zero or in use, and when bytes are no envelope.
final class ProtobufConnectionHandler: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer
    typealias Machine = ProtobufConnectionMachine

    private struct Lane {
        var session: any StorageSession
        var sink: ProtobufResultSink
    }

    let node: NodeState
    private let logger: Logger
    private let budget: ResultBudget
    private var machine: Machine
    private var decoder: EnvelopeDecoder
    private var received = ByteBuffer()
    private var partial: PartialRequests.Share
    /// Database of session 0, and of sessions that open none.
    private var database: String?
    private var lanes: [Machine.Lane: Lane] = [:]
    /// Requests that have not begun, until it is known how old the data of this node is.
    private var asking: [Machine.Lane: UInt64] = [:]
    private var timer: (deadline: NIODeadline, task: Scheduled<Void>)?
    private var context: ChannelHandlerContext?
    private var freeLanes: [Machine.Lane] = []
    private var isStarting = false
    private var readIsHeld = false
    private var needsFlush = false
    private var isFlushScheduled = false

    init(node: NodeState, logger: Logger) {
        self.node = node
        self.logger = logger
        self.budget = ResultBudget(limit: node.limits.pendingBytesPerConnection)
        self.machine = Machine(limits: node.limits)
        self.partial = PartialRequests.Share(of: node.partialRequests)
        self.decoder = EnvelopeDecoder(maximumSize: node.limits.frameSize)
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelInactive(context: ChannelHandlerContext) {
        self.abandon()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.abandon() }

    /// Nobody waits for answers any more. The sessions' transactions are rolled back.
    private func abandon() {
        self.context = nil
        self.received = ByteBuffer()
        _ = self.partial.update(0)
        self.timer?.task.cancel()
        self.timer = nil
        for lane in self.lanes.values { lane.session.close {} }
        self.lanes = [:]
        self.asking = [:]
    }

    // MARK: Reading

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard self.context != nil else { return }
        self.received.receive(self.unwrapInboundIn(data))
        self.proceed(context: context)
        guard self.context != nil, !self.partial.update(self.received.readableBytes) else { return }
        self.write(.failure(EngineError.tooManyPartialRequests.response), requestID: 0)
        self.close()
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        self.flushIfNeeded()
        context.fireChannelReadComplete()
    }

    func read(context: ChannelHandlerContext) {
        if context.channel.isWritable { context.read() } else { self.readIsHeld = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.proceed(context: context)
        self.flushIfNeeded()
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.logger.debug("Connection failed", metadata: ["error": "\(error)"])
        context.close(promise: nil)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if let event = event as? ShutdownEvent {
            for job in self.machine.drain() { self.write(.failure(EngineError.isShuttingDown.response), to: job) }
            if event == .interrupt {
                for lane in self.machine.runningLanes {
                    self.interrupt(lane, reason: .interrupted("the node is shutting down"))
                }
            }
            self.flushIfNeeded()
            self.closeIfDrained()
        }
        context.fireUserInboundEventTriggered(event)
    }

    /// Takes requests out of what has arrived, unless the reader of the answers is too slow.
    private func proceed(context: ChannelHandlerContext) {
        while self.context != nil, context.channel.isWritable {
            do {
                guard let envelope = try self.decoder.decode(buffer: &self.received) else { break }
                self.received(try RequestEnvelope(envelope))
            } catch {
                self.violation("\(error)")
            }
        }
        if self.readIsHeld, self.context != nil, context.channel.isWritable {
            self.readIsHeld = false
            context.read()
        }
    }

    private func received(_ envelope: RequestEnvelope) {
        switch envelope.bodyField {
        // Neither has an answer, and one that was passed over in silence would be missed.
        case RequestEnvelope.cancel where envelope.criticalField != nil,
            RequestEnvelope.grant where envelope.criticalField != nil:
            return self.violation(envelope.unsupported ?? "")
        case RequestEnvelope.cancel: return self.cancel(envelope)
        case RequestEnvelope.grant: return self.grant(envelope)
        default: break
        }
        if envelope.code == .interrupt {
            let lane = Machine.Lane.session(envelope.sessionID)
            if self.machine.job(in: lane) != nil { self.interrupt(lane, reason: nil) }
        }
        guard let now = self.context?.eventLoop.now else { return }
        switch self.machine.received(envelope, now: now) {
        case .run(let job, let lane):
            self.armTimer(for: job)
            self.run(job, in: lane)
        case .detach(let job): self.runDetached(job)
        case .wait: self.armTimer(for: self.machine.job(id: envelope.requestID))
        case .refuse(let error):
            self.write(.failure(error.response), requestID: envelope.requestID)
        case .violation(let reason): self.violation(reason)
        }
    }

    private func cancel(_ envelope: RequestEnvelope) {
        do throws(WireError) {
            let cancel: CancelRequest = try envelope.body.protobufMessage()
            self.withdraw(cancel.requestID, reason: .interrupted("cancelled"))
        } catch {
            self.violation("\(error)")
        }
    }

    private func grant(_ envelope: RequestEnvelope) {
        do throws(WireError) {
            let grant: GrantRequest = try envelope.body.protobufMessage()
            guard let lane = self.machine.granted(grant.bytes, to: grant.requestID) else { return }
            self.lanes[lane]?.sink.grant(grant.bytes)
        } catch {
            self.violation("\(error)")
        }
    }

    private func withdraw(_ requestID: UInt64, reason: EngineError) {
        switch self.machine.withdraw(requestID) {
        case .fail(let job): self.write(.failure(reason.response), to: job)
        case .interrupt(let lane): self.interrupt(lane, reason: reason)
        case .ignore: break
        }
    }

    private func interrupt(_ lane: Machine.Lane, reason: EngineError?) {
        guard self.asking.removeValue(forKey: lane) != nil else {
            self.lanes[lane]?.sink.interrupt(reason: reason)
            return
        }
        self.finish(lane, with: .failure((reason ?? .interrupted("interrupted")).response))
    }

    // MARK: Running

    private func run(_ job: Machine.Job, in lane: Machine.Lane) {
        self.logger.trace("Request", metadata: ["dqlite.request": "\(job.envelope.bodyField)"])
        guard let code = job.envelope.code else { return self.closeSession(job, in: lane) }
        guard code.isForEngine else {
            return self.answerLocally(job) { handler, body in handler.finish(lane, with: body) }
        }
        let resources: Lane
        do throws(EngineError) {
            resources = try self.resources(of: lane, database: nil, job.envelope.consistency)
        } catch {
            return self.finish(lane, with: .failure(error.response))
        }
        guard !resources.session.isOver else {
            // The databases were replaced under it: only a new connection sees the new ones.
            self.finish(lane, with: .failure(EngineError.isReceiving.response))
            return self.close()
        }
        resources.sink.begin(requestID: job.id, window: job.window)
        guard case .stale(let bound) = job.envelope.consistency, let eventLoop = self.context?.eventLoop else {
            return self.start(job, code, resources)
        }
        self.asking[lane] = job.id
        let handler = NIOLoopBound(self, eventLoop: eventLoop)
        self.node.cluster.confirmFreshness(within: bound) { result in
            eventLoop.runNow { handler.value.answered(result, in: lane, job.id) }
        }
    }

    /// It is known whether the data of this node is new enough for a request, which may have been answered meanwhile.
    private func answered(_ freshness: Result<Void, EngineError>, in lane: Machine.Lane, _ id: UInt64) {
        guard self.asking[lane] == id, let job = self.machine.job(in: lane), let code = job.envelope.code,
            let resources = self.lanes[lane]
        else { return }
        self.asking[lane] = nil
        switch freshness {
        case .success: self.start(job, code, resources)
        case .failure(let error): self.finish(lane, with: .failure(error.response))
        }
    }

    /// Gives a request to the engine. What it may show of the database is new enough, or the engine sees to it.
    private func start(_ job: Machine.Job, _ code: RequestCode, _ resources: Lane) {
        let now = self.context?.eventLoop.now ?? .now()
        let timeout = job.deadline.map { Duration.nanoseconds(($0 - now).nanoseconds) }
        resources.session.run(
            code, revision: 0, request: RequestBody(buffer: job.envelope.body),
            timeout: timeout.map { max($0, .zero) }, requiresTransaction: job.envelope.inTransaction,
            isCurrent: job.envelope.consistency != .linearizable, sink: resources.sink)
    }

    private func runDetached(_ job: Machine.Job) {
        let id = job.id
        self.answerLocally(job) { handler, body in
            handler.machine.finishedDetached(id)
            handler.write(body, to: job)
            handler.closeIfDrained()
        }
    }

    /// The engine's session of a lane; begins it if it is not there. Its encoder writes protobuf revision 0 only.
    private func resources(
        of lane: Machine.Lane, database: String?, _ consistency: RequestEnvelope.Consistency
    ) throws(EngineError) -> Lane {
        if consistency.needsLeader, !self.node.isLeader { throw .notLeader }
        if let lane = self.lanes[lane] { return lane }
        guard let context = self.context, let database = database ?? self.database else { throw .noDatabase }
        let isStateless = if case .stateless = lane { true } else { false }
        let session = try self.node.storage.openSession(
            database: database, encoding: .protobuf, isStateless: isStateless)
        let sink = ProtobufResultSink(
            lane: lane, session: session, budget: self.budget, allocator: context.channel.allocator,
            maximumSize: self.node.limits.frameSize, eventLoop: context.eventLoop, connection: self)
        let resources = Lane(session: session, sink: sink)
        self.lanes[lane] = resources
        return resources
    }

    /// Answers what is not for a session of the engine, now or later.
    private func answerLocally(
        _ job: Machine.Job, answer: @escaping (ProtobufConnectionHandler, Response.Body) -> Void
    ) {
        let body: Request.Body
        do throws(WireError) {
            guard let decoded = try job.envelope.decodedBody() else {
                return answer(self, .failure(EngineError.unknownRequest.response))
            }
            body = decoded
        } catch {
            return answer(self, .failure(EngineError.malformed("\(error)").response))
        }
        switch body {
        case .open(let open):
            answer(self, self.open(open.name, job.envelope))
        case .interrupt:
            answer(self, .empty(EmptyResponse()))
        case .connect:
            answer(self, .failure(EngineError.unsupported("nodes connect in the dqlite encoding").response))
        case .dump(let dump):
            guard let eventLoop = self.context?.eventLoop else { return }
            let reply = NIOLoopBound((self, answer), eventLoop: eventLoop)
            let limit = self.node.limits.frameSize
            self.node.dump(database: dump.name) { result, permit in
                let body = Response.Body(result, limit: limit)
                eventLoop.execute {
                    reply.value.1(reply.value.0, body)
                    reply.value.0.keep(permit)
                }
            }
        default:
            switch self.node.answer(body) {
            case .response(let body, _): answer(self, body)
            case .failure(let error): answer(self, .failure(error.response))
            case .later(let begin):
                guard let eventLoop = self.context?.eventLoop else { return }
                let reply = NIOLoopBound((self, answer), eventLoop: eventLoop)
                begin { result in
                    eventLoop.execute {
                        let (handler, answer) = reply.value
                        switch result {
                        case .success(let body): answer(handler, body)
                        case .failure(let error): answer(handler, .failure(error.response))
                        }
                        handler.flushIfNeeded()
                    }
                }
            }
        }
    }

    /// Keeps the permit of a dump until what was written is on its way.
    private func keep(_ permit: DumpPermits.Permit?) {
        guard let context = self.context else { return }
        let written = context.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in withExtendedLifetime(permit) {} }
        context.writeAndFlush(self.wrapOutboundOut(ByteBuffer()), promise: written)
        self.needsFlush = false
    }

    private func open(_ name: String, _ envelope: RequestEnvelope) -> Response.Body {
        let session = envelope.sessionID
        let lane = session == 0 ? Machine.Lane.stateless(0) : .session(session)
        do throws(EngineError) {
            guard self.lanes[lane] == nil, session != 0 || self.database == nil else { throw .databaseIsOpen }
            _ = try self.resources(of: lane, database: name, envelope.consistency)
            if session == 0 { self.database = name }
            return .database(DatabaseResponse())
        } catch {
            return .failure(error.response)
        }
    }

    private func closeSession(_ job: Machine.Job, in lane: Machine.Lane) {
        guard let resources = self.lanes.removeValue(forKey: lane), let eventLoop = self.context?.eventLoop else {
            return self.finish(lane, with: .empty(EmptyResponse()))
        }
        let reply = NIOLoopBound(self, eventLoop: eventLoop)
        resources.session.close {
            eventLoop.execute { reply.value.finish(lane, with: .empty(EmptyResponse())) }
        }
    }

    // MARK: Answering

    /// The running request of a lane is answered by the node itself.
    private func finish(_ lane: Machine.Lane, with body: Response.Body) {
        guard self.context != nil, let job = self.machine.job(in: lane) else { return }
        self.write(body, to: job)
        self.startNext(in: lane)
        self.flushIfNeeded()
    }

    /// The last answer of a request, from the engine, which is not a part of a result.
    func answered(_ envelope: ByteBuffer, in lane: Machine.Lane, requestID: UInt64, isFailure: Bool) {
        self.budget.remove(0)
        guard let context = self.context, let job = self.machine.job(in: lane), job.id == requestID else { return }
        context.write(self.wrapOutboundOut(envelope), promise: nil)
        self.end(job, in: lane, isFailure: isFailure)
    }

    /// A part of a result, which is in the budget.
    func produced(_ envelope: ByteBuffer, in lane: Machine.Lane, requestID: UInt64, more: Bool) {
        let count = envelope.readableBytes
        guard let context = self.context, let job = self.machine.job(in: lane), job.id == requestID else {
            return self.budget.remove(count)
        }
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.whenComplete { [budget] _ in budget.remove(count) }
        context.write(self.wrapOutboundOut(envelope), promise: promise)
        if more { context.flush() } else { self.end(job, in: lane, isFailure: false) }
    }

    /// A result waits for a grant.
    func blocked(_ envelope: ByteBuffer, in lane: Machine.Lane, requestID: UInt64) {
        guard let context = self.context, self.machine.job(in: lane)?.id == requestID else { return }
        context.writeAndFlush(self.wrapOutboundOut(envelope), promise: nil)
    }

    private func end(_ job: Machine.Job, in lane: Machine.Lane, isFailure: Bool) {
        if let code = job.envelope.code {
            self.node.metrics.answered(code, since: job.arrival, failed: isFailure)
        }
        self.needsFlush = true
        self.startNext(in: lane)
        self.flushWithTheOthers()
    }

    /// Runs what waits for the lane. A request that the node answers itself comes back here before this returns; a loop
    /// keeps a long queue of them from becoming a deep stack.
    private func startNext(in lane: Machine.Lane) {
        self.freeLanes.append(lane)
        guard !self.isStarting else { return }
        self.isStarting = true
        while let lane = self.freeLanes.popLast() {
            let keepsSession = self.lanes[lane] != nil
            if let next = self.machine.finished(lane, keepsSession: keepsSession) { self.run(next, in: lane) }
        }
        self.isStarting = false
        self.closeIfDrained()
    }

    /// Answers a request that no lane runs (any more).
    private func write(_ body: Response.Body, to job: Machine.Job) {
        if let code = job.envelope.code {
            let isFailure = if case .failure = body { true } else { false }
            self.node.metrics.answered(code, since: job.arrival, failed: isFailure)
        }
        self.write(body, requestID: job.id)
    }

    private func write(_ body: Response.Body, requestID: UInt64) {
        guard let context = self.context else { return }
        var buffer = context.channel.allocator.buffer(capacity: 64)
        buffer.writeEnvelope(Response(requestID: requestID, body: body))
        context.write(self.wrapOutboundOut(buffer), promise: nil)
        self.needsFlush = true
    }

    /// Flushes after what the loop has been given to do already: the answers that one commit releases, or that one read asked for,
    /// go in one system call.
    private func flushWithTheOthers() {
        guard self.needsFlush, !self.isFlushScheduled, let eventLoop = self.context?.eventLoop else { return }
        self.isFlushScheduled = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            bound.value.isFlushScheduled = false
            bound.value.flushIfNeeded()
        }
    }

    private func flushIfNeeded() {
        guard self.needsFlush else { return }
        self.needsFlush = false
        self.context?.flush()
    }

    private func violation(_ reason: String) {
        self.logger.debug("Connection closed: protocol violation", metadata: ["reason": "\(reason)"])
        self.write(.failure(EngineError.malformed(reason).response), requestID: 0)
        self.close()
    }

    private func closeIfDrained() {
        if self.machine.isDrained { self.close() }
    }

    private func close() {
        guard let context = self.context else { return }
        self.abandon()
        context.closeAfterWrites()
    }

    // MARK: Time

    /// One timer serves the deadlines of all requests.
    private func armTimer(for job: Machine.Job?) {
        guard let deadline = job?.deadline else { return }
        if let timer = self.timer, timer.deadline <= deadline { return }
        self.arm(deadline)
    }

    private func arm(_ deadline: NIODeadline) {
        guard let eventLoop = self.context?.eventLoop else { return }
        self.timer?.task.cancel()
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        self.timer = (deadline, eventLoop.scheduleTask(deadline: deadline) { bound.value.timerFired(deadline) })
    }

    private func timerFired(_ now: NIODeadline) {
        self.timer = nil
        for id in self.machine.expired(at: now) {
            self.withdraw(id, reason: .interrupted("the time that the client gave the request is over"))
        }
        self.flushIfNeeded()
        if let next = self.machine.nextDeadline(after: now) { self.arm(next) }
    }
}

extension Response.Body {
    /// The answer to Dump, if it does not exceed `limit` bytes.
    fileprivate init(_ result: Result<FilesResponse, EngineError>, limit: Int) {
        switch result {
        case .success(let files) where files.protobufEncodedSize + RowsEnvelope.room <= limit:
            self = .files(files)
        case .success(let files):
            self = .failure(
                EngineError.refused(
                    FailureCode.tooBig,
                    "the files have \(files.protobufEncodedSize) bytes, the limit is \(limit): use the dqlite encoding"
                ).response)
        case .failure(let error): self = .failure(error.response)
        }
    }
}
