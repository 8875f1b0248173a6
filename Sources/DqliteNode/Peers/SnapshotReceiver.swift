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

    private enum State {
        case waitingForOffer
        /// Something is under way.
        case busy
        case receiving
        case over
    }

    private let directory: DataDirectory
    private let settings: SnapshotSettings
    private let threads: DiskThreads
    private let accept: @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void
    private let completed: @Sendable (Result<SnapshotInstallation, SnapshotError>) -> Void
    private let step: InstallationStepHook
    private var state = State.waitingForOffer
    private var snapshot: IncomingSnapshot?
    private var metadata: SnapshotMetadata?
    /// Whether what is under way may end in a snapshot that counts.
    private var isFinishing = false
    private var processor: NIOSingleStepByteToMessageProcessor<SnapshotFrameDecoder>
    private var context: ChannelHandlerContext?
    private var eventLoop: (any EventLoop)?
    private var timeout: Scheduled<Void>?

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
        self.directory = directory
        self.settings = settings
        self.threads = threads
        self.step = step
        self.accept = accept
        self.completed = completed
        self.processor = NIOSingleStepByteToMessageProcessor(
            SnapshotFrameDecoder(maximumChunkSize: settings.maximumChunkSize))
    }

    /// Gives up, unless the snapshot counts already. To be called on the event loop.
    func cancel(because reason: String) { self.fail(SnapshotError(.cancelled, reason)) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.eventLoop = context.eventLoop
        self.awaitMessage()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(SnapshotError(.connection, "the connection was closed"))
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.fail(SnapshotError(.connection, "the connection was closed"))
        self.context = nil
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(SnapshotError(.connection, "the connection failed: \(error)"))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .over = self.state { return }
        do {
            try self.processor.process(buffer: self.unwrapInboundIn(data)) { self.received($0) }
        } catch {
            self.fail(error as? SnapshotError ?? SnapshotError(.malformed, "\(error)"))
        }
    }

    private func awaitMessage() {
        guard let context = self.context else { return }
        self.timeout?.cancel()
        self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(self.settings.timeout)) {
            self.fail(SnapshotError(.connection, "the sender sent nothing for \(self.settings.timeout)"))
        }
    }

    // MARK: Messages

    private func received(_ message: SnapshotMessage) {
        self.timeout?.cancel()
        self.timeout = nil
        switch (self.state, message) {
        case (.over, _): break
        case (_, .failed(let failure)): self.fail(SnapshotError(.peer, failure.message))
        case (.waitingForOffer, .begin(let begin)): self.decide(begin)
        case (.receiving, .file(let file)):
            self.work { snapshot throws(SnapshotError) in try snapshot.beginFile(file.name, size: file.size) }
        case (.receiving, .chunk(let offset, let bytes)):
            self.work { snapshot throws(SnapshotError) in
                try bytes.withReadableMemory { memory throws(SnapshotError) in
                    try snapshot.write(memory, at: offset)
                }
            }
        case (.receiving, .fileEnd(let end)):
            self.work { snapshot throws(SnapshotError) in try snapshot.endFile(intent: LogIndex(end.intent)) }
        case (.receiving, .end(let end)): self.finish(LogIndex(end.newestIntent))
        default: self.fail(SnapshotError(.malformed, "the sender sends what it must not now"))
        }
    }

    private func decide(_ begin: SnapshotBegin) {
        guard let context = self.context else { return }
        let offer: SnapshotOffer
        do throws(SnapshotError) {
            offer = try SnapshotOffer(begin)
        } catch {
            return self.fail(error)
        }
        self.state = .busy
        self.metadata = offer.metadata
        let decision = context.eventLoop.makePromise(of: Void.self)
        self.accept(offer, decision)
        decision.futureResult.assumeIsolated().whenComplete { result in
            switch result {
            case .success: self.begin(offer)
            case .failure(let error):
                self.fail(error as? SnapshotError ?? SnapshotError(.refused, "the snapshot is refused: \(error)"))
            }
        }
    }

    private func begin(_ offer: SnapshotOffer) {
        guard case .busy = self.state, let context = self.context else { return }
        let made = self.threads.run(on: context.eventLoop) {
            [directory = self.directory, limit = self.settings.maximumDatabases, step = self.step] in
            try IncomingSnapshot(in: directory, metadata: offer.metadata, maximumDatabases: limit, step: step)
        }
        made.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let snapshot):
                self.snapshot = snapshot
                // Given up meanwhile.
                guard case .busy = self.state else { return self.discard() }
                self.state = .receiving
                self.send(.accepted(SnapshotAccepted(chunkSize: UInt64(self.settings.maximumChunkSize))))
                self.awaitMessage()
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    /// Works on a message, and answers it.
    private func work(_ body: @escaping @Sendable (IncomingSnapshot) throws(SnapshotError) -> Void) {
        guard let snapshot = self.snapshot, let context = self.context else { return }
        self.state = .busy
        let size = self.threads.run(on: context.eventLoop) {
            try body(snapshot)
            return snapshot.size
        }
        size.assumeIsolated().whenComplete { result in
            // Given up meanwhile.
            guard case .busy = self.state else { return self.discard() }
            self.state = .receiving
            switch result {
            case .success(let size):
                self.send(.progress(SnapshotProgress(size: UInt64(size))))
                self.awaitMessage()
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    private func finish(_ newestIntent: LogIndex) {
        guard let snapshot = self.snapshot, let context = self.context else { return }
        self.state = .busy
        self.isFinishing = true
        let installation = self.threads.run(on: context.eventLoop) { try snapshot.finish(newestIntent: newestIntent) }
        installation.assumeIsolated().whenComplete { result in
            self.isFinishing = false
            self.state = .receiving
            switch result {
            case .success(let installation):
                self.state = .over
                self.snapshot = nil
                self.send(.received(SnapshotReceived(lastIndex: installation.metadata.index.rawValue)))
                self.context?.closeAfterWrites()
                self.completed(.success(installation))
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    // MARK: Ends

    private static func error(_ error: any Error) -> SnapshotError {
        error as? SnapshotError ?? SnapshotError(.cancelled, "the node is shutting down: \(error)")
    }

    private func fail(_ error: SnapshotError) {
        if case .over = self.state { return }
        // It may count already, and what becomes of it is told then.
        if self.isFinishing { return }
        self.timeout?.cancel()
        self.timeout = nil
        let wasBusy = if case .busy = self.state { true } else { false }
        self.state = .over
        if error.code != .peer, error.code != .connection { self.send(.failed(SnapshotFailed(error))) }
        self.context?.closeAfterWrites()
        // A thread that is at it does it afterwards.
        if !wasBusy { self.discard() }
        self.completed(.failure(error))
    }

    private func discard() {
        guard let snapshot = self.snapshot.take(), let eventLoop = self.eventLoop else { return }
        _ = self.threads.run(on: eventLoop) { snapshot.discard() }
    }

    private func send(_ message: SnapshotMessage) {
        guard let context = self.context else { return }
        var buffer = context.channel.allocator.buffer(capacity: 64)
        // Texts of failures hold no NUL, and there are no others.
        guard (try? buffer.writeSnapshotMessage(message)) != nil else { return }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
    }
}
