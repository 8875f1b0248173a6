import Foundation
import NIOCore
import NIOPosix

/// What a connection says: an opening, then one request after another, each when the answer to the last is complete.
protocol Conversation: Sendable {
    /// What is sent first, each when the last is answered; not measured.
    func opening() -> [ByteBuffer]
    /// The `number`th request that is measured.
    func request(number: Int) -> ByteBuffer
    /// Takes a complete answer off `received`. False: more has to arrive.
    func takeAnswer(from received: inout ByteBuffer) -> Bool
}

/// A closed loop: as many connections as asked for, each with one request under way.
enum Load {
    struct Result: Sendable {
        /// Microseconds.
        var p50: Double
        /// Microseconds.
        var p99: Double
        /// Requests per second.
        var rate: Double
    }

    static func run(
        _ subject: Subject, connections: Int, time: Duration, group: MultiThreadedEventLoopGroup
    ) async throws -> Result {
        let conversation = subject.conversation
        let loop = group.next()
        var channels: [any Channel] = []
        var ready: [EventLoopFuture<Void>] = []
        for index in 0..<connections {
            let opened = loop.makePromise(of: Void.self)
            ready.append(opened.futureResult)
            channels.append(
                try await ClientBootstrap(group: loop)
                    .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    .channelInitializer { channel in
                        channel.eventLoop.makeCompletedFuture {
                            try channel.pipeline.syncOperations.addHandler(
                                LoadHandler(conversation, number: index * 7919, opened: opened))
                        }
                    }
                    .connect(host: "127.0.0.1", port: subject.port).get())
        }
        try await EventLoopFuture.andAllSucceed(ready, on: loop).get()

        let began = NIODeadline.now()
        let end =
            began + .nanoseconds(time.components.seconds * 1_000_000_000 + time.components.attoseconds / 1_000_000_000)
        var latencies: [Int64] = []
        let running = channels.map { channel in
            channel.pipeline.handler(type: LoadHandler.self).map { NIOLoopBound($0, eventLoop: loop) }
                .flatMap { $0.value.start(until: end) }
        }
        for future in running { latencies += try await future.get() }
        let elapsed = Double((NIODeadline.now() - began).nanoseconds) / 1e9
        for channel in channels { try? await channel.close() }
        latencies.sort()
        return Result(
            p50: Double(latencies[latencies.count / 2]) / 1000,
            p99: Double(latencies[latencies.count * 99 / 100]) / 1000,
            rate: Double(latencies.count) / elapsed)
    }
}

private final class LoadHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let conversation: any Conversation
    private var opening: ArraySlice<ByteBuffer>
    private let opened: EventLoopPromise<Void>
    private var number: Int
    private var received = ByteBuffer()
    private var sent = NIODeadline.now()
    private var end: NIODeadline?
    private var latencies: [Int64] = []
    private var finished: EventLoopPromise<[Int64]>?
    private var context: ChannelHandlerContext?

    init(_ conversation: any Conversation, number: Int, opened: EventLoopPromise<Void>) {
        self.conversation = conversation
        self.opening = conversation.opening()[...]
        self.number = number
        self.opened = opened
    }

    func start(until end: NIODeadline) -> EventLoopFuture<[Int64]> {
        let context = self.context!
        let promise = context.eventLoop.makePromise(of: [Int64].self)
        self.finished = promise
        self.end = end
        self.send(context)
        return promise.futureResult
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        self.open(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var buffer = Self.unwrapInboundIn(data)
        if self.received.readableBytes == 0 { self.received = buffer } else { self.received.writeBuffer(&buffer) }
        guard self.conversation.takeAnswer(from: &self.received) else { return }
        guard let end = self.end else { return self.open(context) }
        let now = NIODeadline.now()
        self.latencies.append((now - self.sent).nanoseconds)
        if now < end {
            self.send(context)
        } else {
            self.finished?.succeed(self.latencies)
            self.finished = nil
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.finished?.fail(error)
        self.finished = nil
        context.close(promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.opened.fail(ChannelError.eof)
        self.finished?.fail(ChannelError.eof)
        self.finished = nil
        self.context = nil
    }

    private func open(_ context: ChannelHandlerContext) {
        guard let next = self.opening.popFirst() else { return self.opened.succeed() }
        context.writeAndFlush(Self.wrapOutboundOut(next), promise: nil)
    }

    private func send(_ context: ChannelHandlerContext) {
        self.number += 1
        self.sent = .now()
        context.writeAndFlush(Self.wrapOutboundOut(self.conversation.request(number: self.number)), promise: nil)
    }
}
