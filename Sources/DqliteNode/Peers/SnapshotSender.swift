import DqliteFraming
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore

/// Sends a snapshot on a connection that is its own, and closes it.
final class SnapshotSender: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let source: any SnapshotSource
    private let begin: SnapshotBegin
    private let settings: SnapshotSettings
    private let threads: DiskThreads
    private let completed: @Sendable (Result<Void, SnapshotError>) -> Void
    private var machine: SnapshotSenderMachine
    private var processor: NIOSingleStepByteToMessageProcessor<SnapshotFrameDecoder>
    private var context: ChannelHandlerContext?
    private var isBegun = false
    private var timeout: Scheduled<Void>?

    /// - Parameters:
    ///   - source: What is sent.
    ///   - term: In which this node leads.
    ///   - metadata: Of the entry that the source begins with.
    ///   - completed: Told once, on the event loop, that the snapshot is durable at the receiver, or why it is not.
    init(
        source: any SnapshotSource, term: Term, metadata: SnapshotMetadata, settings: SnapshotSettings = .init(),
        threads: DiskThreads = .shared, completed: @escaping @Sendable (Result<Void, SnapshotError>) -> Void
    ) {
        self.source = source
        self.begin = SnapshotBegin(
            term: term.rawValue, lastIndex: metadata.index.rawValue, lastTerm: metadata.term.rawValue,
            size: UInt64(source.size), configurationIndex: metadata.configurationIndex.rawValue,
            configuration: metadata.configuration.encoded())
        self.settings = settings
        self.threads = threads
        self.completed = completed
        self.machine = SnapshotSenderMachine(settings: settings, lastIndex: metadata.index)
        // Answers have no chunks.
        self.processor = NIOSingleStepByteToMessageProcessor(SnapshotFrameDecoder(maximumChunkSize: 0))
    }

    /// Gives up. To be called on the event loop.
    func cancel(because reason: String) { self.act(self.machine.fail(SnapshotError(.cancelled, reason))) }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { self.start() }
    }

    func channelActive(context: ChannelHandlerContext) {
        self.start()
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

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        do {
            try self.processor.process(buffer: self.unwrapInboundIn(data)) { message in
                self.act(self.machine.received(message, now: context.eventLoop.now))
            }
        } catch {
            let error = error as? SnapshotError ?? SnapshotError(.malformed, "\(error)")
            self.act(self.machine.fail(error))
        }
    }

    private func start() {
        guard !self.isBegun else { return }
        self.isBegun = true
        self.act(.send(.begin(self.begin)))
    }

    private func end() {
        self.act(self.machine.fail(SnapshotError(.connection, "the connection was closed")))
        self.context = nil
    }

    private func act(_ action: SnapshotSenderMachine.Action) {
        guard let context = self.context else { return }
        switch action {
        case .none: break
        case .send(let message): self.send(message, context)
        case .read(let size): self.read(size, context)
        case .pause(let duration):
            self.timeout?.cancel()
            self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(duration)) {
                self.act(self.machine.pauseEnded())
            }
        case .succeed: self.complete(.success(()), context)
        case .fail(let error):
            if error.code != .peer, error.code != .connection {
                self.write(.failed(SnapshotFailed(error)), context)
            }
            self.complete(.failure(error), context)
        }
    }

    private func send(_ message: SnapshotMessage, _ context: ChannelHandlerContext) {
        self.write(message, context)
        self.timeout?.cancel()
        self.timeout = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(self.settings.timeout)) {
            let text = "the receiver did not answer for \(self.settings.timeout)"
            self.act(self.machine.fail(SnapshotError(.connection, text)))
        }
    }

    private func write(_ message: SnapshotMessage, _ context: ChannelHandlerContext) {
        var buffer = context.channel.allocator.buffer(capacity: 256)
        do throws(WireEncodingError) {
            try buffer.writeSnapshotMessage(message)
        } catch {
            return self.act(self.machine.fail(SnapshotError(.engine, "the snapshot cannot be sent: \(error)")))
        }
        context.writeAndFlush(self.wrapOutboundOut(buffer), promise: nil)
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
        context.closeAfterWrites()
        self.completed(result)
    }
}

extension SnapshotFailed {
    /// What the other node is told.
    init(_ error: SnapshotError) { self.init(message: String(error.message.prefix(1000)).filter { $0 != "\0" }) }
}
