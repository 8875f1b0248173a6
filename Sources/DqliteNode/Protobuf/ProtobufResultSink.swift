import DqliteEngine
import DqliteFraming
import DqliteProtocol
import NIOCore
import Synchronization

/// Takes what the engine answers to the requests of one lane, makes envelopes of it, and hands them to the connection's loop.
/// Called on threads of the engine, but where it says otherwise.
final class ProtobufResultSink: ResponseSink, PausedResult {
    private struct State {
        var rows = RowsEnvelope(requestID: 0)
        var window = ResultWindow(granted: 0)
        /// The part that is being written, beginning with room for its envelope.
        var part: ByteBuffer?
        /// Whether it waits for the connection's reader.
        var isWaiting = false
        /// What to answer instead of being interrupted.
        var reason: EngineError?
    }

    private let lane: ProtobufConnectionMachine.Lane
    private let session: any StorageSession
    private let budget: ResultBudget
    private let allocator: ByteBufferAllocator
    private let maximumSize: Int
    private let eventLoop: any EventLoop
    private let connection: NIOLoopBound<ProtobufConnectionHandler>
    private let state = Mutex(State())

    init(
        lane: ProtobufConnectionMachine.Lane, session: any StorageSession, budget: ResultBudget,
        allocator: ByteBufferAllocator, maximumSize: Int, eventLoop: any EventLoop,
        connection: ProtobufConnectionHandler
    ) {
        self.lane = lane
        self.session = session
        self.budget = budget
        self.allocator = allocator
        self.maximumSize = maximumSize
        self.eventLoop = eventLoop
        self.connection = NIOLoopBound(connection, eventLoop: eventLoop)
    }

    // MARK: On the loop

    /// A request begins to run.
    func begin(requestID: UInt64, window: UInt64) {
        self.state.withLock { state in
            state = State()
            state.rows = RowsEnvelope(requestID: requestID)
            state.window = ResultWindow(granted: window)
        }
    }

    /// The reader of the result lets more through.
    func grant(_ bytes: UInt64) {
        let (release, requestID) = self.state.withLock { ($0.window.grant(bytes), $0.rows.requestID) }
        switch release {
        case .nothing: break
        case .resume: self.session.resume()
        case .send(let held):
            let goesOn = self.count(held.envelope, more: held.more)
            self.connection.value.produced(held.envelope, in: self.lane, requestID: requestID, more: held.more)
            if held.more, goesOn { self.session.resume() }
        }
    }

    /// The request is not wanted any more.
    func interrupt(reason: EngineError?) {
        let lastPartWaits = self.state.withLock { state in
            if state.reason == nil { state.reason = reason }
            guard let held = state.window.held, !held.more else { return false }
            _ = state.window.end()
            return true
        }
        guard lastPartWaits else { return self.session.interrupt() }
        // The statement is complete, its changes too; only the end of its result was not fetched.
        self.failure(
            EngineError(
                code: FailureCode.interrupted, message: "interrupted before the end of the result was granted",
                outcome: .unspecified))
    }

    // MARK: Answers of one envelope

    func result(_ response: ResultResponse) { self.answer(.result(response)) }
    func statement(_ response: StatementResponse) { self.answer(.statement(response)) }
    func empty() { self.answer(.empty(EmptyResponse())) }

    func failure(_ error: EngineError) {
        var failure = error.response
        self.state.withLock { state in
            state.part = nil
            state.isWaiting = false
            _ = state.window.end()
            guard error.code == FailureCode.interrupted, let reason = state.reason else { return }
            failure.code = reason.code
            failure.message = reason.message
        }
        self.answer(.failure(failure), isFailure: true)
    }

    private func answer(_ body: Response.Body, isFailure: Bool = false) {
        let requestID = self.state.withLock { $0.rows.requestID }
        var buffer = self.allocator.buffer(capacity: 64)
        buffer.writeEnvelope(Response(requestID: requestID, body: body))
        self.eventLoop.execute { [buffer] in
            self.connection.value.answered(buffer, in: self.lane, requestID: requestID, isFailure: isFailure)
        }
    }

    // MARK: Results

    var partLimit: Int {
        self.state.withLock { $0.rows.largestBody(in: min($0.window.remaining, self.maximumSize)) }
    }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        self.state.withLock { state in
            if state.part == nil { state.part = self.newPart(capacity: capacity) }
            _ = state.part!.writeWithUnsafeMutableBytes(minimumWritableBytes: capacity, body)
        }
    }

    private func newPart(capacity: Int) -> ByteBuffer {
        var part = self.allocator.buffer(capacity: RowsEnvelope.room + max(capacity, 488))
        part.writeRepeatingByte(0, count: RowsEnvelope.room)
        return part
    }

    func discardPart() { self.state.withLock { $0.part = nil } }

    func endPart(more: Bool) -> Bool {
        let (envelope, requestID, isSent) = self.state.withLock { state in
            var part = state.part.take() ?? self.newPart(capacity: 0)
            state.rows.write(to: &part)
            return (part, state.rows.requestID, state.window.send(part, more: more))
        }
        guard isSent else {
            // Nothing is added to what waits, so another result may.
            self.budget.remove(0)
            self.sendBlocked(size: envelope.readableBytes, requestID: requestID)
            return false
        }
        let goesOn = self.count(envelope, more: more)
        self.eventLoop.execute {
            self.connection.value.produced(envelope, in: self.lane, requestID: requestID, more: more)
        }
        return more && goesOn
    }

    /// Adds a part to what waits on the connection.
    ///
    /// - Returns: Whether to go on with the next.
    private func count(_ envelope: ByteBuffer, more: Bool) -> Bool {
        guard more else {
            self.budget.add(envelope.readableBytes)
            return false
        }
        return self.state.withLock { state in
            // Both under the lock: resuming must find that it waits.
            state.isWaiting = !self.budget.add(envelope.readableBytes, of: self)
            return !state.isWaiting
        }
    }

    func blocked(bytesNeeded: Int) {
        let (size, requestID) = self.state.withLock { ($0.rows.size(bodySize: bytesNeeded), $0.rows.requestID) }
        guard size <= self.maximumSize else {
            self.state.withLock {
                $0.reason = .refused(
                    FailureCode.tooBig, "a row of \(bytesNeeded) bytes is above the limit of \(self.maximumSize)")
            }
            return self.session.interrupt()
        }
        if self.state.withLock({ $0.window.blocked(size: size) }) {
            self.budget.remove(0)
            self.sendBlocked(size: size, requestID: requestID)
        } else {
            self.session.resume()
        }
    }

    private func sendBlocked(size: Int, requestID: UInt64) {
        var buffer = self.allocator.buffer(capacity: 32)
        buffer.writeEnvelope(Response(requestID: requestID, body: .blocked(BlockedResponse(bytesNeeded: UInt64(size)))))
        self.eventLoop.execute { [buffer] in self.connection.value.blocked(buffer, in: self.lane, requestID: requestID)
        }
    }

    func resumeAfterOutput() -> Bool {
        let isWaiting = self.state.withLock { state in
            defer { state.isWaiting = false }
            return state.isWaiting
        }
        if isWaiting { self.session.resume() }
        return isWaiting
    }
}
