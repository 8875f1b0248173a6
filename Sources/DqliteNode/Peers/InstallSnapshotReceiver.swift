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

    private let reception: SnapshotReception
    private let contact: @Sendable () -> Void
    private let successor: () -> any ChannelHandler
    private var buffer = ByteBuffer()
    private var decoder = SnapshotContentDecoder(size: 0, maximumDatabases: 0)
    /// Whether the last of it is on its way to the disk.
    private var hasEnded = false
    private var readIsHeld = false
    private var context: ChannelHandlerContext?

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
        self.reception = SnapshotReception(
            directory: directory, settings: settings, threads: threads, accept: accept, completed: completed)
        self.contact = contact
        self.successor = successor
        self.reception.delegate = self
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        self.reception.begin(on: context.eventLoop)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.reception.fail(SnapshotError(.connection, "the connection was closed"))
        self.context = nil
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.reception.fail(SnapshotError(.connection, "the connection was closed"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.reception.fail(SnapshotError(.connection, "the connection failed: \(error)"))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if event is ShutdownEvent { self.reception.fail(SnapshotError(.cancelled, "the node is shutting down")) }
        context.fireUserInboundEventTriggered(event)
    }

    func read(context: ChannelHandlerContext) {
        if case .busy = self.reception.state { self.readIsHeld = true } else { context.read() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if case .over = self.reception.state { return }
        self.buffer.receive(self.unwrapInboundIn(data))
        self.contact()
        self.proceed()
    }

    private func awaitBytes() {
        self.reception.awaitBytes()
        guard self.readIsHeld else { return }
        self.readIsHeld = false
        self.context?.read()
    }

    // MARK: What comes

    private func proceed() {
        do throws(SnapshotError) {
            switch self.reception.state {
            case .busy, .over: break
            case .waitingForOffer:
                guard let head = try InstallSnapshotHead(from: &self.buffer) else { return self.awaitBytes() }
                let offer = try SnapshotOffer(head)
                self.decoder = SnapshotContentDecoder(
                    size: head.dataSize, maximumDatabases: self.reception.settings.maximumDatabases)
                self.reception.decide(offer)
            case .receiving:
                guard let index = self.reception.metadata?.index else { return }
                if self.hasEnded { return self.reception.finish(index) }
                var pieces: [SnapshotContentDecoder.Piece] = []
                while let piece = try self.decoder.next(&self.buffer) { pieces.append(piece) }
                if pieces.isEmpty { return self.awaitBytes() }
                self.hasEnded = pieces.last == .end
                self.reception.work { [pieces] snapshot throws(SnapshotError) in
                    for piece in pieces { try snapshot.add(piece, intent: index) }
                }
            }
        } catch {
            self.reception.fail(error)
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
}

extension InstallSnapshotReceiver: SnapshotReceptionDelegate {
    func accepted() { self.proceed() }
    func written(size: Int) { self.proceed() }
    func finished(_ installation: SnapshotInstallation) { self.makeRoom() }

    func gaveUp(_ error: SnapshotError) {
        self.buffer = ByteBuffer()
        self.context?.close(promise: nil)
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
