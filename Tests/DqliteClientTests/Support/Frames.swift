import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

@testable import DqliteClient

/// The frame of a response.
func frame(_ body: Response.Body, to requestID: UInt64 = 2, in encoding: WireEncoding) throws -> ByteBuffer {
    var buffer = ByteBuffer()
    guard encoding == .dqlite else {
        buffer.writeEnvelope(Response(requestID: requestID, body: body))
        return buffer
    }
    switch body {
    case .failure(let message): try buffer.writeDqliteResponse(message)
    case .server(let message): try buffer.writeDqliteResponse(message)
    case .servers(let message): try buffer.writeDqliteResponse(message, revision: 1)
    case .database(let message): try buffer.writeDqliteResponse(message)
    case .statement(let message): try buffer.writeDqliteResponse(message)
    case .result(let message): try buffer.writeDqliteResponse(message)
    case .rows(let message): try buffer.writeDqliteResponse(message)
    case .empty(let message): try buffer.writeDqliteResponse(message)
    case .files(let message): try buffer.writeDqliteResponse(message)
    case .metadata(let message): try buffer.writeDqliteResponse(message)
    case .welcome(let message): try buffer.writeDqliteResponse(message)
    case .blocked, .batch: preconditionFailure("not in the dqlite encoding")
    }
    return buffer
}

/// A part of a result with one column "n".
func part(_ numbers: some Sequence<Int>, more: Bool = false, named names: [String] = ["n"]) -> Response.Body {
    .rows(RowsResponse(columns: names, values: numbers.map { .integer(Int64($0)) }, more: more))
}

/// A failure.
func failure(_ code: UInt64, _ message: String, _ outcome: WriteOutcome = .unspecified) -> Response.Body {
    .failure(FailureResponse(code: code, message: message, outcome: outcome))
}

/// A request as a node reads it.
struct ReceivedRequest: Sendable {
    var requestID: UInt64
    var sessionID: UInt64
    var window: UInt64
    var timeoutMilliseconds: UInt64
    var isInTransaction = false
    var body: Request.Body
}

/// Takes whole requests from what a client sent.
func takeRequests(from buffer: inout ByteBuffer, encoding: WireEncoding) throws -> [ReceivedRequest] {
    var requests: [ReceivedRequest] = []
    switch encoding {
    case .dqlite:
        var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 26)
        while let frame = try decoder.decode(buffer: &buffer) {
            let body = try frame.body.withReadableMemory { bytes throws(WireError) in
                var reader = WordReader(bytes, message: "Request")
                return try Request.Body(dqlite: &reader, code: frame.header.code, revision: frame.header.revision)
            }
            guard let body else { throw DqliteError(.protocolViolation, message: "request \(frame.header.code)") }
            requests.append(
                ReceivedRequest(requestID: 0, sessionID: 0, window: 0, timeoutMilliseconds: 0, body: body))
        }
    case .protobuf:
        var decoder = EnvelopeDecoder(maximumSize: 1 << 26)
        while let envelope = try decoder.decode(buffer: &buffer) {
            let request = try envelope.protobufMessage(Request.self)
            guard let body = request.body else { throw DqliteError(.protocolViolation, message: "no body") }
            requests.append(
                ReceivedRequest(
                    requestID: request.requestID, sessionID: request.sessionID, window: request.window,
                    timeoutMilliseconds: request.timeoutMilliseconds, isInTransaction: request.inTransaction,
                    body: body))
        }
    }
    return requests
}

/// Arguments of tests that hold for both.
let bothEncodings: [WireEncoding] = [.dqlite, .protobuf]

extension WireEncoding {
    var configured: DqliteConnectionConfiguration.Encoding { self == .dqlite ? .dqlite : .protobuf }
}
