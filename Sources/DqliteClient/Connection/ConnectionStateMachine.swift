import DqliteProtocol
import NIOCore

/// A request on its way to the node.
struct OutgoingRequest {
    /// Its number on this connection; the request id of the protobuf encoding.
    var id: UInt64
    /// The whole frame.
    var bytes: ByteBuffer
    /// The response that answers it. Rows come in parts.
    var answer: ResponseCode
    /// Whether the node can be asked to stop it (dqlite encoding: Interrupt concerns Exec, Query and their SQL twins).
    var canBeInterrupted: Bool
    /// Whether the database may be another after it.
    var mayWrite: Bool
    /// When its answer, or the first part of it, must have come.
    var deadline: NIODeadline?
    /// The session that its turn is in; zero: it waits for nobody.
    var sessionID: UInt64 = 0
    /// SQL text that may be several statements.
    var sql: String?
    /// Whether it belongs to a transaction.
    var isInTransaction = false
    /// The task that asks.
    var task: Int?
    /// The task that reads its rows.
    var reader: ReaderTask?
    /// Called with an answer that comes after the request was taken back.
    var onLate: (@Sendable (ReceivedAnswer) -> Void)?

    /// Whether a part of it may be committed when it fails.
    var mayCommitInPart: Bool {
        guard let sql = self.sql, SQLScanner(sql).hasSeveralStatements else { return false }
        return !self.isInTransaction || SQLScanner.mayCommit(sql)
    }

    var isResult: Bool { self.answer == .rows }
}

/// The body of a response.
struct ReceivedAnswer: Hashable, Sendable {
    var encoding: WireEncoding
    var revision: UInt8
    var body: ByteBuffer
}

/// A part of a result.
struct ResultPart: Hashable, Sendable {
    /// The body of a Rows response.
    var body: ByteBuffer
    /// What it took on the wire.
    var wireSize: Int
}

/// What a connection is to do next.
enum ConnectionAction {
    /// Send the frame of a request.
    case send(UInt64, ByteBuffer)
    /// Send bytes that belong to no request of the program: interrupts, grants.
    case control(ByteBuffer)
    /// The request has its answer, and is over.
    case answer(UInt64, ReceivedAnswer)
    /// The request, which was taken back, has an answer that somebody has to see to.
    case late(ReceivedAnswer, @Sendable (ReceivedAnswer) -> Void)
    /// The request has another part of its result; after the last it is over.
    case part(UInt64, ResultPart, isLast: Bool)
    /// The request failed, and is over.
    case fail(UInt64, DqliteError)
    /// Close the connection. All requests have failed.
    case close
}

/// What a connection does, decided without doing it.
///
/// One type for each encoding. Events are appended to `actions` as what is to be done, in order. Time is passed in.
protocol ConnectionStateMachine {
    /// The word that opens the connection.
    var preface: UInt64 { get }
    /// Whether what arrives next can be taken. When not, the node is to feel it.
    var wantsToRead: Bool { get }
    /// When to call ``deadlinePassed(now:actions:)`` at the latest.
    var nextDeadline: NIODeadline? { get }

    /// The program wants something.
    mutating func submit(_ request: OutgoingRequest, actions: inout [ConnectionAction])
    /// The request that was to be sent was not: nobody waits for it any more. It is over, and nothing is reported of it.
    mutating func notSent(_ id: UInt64, actions: inout [ConnectionAction])
    /// The program no longer waits for the request. It has been told so: neither answer nor failure of it are reported.
    mutating func takeBack(_ id: UInt64, now: NIODeadline, actions: inout [ConnectionAction])
    /// The program has read that much of the request's result.
    mutating func consumed(_ id: UInt64, bytes: Int, actions: inout [ConnectionAction])
    /// Bytes have arrived. Takes whole frames from the front of `buffer`.
    mutating func received(_ buffer: inout ByteBuffer, now: NIODeadline, actions: inout [ConnectionAction])
    /// Time has passed.
    mutating func deadlinePassed(now: NIODeadline, actions: inout [ConnectionAction])
    /// The connection is closed, or is to be, for this reason.
    mutating func closed(_ error: DqliteError, actions: inout [ConnectionAction])
}

/// The limits of a connection.
struct ConnectionLimits {
    var resultWindow: Int
    var maximumRowSize: Int
    var maximumFrameSize: Int
    var maximumQueuedRequests: Int
    var interruptTimeout: TimeAmount

    init(_ configuration: DqliteConnectionConfiguration) {
        self.resultWindow = configuration.resultWindow
        self.maximumRowSize = configuration.maximumRowSize
        self.maximumFrameSize = configuration.maximumFrameSize
        self.maximumQueuedRequests = configuration.maximumQueuedRequests
        self.interruptTimeout = TimeAmount(configuration.interruptTimeout)
    }
}

extension DqliteError {
    static func protocolViolation(_ message: String, underlying: (any Error)? = nil) -> DqliteError {
        DqliteError(.protocolViolation, message: message, underlyingError: underlying)
    }

    static func tooManyRequests(_ limit: Int) -> DqliteError {
        DqliteError(.tooManyRequests, message: "\(limit) requests already wait for this connection")
    }

    static var resultNotRead: DqliteError {
        DqliteError(
            .resultNotRead,
            message:
                "the task reads a result on this connection, and the request would wait behind it for ever: collect() "
                + "the rows, or use openSession()")
    }

    static func deadlineExceeded(
        wasSent: Bool, mayWrite: Bool, behindResult: Bool = false
    ) -> DqliteError {
        DqliteError(
            .deadlineExceeded, outcome: wasSent && mayWrite ? .unknown : .notCommitted,
            message: behindResult
                ? "a result on this connection was not read to its end, and the request waited behind it: collect() the "
                    + "rows, or use openSession()"
                : wasSent ? "the node did not answer in time" : "the request was not sent in time")
    }
}
