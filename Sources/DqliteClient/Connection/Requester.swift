import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// Encodes requests of a session, sends them and waits for their answers.
struct Requester: Sendable {
    let link: ConnectionLink
    let configuration: DqliteConnectionConfiguration
    /// The session; zero: none.
    let sessionID: UInt64
    /// Whether what it sends belongs to a transaction that is open.
    var inTransaction = false

    /// Sends a request that has one answer.
    ///
    /// - Parameters:
    ///   - wrap: Makes it the body of an envelope.
    ///   - deadline: When the answer must have come, instead of what the options say.
    ///   - ignoringCancellation: Whether the task waits for the answer even if it is cancelled.
    ///   - onLate: Called with an answer that comes when the task no longer waits.
    func call<Message: RequestOfClient, Answer: ResponseMessage>(
        _ message: Message, as wrap: (Message) -> Request.Body, for _: Answer.Type, revision: UInt8 = 0,
        options: DqliteCallOptions = .defaults, deadline: NIODeadline? = nil, ignoringCancellation: Bool = false,
        onLate: (@Sendable (Answer) -> Void)? = nil
    ) async throws(DqliteError) -> Answer {
        let id = self.link.makeRequestID()
        let timeout = options.timeout ?? self.configuration.callTimeout
        var request = OutgoingRequest(
            id: id,
            bytes: try self.encode(
                message, as: wrap, id: id, revision: revision, timeout: timeout, window: 0,
                consistency: options.readConsistency),
            answer: Answer.code, canBeInterrupted: Message.canBeInterrupted, mayWrite: Message.mayWrite,
            deadline: deadline ?? timeout.map { self.link.now + TimeAmount($0) },
            sessionID: Message.waitsForItsTurn ? self.sessionID : 0, sql: message.text,
            isInTransaction: self.inTransaction, task: ReaderTask.current)
        if let onLate {
            request.onLate = { answer in
                if let answer = try? answer.message(Answer.self) { onLate(answer) }
            }
        }
        let completion = Completion<ReceivedAnswer>(mayWrite: Message.mayWrite, onLate: request.onLate)
        if Task.isCancelled, !ignoringCancellation { throw DqliteError(.cancelled) }
        self.link.submit(request, reply: .answer(completion))
        let answer = try await completion.wait(ignoringCancellation: ignoringCancellation) { [link] in
            link.takeBack(id)
        }.get()
        do throws(WireError) {
            return try answer.message(Answer.self, revision: message.answerRevision(answer))
        } catch {
            let violation = DqliteError.protocolViolation("\(error)", underlying: error)
            self.link.close(violation)
            throw violation.with(outcome: Message.mayWrite ? .unknown : .notCommitted)
        }
    }

    /// Sends a request whose answer nobody waits for.
    func post<Message: RequestOfClient, Answer: ResponseMessage>(
        _ message: Message, as wrap: (Message) -> Request.Body, for _: Answer.Type
    ) {
        let id = self.link.makeRequestID()
        let timeout = self.configuration.callTimeout
        // These messages have numbers only, which both encodings can carry.
        guard
            let bytes = try? self.encode(
                message, as: wrap, id: id, revision: 0, timeout: timeout, window: 0, consistency: nil)
        else { return }
        let request = OutgoingRequest(
            id: id, bytes: bytes, answer: Answer.code, canBeInterrupted: false, mayWrite: false,
            deadline: timeout.map { self.link.now + TimeAmount($0) },
            sessionID: Message.waitsForItsTurn ? self.sessionID : 0)
        self.link.submit(request, reply: .answer(Completion<ReceivedAnswer>()))
    }

    /// Sends a request that is answered with rows, and waits for the first of them.
    func rows<Message: RequestOfClient>(
        _ message: Message, as wrap: (Message) -> Request.Body, revision: UInt8, options: DqliteCallOptions,
        deadline: NIODeadline? = nil, origin: RowOrigin
    ) async throws(DqliteError) -> DqliteRowSequence {
        let id = self.link.makeRequestID()
        let timeout = options.timeout ?? self.configuration.callTimeout
        let reader = ReaderTask()
        let request = OutgoingRequest(
            id: id,
            // The timeout of the envelope is for the whole result. Only a call that asks for one has it: the general one is
            // about nodes that do not answer, not about programs that read slowly.
            bytes: try self.encode(
                message, as: wrap, id: id, revision: revision, timeout: options.timeout,
                window: self.configuration.resultWindow, consistency: options.readConsistency),
            answer: .rows, canBeInterrupted: true, mayWrite: Message.mayWrite,
            deadline: deadline ?? timeout.map { self.link.now + TimeAmount($0) }, sessionID: self.sessionID,
            isInTransaction: self.inTransaction, task: ReaderTask.current, reader: reader)
        if Task.isCancelled { throw DqliteError(.cancelled) }
        let stream = RowStream(id: id, link: self.link, mayWrite: Message.mayWrite, reader: reader)
        let rows = RowIterator(
            stream: stream, encoding: self.link.encoding, window: self.configuration.resultWindow)
        rows.origin = origin
        self.link.submit(request, reply: .rows(stream))
        try await rows.begin()
        let columns = rows.columns ?? DqliteColumns(names: [])
        return DqliteRowSequence(columns: columns, source: RowSource(rows))
    }

    private func encode<Message: RequestOfClient>(
        _ message: Message, as wrap: (Message) -> Request.Body, id: UInt64, revision: UInt8, timeout: Duration?,
        window: Int, consistency: DqliteCallOptions.ReadConsistency?
    ) throws(DqliteError) -> ByteBuffer {
        var buffer = ByteBuffer()
        switch self.link.encoding {
        case .dqlite:
            guard consistency == nil else {
                throw DqliteError(.invalidQuery, message: "the dqlite encoding cannot carry readConsistency")
            }
            do throws(WireEncodingError) {
                try message.write(to: &buffer, revision: revision)
            } catch {
                throw DqliteError(.invalidQuery, message: "\(error)", underlyingError: error)
            }
        case .protobuf:
            var request = Request(
                requestID: id, sessionID: self.sessionID, timeoutMilliseconds: timeout.map(Self.milliseconds) ?? 0,
                window: UInt64(window), inTransaction: self.inTransaction, body: wrap(message))
            switch consistency?.base {
            case nil: break
            case .linearizable: request.readConsistency = .linearizable
            case .leader: request.readConsistency = .leader
            case .stale(let maximumLag):
                request.readConsistency = .stale
                request.maximumStalenessMilliseconds = Self.milliseconds(maximumLag)
            }
            buffer.writeEnvelope(request)
        }
        // The node would close the connection, with all its sessions. The header of a frame does not count, nor the length of an
        // envelope, which has 4 bytes there.
        let overhead = self.link.encoding == .dqlite ? FrameHeader.size : 4
        guard buffer.readableBytes <= Self.maximumRequestSize + overhead else {
            throw DqliteError(
                .invalidQuery,
                message:
                    "the request has \(buffer.readableBytes) bytes, above the \(Self.maximumRequestSize) that a node takes"
            )
        }
        return buffer
    }

    /// The largest body of a frame, and the largest envelope, that a node accepts.
    static let maximumRequestSize = 64 << 20

    /// At least 1, because 0 stands for no limit.
    static func milliseconds(_ duration: Duration) -> UInt64 {
        let (seconds, attoseconds) = duration.components
        guard seconds >= 0, attoseconds >= 0 else { return 1 }
        let (product, overflow) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
        guard !overflow else { return UInt64.max }
        let (sum, sumOverflow) = product.addingReportingOverflow(UInt64(attoseconds / 1_000_000_000_000_000))
        return sumOverflow ? UInt64.max : max(1, sum)
    }
}

/// What a request means for the connection that it is sent on.
protocol RequestOfClient: ProtobufEncodable {
    /// Whether the database may be another after it.
    static var mayWrite: Bool { get }
    /// Whether Interrupt stops it.
    static var canBeInterrupted: Bool { get }
    /// Whether its session runs it in its turn.
    static var waitsForItsTurn: Bool { get }
    /// SQL text that may be several statements.
    var text: String? { get }
    /// Appends its frame in the dqlite encoding.
    func write(to buffer: inout ByteBuffer, revision: UInt8) throws(WireEncodingError)
    /// Revision of the answer.
    func answerRevision(_ answer: ReceivedAnswer) -> UInt8
}

extension RequestOfClient {
    static var mayWrite: Bool { false }
    static var canBeInterrupted: Bool { false }
    static var waitsForItsTurn: Bool { true }
    var text: String? { nil }
    func answerRevision(_ answer: ReceivedAnswer) -> UInt8 { answer.revision }
}

extension RequestOfClient where Self: RequestMessage {
    func write(to buffer: inout ByteBuffer, revision: UInt8) throws(WireEncodingError) {
        try buffer.writeDqliteRequest(self, revision: revision)
    }
}

extension LeaderRequest: RequestOfClient {}
extension OpenRequest: RequestOfClient {}
extension PrepareRequest: RequestOfClient {}
extension FinalizeRequest: RequestOfClient {}
extension DumpRequest: RequestOfClient {}
extension DescribeRequest: RequestOfClient {}
extension TransferRequest: RequestOfClient {}

extension ClusterRequest: RequestOfClient {
    // The format asked for is the revision of the answer, whatever its header says.
    func answerRevision(_ answer: ReceivedAnswer) -> UInt8 { UInt8(clamping: self.format) }
}

extension ExecSQLRequest: RequestOfClient {
    var text: String? { self.sql }
    static var mayWrite: Bool { true }
    static var canBeInterrupted: Bool { true }
}

extension QuerySQLRequest: RequestOfClient {
    // INSERT … RETURNING is a query too.
    static var mayWrite: Bool { true }
    static var canBeInterrupted: Bool { true }
}

extension ExecRequest: RequestOfClient {
    static var mayWrite: Bool { true }
    static var canBeInterrupted: Bool { true }
}

extension QueryRequest: RequestOfClient {
    static var mayWrite: Bool { true }
    static var canBeInterrupted: Bool { true }
}

extension CloseSessionRequest: RequestOfClient {
    static var waitsForItsTurn: Bool { false }
    func write(to buffer: inout ByteBuffer, revision: UInt8) throws(WireEncodingError) {
        preconditionFailure("the dqlite encoding has no sessions")
    }
}

extension ReceivedAnswer {
    func message<Answer: ResponseMessage>(_: Answer.Type, revision: UInt8? = nil) throws(WireError) -> Answer {
        switch self.encoding {
        case .dqlite: try self.body.dqliteMessage(Answer.self, revision: revision ?? self.revision)
        case .protobuf: try self.body.protobufMessage(Answer.self)
        }
    }
}

extension DqliteBindings {
    /// The values as the protocol has them.
    func protocolValues() throws(DqliteError) -> [Value] {
        if let problem = self.problem { throw DqliteError(.invalidQuery, message: problem) }
        return self.values.map { value in
            switch value {
            case .null: .null
            case .integer(let value): .integer(value)
            case .real(let value): .real(value)
            case .text(let value): .text(value)
            case .blob(let bytes): .blob([UInt8](buffer: bytes))
            }
        }
    }
}

extension [Value] {
    /// The revision of the requests that carry as many: revision 0 counts in a byte.
    var revision: UInt8 { self.count > 255 ? 1 : 0 }
}
