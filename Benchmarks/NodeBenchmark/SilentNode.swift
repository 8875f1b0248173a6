import DqliteFraming
import DqliteProtocol
import NIOCore

/// Answers as a node does that has stored a row, and stores nothing: what a client, the kernel and NIO leave of a second at most.
/// The protobuf encoding only, and only what the clients that write ask for.
enum SilentNode {
    static func run() async throws { try await EchoServer.serve { SilentNodeHandler() } }
}

private final class SilentNodeHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var received = ByteBuffer()
    private var hasPreface = false
    private var decoder = EnvelopeDecoder(maximumSize: 1 << 20)
    private var rows: Int64 = 0

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = Self.unwrapInboundIn(data)
        self.received.writeBuffer(&bytes)
        if !self.hasPreface {
            guard self.received.readInteger(as: UInt64.self) != nil else { return }
            self.hasPreface = true
        }
        do {
            while let envelope = try self.decoder.decode(buffer: &self.received) {
                let request: Request = try envelope.protobufMessage()
                var answer = ByteBuffer()
                answer.writeEnvelope(Response(requestID: request.requestID, body: self.answer(request)))
                context.write(Self.wrapOutboundOut(answer), promise: nil)
            }
        } catch {
            context.close(promise: nil)
        }
        if self.received.readableBytes == 0 { self.received.clear() }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        context.flush()
    }

    private func answer(_ request: Request) -> Response.Body {
        switch request.body {
        case .open: return .database(DatabaseResponse())
        case .prepare(let prepare):
            let parameters = prepare.sql.utf8.count { $0 == UInt8(ascii: "?") }
            return .statement(StatementResponse(parameterCount: UInt64(parameters)))
        case .exec, .execSQL:
            self.rows += 1
            return .result(ResultResponse(lastInsertRowID: self.rows, rowsAffected: 1))
        default: return .empty(EmptyResponse())
        }
    }
}
