import DqliteFraming
import NIOCore

/// Hands out the answers that come on a connection that this node has opened: one at a time, as they are asked for.
final class AnswerHandler: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private var received = ByteBuffer()
    private var decoder = DqliteFrameDecoder(maximumBodySize: 1 << 20)
    private var waiting: EventLoopPromise<DqliteFrame>?
    private var isClosed = false

    /// Gives the next answer to a promise; or fails it, also after a while. To be called on the event loop.
    func expect(_ promise: EventLoopPromise<DqliteFrame>, timeout: TimeAmount, eventLoop: any EventLoop) {
        guard !self.isClosed, self.waiting == nil else { return promise.fail(ControlClientError.closed) }
        self.waiting = promise
        let task = eventLoop.scheduleTask(in: timeout) { promise.fail(ControlClientError.timeout) }
        promise.futureResult.whenComplete { _ in task.cancel() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.received.receive(self.unwrapInboundIn(data))
        do {
            guard let frame = try self.decoder.decode(buffer: &self.received) else { return }
            self.waiting.take()?.succeed(frame)
        } catch {
            self.fail(error, context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isClosed = true
        self.waiting.take()?.fail(ControlClientError.closed)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { self.fail(error, context) }

    private func fail(_ error: any Error, _ context: ChannelHandlerContext) {
        self.waiting.take()?.fail(error)
        context.close(promise: nil)
    }
}
