import DqliteFraming
import DqliteRaft
import NIOCore

/// Receives a snapshot that comes in one message, in the C form, on a stream that may bring other messages before and after it.
///
/// Nothing is read from the connection while what came is on its way to the disk. That the snapshot is there the other node
/// learns as of any entries; if it cannot be, or is not wanted, the stream is closed.
final class InstallSnapshotReceiver: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private enum State {
        case waitingForHead
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
    private let contact: @Sendable () -> Void
    private let successor: () -> any ChannelHandler
    private var state = State.waitingForHead
    private var buffer = ByteBuffer()
    private var decoder = SnapshotContentDecoder(size: 0, maximumDatabases: 0)
    private var snapshot: IncomingSnapshot?
    private var metadata: SnapshotMetadata?
    /// Whether what is under way may end in a snapshot that counts.
    private var isFinishing = false
    private var readIsHeld = false
    private var context: ChannelHandlerContext?
    private var eventLoop: (any EventLoop)?
    private var timeout: Scheduled<Void>?

    /// - Parameters:
    ///   - directory: Where it is received.
    ///   - contact: Told of all bytes that come.
    ///   - successor: Makes the handler of what comes after the snapshot.
    ///   - accept: Asked whether the snapshot is wanted: succeeds the promise, or fails it with why not.
    ///   - completed: Told once, on the event loop, of the snapshot that is durable and is to be installed, or why there is none.
    init(
        directory: DataDirectory, settings: SnapshotSettings = .init(), threads: DiskThreads = .shared,
        contact: @escaping @Sendable () -> Void, successor: @escaping () -> any ChannelHandler,
        accept: @escaping @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void,
        completed: @escaping @Sendable (Result<SnapshotInstallation, SnapshotError>) -> Void
    ) {
        self.directory = directory
        self.settings = settings
        self.threads = threads
        self.contact = contact
        self.successor = successor
        self.accept = accept
        self.completed = completed
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.eventLoop = context.eventLoop
        self.awaitBytes()
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.fail(SnapshotError(.connection, "the connection was closed"))
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.fail(SnapshotError(.connection, "the connection was closed"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.fail(SnapshotError(.connection, "the connection failed: \(error)"))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ShutdownEvent { self.fail(SnapshotError(.cancelled, "the node is shutting down")) }
        context.fireUserInboundEventTriggered(event)
    }

    func read(context: ChannelHandlerContext) {
        if case .busy = self.state { self.readIsHeld = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .over = self.state { return }
        self.buffer.receive(self.unwrapInboundIn(data))
        self.contact()
        self.proceed()
    }

    private func awaitBytes() {
        guard let context = self.context else { return }
        self.timeout?.cancel()
        self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(self.settings.timeout)) {
            self.fail(SnapshotError(.connection, "the sender sent nothing for \(self.settings.timeout)"))
        }
        guard self.readIsHeld else { return }
        self.readIsHeld = false
        context.read()
    }

    // MARK: What comes

    private func proceed() {
        do throws(SnapshotError) {
            switch self.state {
            case .busy, .over: break
            case .waitingForHead:
                if let head = try InstallSnapshotHead(from: &self.buffer) {
                    try self.decide(head)
                } else {
                    self.awaitBytes()
                }
            case .receiving:
                var pieces: [SnapshotContentDecoder.Piece] = []
                while let piece = try self.decoder.next(&self.buffer) { pieces.append(piece) }
                if pieces.isEmpty { self.awaitBytes() } else { self.work(pieces) }
            }
        } catch {
            self.fail(error)
        }
    }

    private func becomeBusy() {
        self.state = .busy
        self.timeout?.cancel()
        self.timeout = nil
    }

    private func decide(_ head: InstallSnapshotHead) throws(SnapshotError) {
        guard let context = self.context else { return }
        let offer = try SnapshotOffer(head)
        self.metadata = offer.metadata
        self.decoder = SnapshotContentDecoder(
            size: head.dataSize, maximumDatabases: self.settings.maximumDatabases)
        self.becomeBusy()
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
            [directory = self.directory, limit = self.settings.maximumDatabases] in
            try IncomingSnapshot(in: directory, metadata: offer.metadata, maximumDatabases: limit)
        }
        made.assumeIsolated().whenComplete { result in
            switch result {
            case .success(let snapshot):
                self.snapshot = snapshot
                // Given up meanwhile.
                guard case .busy = self.state else { return self.discard() }
                self.state = .receiving
                self.proceed()
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    private func work(_ pieces: [SnapshotContentDecoder.Piece]) {
        guard let snapshot = self.snapshot, let metadata = self.metadata, let context = self.context else { return }
        self.becomeBusy()
        let done = self.threads.run(on: context.eventLoop) {
            for piece in pieces { try snapshot.add(piece, intent: metadata.index) }
        }
        done.assumeIsolated().whenComplete { result in
            // Given up meanwhile.
            guard case .busy = self.state else { return self.discard() }
            switch result {
            case .success where pieces.last == .end: self.finish(metadata)
            case .success:
                self.state = .receiving
                self.proceed()
            case .failure(let error):
                self.state = .receiving
                self.fail(Self.error(error))
            }
        }
    }

    private func finish(_ metadata: SnapshotMetadata) {
        guard let snapshot = self.snapshot, let context = self.context else { return }
        self.isFinishing = true
        let installation = self.threads.run(on: context.eventLoop) {
            try snapshot.finish(newestIntent: metadata.index)
        }
        installation.assumeIsolated().whenComplete { result in
            self.isFinishing = false
            self.state = .receiving
            switch result {
            case .success(let installation):
                self.state = .over
                self.snapshot = nil
                self.completed(.success(installation))
                self.makeRoom()
            case .failure(let error): self.fail(Self.error(error))
            }
        }
    }

    /// What comes now are other messages.
    private func makeRoom() {
        guard let context = self.context else { return }
        let rest = self.buffer
        self.buffer = ByteBuffer()
        context.replace(self, with: self.successor(), received: rest)
        if self.readIsHeld { context.read() }
    }

    // MARK: Ends

    private static func error(_ error: any Error) -> SnapshotError {
        error as? SnapshotError ?? SnapshotError(.cancelled, "the node is shutting down: \(error)")
    }

    private func fail(_ error: SnapshotError) {
        if case .over = self.state { return }
        // It may count already, and what becomes of it is told then.
        if self.isFinishing { return }
        let wasBusy = if case .busy = self.state { true } else { false }
        self.timeout?.cancel()
        self.timeout = nil
        self.state = .over
        self.buffer = ByteBuffer()
        self.context?.close(promise: nil)
        // A thread that is at it does it afterwards.
        if !wasBusy { self.discard() }
        self.completed(.failure(error))
    }

    private func discard() {
        guard let snapshot = self.snapshot.take(), let eventLoop = self.eventLoop else { return }
        _ = self.threads.run(on: eventLoop) { snapshot.discard() }
    }
}

extension IncomingSnapshot {
    /// Writes a piece of what comes in the C form: files that are as they were at one entry.
    fileprivate func add(_ piece: SnapshotContentDecoder.Piece, intent: LogIndex) throws(SnapshotError) {
        switch piece {
        case .file(let name, let size): try self.beginFile(name, size: size)
        case .bytes(let bytes, let offset):
            try bytes.withReadableMemory { memory throws(SnapshotError) in try self.write(memory, at: offset) }
        case .page(let bytes, let number):
            try bytes.withReadableMemory { memory throws(SnapshotError) in try self.write(memory, page: number) }
        case .fileEnd(let pageCount):
            if let pageCount { try self.resizeFile(to: pageCount * UInt64(SnapshotContentDecoder.pageSize)) }
            try self.endFile(intent: intent)
        case .end: break
        }
    }
}
