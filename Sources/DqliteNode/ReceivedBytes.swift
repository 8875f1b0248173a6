import NIOCore

extension ByteBuffer {
    /// Appends what has just arrived to what is not yet taken apart, and gives up the memory of what is.
    mutating func receive(_ bytes: ByteBuffer) {
        guard self.readableBytes > 0 else {
            self = bytes
            return
        }
        // Otherwise a buffer that is never quite empty grows by everything that ever arrives.
        if self.readerIndex > 0 { self.discardReadBytes() }
        self.writeImmutableBuffer(bytes)
    }
}
