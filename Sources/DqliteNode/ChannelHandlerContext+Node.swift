import NIOCore

extension ChannelHandlerContext {
    /// Closes the connection when everything that was written has left, or after a while if its reader does not read.
    func closeAfterWrites() {
        let channel = self.channel
        let timeout = self.eventLoop.scheduleTask(in: .seconds(5)) { channel.close(promise: nil) }
        let written = self.eventLoop.makePromise(of: Void.self)
        written.futureResult.whenComplete { _ in
            timeout.cancel()
            channel.close(promise: nil)
        }
        self.writeAndFlush(NIOAny(ByteBuffer()), promise: written)
    }
}
