import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore

/// Receives a snapshot on a connection that is its own, and closes it.
///
/// One message is worked on at a time. The next comes when that is answered: one that comes earlier ends the connection.
final class SnapshotReceiver: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let reception: SnapshotReception
    private var processor: NIOSingleStepByteToMessageProcessor<SnapshotFrameDecoder>
    private var context: ChannelHandlerContext?

    /// - Parameters:
    ///   - directory: Where it is received.
    ///   - accept: Asked whether the snapshot is wanted: succeeds the promise, or fails it with why not.
    ///   - completed: Told once, on the event loop, of the snapshot that is durable and is to be installed, or why there is none.
    init(
        directory: DataDirectory, settings: SnapshotSettings = .init(), threads: DiskThreads = .shared,
        step: @escaping InstallationStepHook = { _ in },
        accept: @escaping @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void,
        completed: @escaping @Sendable (Result<SnapshotInstallation, SnapshotError>) -> Void
    ) {
        self.reception = SnapshotReception(
            directory: directory, settings: settings, threads: threads, step: step, accept: accept,
            completed: completed)
        self.processor = NIOSingleStepByteToMessageProcessor(
            SnapshotFrameDecoder(maximumChunkSize: settings.maximumChunkSize))
        self.reception.delegate = self
    }

    /// Gives up, unless the snapshot counts already. To be called on the event loop.
    func cancel(because reason: String) { self.reception.fail(SnapshotError(.cancelled, reason)) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.reception.begin(on: context.eventLoop)
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.reception.fail(SnapshotError(.connection, "the connection was closed"))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.reception.fail(SnapshotError(.connection, "the connection was closed"))
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.reception.fail(SnapshotError(.connection, "the connection failed: \(error)"))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .over = self.reception.state { return }
        do {
            try self.processor.process(buffer: self.unwrapInboundIn(data)) { self.received($0) }
        } catch {
            self.reception.fail(error as? SnapshotError ?? SnapshotError(.malformed, "\(error)"))
        }
    }

    // MARK: Messages

    private func received(_ message: SnapshotMessage) {
        let reception = self.reception
        switch (reception.state, message) {
        case (.over, _): break
        case (_, .failed(let failure)): reception.fail(SnapshotError(.peer, failure.message))
        case (.waitingForOffer, .begin(let begin)):
            do throws(SnapshotError) {
                reception.decide(try SnapshotOffer(begin))
            } catch {
                reception.fail(error)
            }
        case (.receiving, .file(let file)):
            reception.work { snapshot throws(SnapshotError) in try snapshot.beginFile(file.name, size: file.size) }
        case (.receiving, .chunk(let offset, let bytes)):
            reception.work { snapshot throws(SnapshotError) in
                try bytes.withReadableMemory { memory throws(SnapshotError) in
                    try snapshot.write(memory, at: offset)
                }
            }
        case (.receiving, .fileEnd(let end)):
            reception.work { snapshot throws(SnapshotError) in try snapshot.endFile(intent: LogIndex(end.intent)) }
        case (.receiving, .end(let end)): reception.finish(LogIndex(end.newestIntent))
        default: reception.fail(SnapshotError(.malformed, "the sender sends what it must not now"))
        }
    }

    private func send(_ message: SnapshotMessage) {
        guard let context = self.context else { return }
        var buffer = context.channel.allocator.buffer(capacity: 64)
        // Texts of failures hold no NUL, and there are no others.
        guard (try? buffer.writeSnapshotMessage(message)) != nil else { return }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }
}

extension SnapshotReceiver: SnapshotReceptionDelegate {
    func accepted() {
        self.send(.accepted(SnapshotAccepted(chunkSize: UInt64(self.reception.settings.maximumChunkSize))))
        self.reception.awaitBytes()
    }

    func written(size: Int) {
        self.send(.progress(SnapshotProgress(size: UInt64(size))))
        self.reception.awaitBytes()
    }

    func finished(_ installation: SnapshotInstallation) {
        self.send(.received(SnapshotReceived(lastIndex: installation.metadata.index.rawValue)))
        self.context?.closeAfterWrites()
    }

    func gaveUp(_ error: SnapshotError) {
        if error.code != .peer, error.code != .connection { self.send(.failed(SnapshotFailed(error))) }
        self.context?.closeAfterWrites()
    }
}
