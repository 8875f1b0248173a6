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

extension ChannelHandlerContext {
    /// Puts another handler in the place of this one, which gets what was received and not used; if that cannot be, the
    /// connection is closed.
    func replace(_ old: some RemovableChannelHandler, with new: any ChannelHandler, received rest: ByteBuffer) {
        do {
            try self.pipeline.syncOperations.addHandler(new, position: .after(old))
        } catch {
            return self.close(promise: nil)
        }
        if rest.readableBytes > 0 { self.fireChannelRead(NIOAny(rest)) }
        self.pipeline.syncOperations.removeHandler(old, promise: nil)
    }
}
