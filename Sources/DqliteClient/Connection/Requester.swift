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

    /// Sends a request that has one answer.
    ///
    /// - Parameters:
    ///   - wrap: Makes it the body of an envelope.
    ///   - deadline: When the answer must have come, instead of what the options say.
    ///   - ignoringCancellation: Whether the task waits for the answer even if it is cancelled.
    func call<Message: RequestOfClient, Answer: ResponseMessage>(
        _ message: Message, as wrap: (Message) -> Request.Body, for _: Answer.Type, revision: UInt8 = 0,
        options: DqliteCallOptions = .defaults, deadline: NIODeadline? = nil, ignoringCancellation: Bool = false
    ) async throws(DqliteError) -> Answer {
        let id = self.link.makeRequestID()
        let timeout = options.timeout ?? self.configuration.callTimeout
        let request = OutgoingRequest(
            id: id,
            bytes: try self.encode(
                message, as: wrap, id: id, revision: revision, timeout: timeout, window: 0,
                consistency: options.readConsistency),
            answer: Answer.code, canBeInterrupted: Message.canBeInterrupted, mayWrite: Message.mayWrite,
            deadline: deadline ?? timeout.map { self.link.now + TimeAmount($0) })
        let completion = Completion<ReceivedAnswer>(mayWrite: Message.mayWrite)
        if Task.isCancelled, !ignoringCancellation { throw DqliteError(.cancelled) }
        self.link.submit(request, reply: .answer(completion))
        let answer = try await completion.wait(ignoringCancellation: ignoringCancellation) { [link] in
            link.takeBack(id)
        }.get()
        do throws(WireError) {
            switch answer.encoding {
            case .dqlite: return try answer.body.dqliteMessage(Answer.self, revision: message.answerRevision(answer))
            case .protobuf: return try answer.body.protobufMessage(Answer.self)
            }
        } catch {
            let violation = DqliteError.protocolViolation("\(error)", underlying: error)
            self.link.close(violation)
            throw violation.with(outcome: Message.mayWrite ? .unknown : .notCommitted)
        }
    }

    /// Sends a request that is answered with rows, and waits for the first of them.
    func rows<Message: RequestOfClient>(
        _ message: Message, as wrap: (Message) -> Request.Body, revision: UInt8, options: DqliteCallOptions,
        origin: (sql: String, file: String, line: Int)
    ) async throws(DqliteError) -> DqliteRowSequence {
        let id = self.link.makeRequestID()
        let timeout = options.timeout ?? self.configuration.callTimeout
        let request = OutgoingRequest(
            id: id,
            // The timeout of the envelope is for the whole result. Only a call that asks for one has it: the general one is
            // about nodes that do not answer, not about programs that read slowly.
            bytes: try self.encode(
                message, as: wrap, id: id, revision: revision, timeout: options.timeout,
                window: self.configuration.resultWindow, consistency: options.readConsistency),
            answer: .rows, canBeInterrupted: true, mayWrite: Message.mayWrite,
            deadline: timeout.map { self.link.now + TimeAmount($0) })
        if Task.isCancelled { throw DqliteError(.cancelled) }
        let stream = RowStream(id: id, link: self.link, mayWrite: Message.mayWrite)
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
            do throws(WireEncodingError) {
                try message.write(to: &buffer, revision: revision)
            } catch {
                throw DqliteError(.invalidQuery, message: "\(error)", underlyingError: error)
            }
        case .protobuf:
            var request = Request(
                requestID: id, sessionID: self.sessionID, timeoutMilliseconds: timeout.map(Self.milliseconds) ?? 0,
                window: UInt64(window), body: wrap(message))
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
        return buffer
    }

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
    /// Appends its frame in the dqlite encoding.
    func write(to buffer: inout ByteBuffer, revision: UInt8) throws(WireEncodingError)
    /// Revision of the answer.
    func answerRevision(_ answer: ReceivedAnswer) -> UInt8
}

extension RequestOfClient {
    static var mayWrite: Bool { false }
    static var canBeInterrupted: Bool { false }
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

extension ClusterRequest: RequestOfClient {
    // The format asked for is the revision of the answer, whatever its header says.
    func answerRevision(_ answer: ReceivedAnswer) -> UInt8 { UInt8(clamping: self.format) }
}

extension ExecSQLRequest: RequestOfClient {
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
    func write(to buffer: inout ByteBuffer, revision: UInt8) throws(WireEncodingError) {
        preconditionFailure("the dqlite encoding has no sessions")
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
