import DqliteRaft
import NIOCore

/// Sends a snapshot as one message, in the C form, on a connection that is its own, so that heartbeats pass; and closes it.
final class InstallSnapshotSender: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let source: any SnapshotSource
    private let settings: SnapshotSettings
    private let threads: DiskThreads
    private let completed: @Sendable (Result<Void, SnapshotError>) -> Void
    private var machine: InstallSnapshotSenderMachine
    private var context: ChannelHandlerContext?
    private var timeout: Scheduled<Void>?

    /// - Parameters:
    ///   - source: What is sent.
    ///   - term: In which this node leads.
    ///   - completed: Told once, on the event loop, that the receiver has the snapshot, or why it has not.
    init(
        source: SettledSource, term: Term, settings: SnapshotSettings = .init(), threads: DiskThreads = .shared,
        completed: @escaping @Sendable (Result<Void, SnapshotError>) -> Void
    ) {
        self.source = source
        self.settings = settings
        self.threads = threads
        self.completed = completed
        self.machine = InstallSnapshotSenderMachine(
            settings: settings,
            head: InstallSnapshotHead(source.metadata, term: term, dataSize: UInt64(source.contentSize)),
            databaseCount: source.databaseCount)
    }

    /// The other node has said that it has everything that the snapshot has. To be called on the event loop.
    func answered() { self.act(self.machine.answered()) }

    /// Gives up. To be called on the event loop.
    func cancel(because reason: String) { self.act(self.machine.fail(SnapshotError(.cancelled, reason))) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.act(self.machine.begin()) }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.act(self.machine.begin())
        context.fireChannelActive()
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.end()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.end() }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        self.act(self.machine.fail(SnapshotError(.connection, "the connection failed: \(error)")))
    }

    /// Answers come on the other node's own stream.
    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    private func end() {
        self.act(self.machine.fail(SnapshotError(.connection, "the connection was closed")))
        self.context = nil
    }

    private func act(_ action: InstallSnapshotSenderMachine.Action) {
        guard let context = self.context else { return }
        switch action {
        case .none: break
        case .send(let bytes):
            self.limit("the receiver took nothing", context)
            let written = context.eventLoop.makePromise(of: Void.self)
            written.futureResult.assumeIsolated().whenSuccess {
                self.act(self.machine.written(now: context.eventLoop.now))
            }
            context.writeAndFlush(self.wrapOutboundOut(bytes), promise: written)
        case .read(let size): self.read(size, context)
        case .pause(let duration):
            self.timeout?.cancel()
            self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) {
                self.act(self.machine.pauseEnded())
            }
        case .awaitAnswer: self.limit("the receiver has not installed the snapshot", context)
        case .succeed: self.complete(.success(()), context)
        case .fail(let error): self.complete(.failure(error), context)
        }
    }

    private func limit(_ what: String, _ context: ChannelHandlerContext) {
        self.timeout?.cancel()
        self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(self.settings.timeout)) {
            self.act(self.machine.fail(SnapshotError(.connection, "\(what) for \(self.settings.timeout)")))
        }
    }

    private func read(_ size: Int, _ context: ChannelHandlerContext) {
        self.timeout?.cancel()
        self.timeout = nil
        let loop = context.eventLoop
        self.threads.next(of: self.source, maximumSize: size, on: loop) { piece in
            self.act(self.machine.read(piece, now: loop.now))
        }
    }

    private func complete(_ result: Result<Void, SnapshotError>, _ context: ChannelHandlerContext) {
        self.timeout?.cancel()
        self.timeout = nil
        context.close(promise: nil)
        self.completed(result)
    }
}
