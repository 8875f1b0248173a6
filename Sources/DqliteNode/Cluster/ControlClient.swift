import DqliteFraming
import DqliteProtocol
import NIOCore
import NIOPosix

/// Connects by TCP to an address `HOST:PORT`.
let dialByTCP: DqliteNodeConfiguration.Dial = { address, eventLoop in
    guard let address = NodeAddress(address) else {
        return eventLoop.makeFailedFuture(ControlClientError.address(address))
    }
    let bootstrap = ClientBootstrap(group: eventLoop)
        .connectTimeout(.seconds(2))
        .channelOption(.socketOption(.tcp_nodelay), value: 1)
        .channelOption(.writeBufferWaterMark, value: .init(low: 256 << 10, high: 1 << 20))
    return (ConnectionLoss.keepAlive + ConnectionLoss.unacknowledged)
        .reduce(bootstrap) { $0.channelOption($1.0, value: $1.1) }
        .connect(host: address.host, port: address.port)
}

enum ControlClientError: Error, CustomStringConvertible {
    case address(String)
    case closed
    case timeout
    case failure(code: UInt64, message: String)
    case unexpected

    var description: String {
        switch self {
        case .address(let address): "\(address) is no address of the form HOST:PORT"
        case .closed: "the connection was closed"
        case .timeout: "no answer in time"
        case .failure(_, let message): message
        case .unexpected: "an answer of another kind was expected"
        }
    }
}

/// What a node asks of another one that it wants to join or to leave: one request at a time, in the dqlite encoding.
final class ControlClient: Sendable {
    private let channel: any Channel
    private let handler: NIOLoopBound<AnswerHandler>

    private init(channel: any Channel, handler: NIOLoopBound<AnswerHandler>) {
        self.channel = channel
        self.handler = handler
    }

    static func connect(
        to address: String, dial: DqliteNodeConfiguration.Dial, on eventLoop: any EventLoop
    ) async throws -> ControlClient {
        try await dial(address, eventLoop).flatMapThrowing { channel in
            let handler = AnswerHandler()
            try channel.pipeline.syncOperations.addHandler(handler)
            var preface = channel.allocator.buffer(capacity: 8)
            preface.writeInteger(Preface.dqlite, endianness: .little)
            channel.writeAndFlush(preface, promise: nil)
            return ControlClient(channel: channel, handler: NIOLoopBound(handler, eventLoop: eventLoop))
        }.get()
    }

    func close() { self.channel.close(promise: nil) }

    /// - Parameter revision: Of the answer, which does not say it everywhere.
    /// - Throws: ``ControlClientError``, or why the connection failed.
    func call<Answer: ResponseMessage>(
        _ request: some RequestMessage, timeout: TimeAmount, _: Answer.Type = Answer.self, revision: UInt8 = 0
    ) async throws -> Answer {
        var frame = self.channel.allocator.buffer(capacity: 128)
        try frame.writeDqliteRequest(request)
        let promise = self.channel.eventLoop.makePromise(of: DqliteFrame.self)
        self.channel.eventLoop.execute { [frame] in
            self.handler.value.expect(promise, timeout: timeout, eventLoop: self.channel.eventLoop)
            self.channel.writeAndFlush(frame, promise: nil)
        }
        let answer = try await promise.futureResult.get()
        let code = ResponseCode(rawValue: answer.header.code)
        if code == .failure {
            let failure: FailureResponse = try answer.body.dqliteMessage()
            throw ControlClientError.failure(code: failure.code, message: failure.message)
        }
        guard code == Answer.code else { throw ControlClientError.unexpected }
        return try answer.body.dqliteMessage(revision: revision)
    }
}
