import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore
import Synchronization

/// Takes what the engine answers to requests of one connection of the dqlite encoding, makes frames of it, and hands them
/// to the connection's loop. Called on threads of the engine.
final class DqliteResultSink: ResponseSink, PausedResult {
    private struct State {
        /// The frame that is being written, beginning with room for its header.
        var part: ByteBuffer?
        var isWaiting = false
        /// Revision of the request that runs.
        var revision: UInt8 = 0
        /// What to answer instead of being interrupted.
        var reason: EngineError?
    }

    private let session: any StorageSession
    private let budget: ResultBudget
    private let allocator: ByteBufferAllocator
    private let maximumBodySize: Int
    private let eventLoop: any EventLoop
    private let connection: NIOLoopBound<DqliteConnectionHandler>
    private let state = Mutex(State())

    init(
        session: any StorageSession, budget: ResultBudget, allocator: ByteBufferAllocator, maximumBodySize: Int,
        eventLoop: any EventLoop, connection: DqliteConnectionHandler
    ) {
        self.session = session
        self.budget = budget
        self.allocator = allocator
        self.maximumBodySize = maximumBodySize
        self.eventLoop = eventLoop
        self.connection = NIOLoopBound(connection, eventLoop: eventLoop)
    }

    /// A request begins to run.
    func begin(revision: UInt8) {
        self.state.withLock { state in
            state = State()
            state.revision = revision
        }
    }

    // MARK: Answers of one frame

    func result(_ response: ResultResponse) { self.answer(response) }

    func statement(_ response: StatementResponse) {
        self.answer(response, revision: self.state.withLock { min($0.revision, StatementResponse.highestRevision) })
    }

    func empty() { self.answer(EmptyResponse()) }

    func failure(_ error: EngineError) {
        let error = self.state.withLock { state in
            state.part = nil
            state.isWaiting = false
            return error.code == FailureCode.interrupted ? state.reason ?? error : error
        }
        var buffer = self.allocator.buffer(capacity: 64 + error.message.utf8.count)
        buffer.writeDqliteFailure(error)
        self.hand(over: buffer, isFailure: true)
    }

    private func answer(_ response: some ResponseMessage, revision: UInt8 = 0) {
        var buffer = self.allocator.buffer(capacity: 64)
        let isFailure = !buffer.writeDqliteAnswer(response, revision: revision)
        self.hand(over: buffer, isFailure: isFailure)
    }

    private func hand(over buffer: ByteBuffer, isFailure: Bool) {
        self.eventLoop.execute { self.connection.value.answered(buffer, isFailure: isFailure, counted: 0) }
    }

    // MARK: Results

    var partLimit: Int { self.maximumBodySize }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        self.state.withLock { state in
            if state.part == nil {
                state.part = self.allocator.buffer(capacity: FrameHeader.size + max(capacity, 512))
                state.part!.writeRepeatingByte(0, count: FrameHeader.size)
            }
            _ = state.part!.writeWithUnsafeMutableBytes(minimumWritableBytes: capacity, body)
        }
    }

    func discardPart() { self.state.withLock { $0.part = nil } }

    func endPart(more: Bool) -> Bool {
        var frame = self.state.withLock { $0.part.take() ?? ByteBuffer() }
        let bodySize = max(0, frame.readableBytes - FrameHeader.size)
        let header = FrameHeader(bodyWords: UInt32(bodySize / 8), code: ResponseCode.rows.rawValue)
        frame.setDqliteHeader(header)
        let count = frame.readableBytes
        guard more else {
            // What a result's last part adds is bounded by the size of a part; small ones are not worth counting.
            let counted = count >= Self.smallestCounted ? count : 0
            if counted > 0 { self.budget.add(counted) }
            self.eventLoop.execute { [frame] in
                self.connection.value.answered(frame, isFailure: false, counted: counted)
            }
            return false
        }
        let goesOn = self.state.withLock { state in
            // Both under the lock: resuming must find that it waits.
            state.isWaiting = !self.budget.add(count, of: self)
            return !state.isWaiting
        }
        self.eventLoop.execute { [frame] in self.connection.value.partProduced(frame) }
        return goesOn
    }

    private static let smallestCounted = 16 << 10

    func blocked(bytesNeeded: Int) {
        // There are no windows here, so the row is larger than any frame may be.
        self.state.withLock {
            $0.reason = EngineError.refused(
                FailureCode.tooBig, "a row of \(bytesNeeded) bytes is above the limit of \(self.maximumBodySize)")
        }
        self.session.interrupt()
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

extension ByteBuffer {
    /// Puts a frame's header over its first 8 bytes.
    mutating func setDqliteHeader(_ header: FrameHeader) {
        self.withUnsafeMutableReadableBytes { memory in
            var writer = WordWriter(UnsafeMutableRawBufferPointer(rebasing: memory.prefix(FrameHeader.size)))
            header.encode(into: &writer)
        }
    }

    /// Appends an answer, or a Failure if the answer cannot be sent in this encoding.
    ///
    /// - Returns: Whether the answer was appended.
    mutating func writeDqliteAnswer(_ response: some ResponseMessage, revision: UInt8 = 0) -> Bool {
        do throws(WireEncodingError) {
            try self.writeDqliteResponse(response, revision: revision)
            return true
        } catch {
            self.writeDqliteFailure(EngineError(code: FailureCode.error, message: "\(error)", outcome: .unspecified))
            return false
        }
    }

    /// Appends a Failure. Its message is cut at a NUL, which SQLite's messages can quote from SQL.
    mutating func writeDqliteFailure(_ error: EngineError) {
        let message = String(decoding: error.message.utf8.prefix { $0 != 0 }, as: UTF8.self)
        // Nothing but NUL keeps a text from being encoded, and there is none.
        try? self.writeDqliteResponse(FailureResponse(code: error.code, message: message))
    }
}
