import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore

/// The stream of messages to one other node: opened when there is something to say, and again after it broke.
///
/// Lives on one event loop. What cannot be sent is lost, as on any network: Raft says it again.
///
/// @unchecked: everything that changes is touched on the loop only.
final class PeerLink: @unchecked Sendable {
    private enum State {
        case closed
        /// A connection is on its way; what comes meanwhile waits.
        case connecting
        case open(any Channel)
        /// The last attempt failed a moment ago.
        case pausing
    }

    /// Messages that wait while a connection is on its way.
    private static let maximumWaiting = 64
    /// A longer frame is cut into parts of this size.
    private static let partSize = 256 << 10
    private static let maximumSurplus = 1024
    private static let longestPause = TimeAmount.seconds(1)
    private static let firstPause = TimeAmount.milliseconds(25)

    let id: NodeID
    private let eventLoop: any EventLoop
    private let dial: DqliteNodeConfiguration.Dial
    private let greeting: PeerGreeting
    private let logger: Logger
    private var address: String
    private var form: PeerForm
    private var state = State.closed
    private var waiting: [ByteBuffer] = []
    /// Parts of long messages, and the messages with entries behind them.
    private var bulk = CircularBuffer<ByteBuffer>()
    private var pause = PeerLink.firstPause
    private var isStopped = false
    private var failures = 0
    /// Small messages that were written although the other node was behind.
    private var surplus = 0

    init(
        id: NodeID, address: String, form: PeerForm, greeting: PeerGreeting, eventLoop: any EventLoop,
        dial: @escaping DqliteNodeConfiguration.Dial, logger: Logger
    ) {
        self.id = id
        self.address = address
        self.form = form
        self.greeting = greeting
        self.eventLoop = eventLoop
        self.dial = dial
        self.logger = logger
    }

    // MARK: From any thread

    func send(_ messages: [DqliteRaft.Message]) { self.eventLoop.execute { self.write(messages) } }

    /// Sends a question about a read, or an answer, which C nodes do not know.
    func send(_ message: ReadIndexMessage) {
        self.eventLoop.execute {
            guard self.form == .native else { return }
            if let frame = RaftCodec.frame(message, allocator: ByteBufferAllocator()) { self.write([frame]) }
        }
    }

    func update(address: String) {
        self.eventLoop.execute {
            guard self.address != address else { return }
            self.address = address
            if case .open(let channel) = self.state { channel.close(promise: nil) }
        }
    }

    /// The other node speaks that form: from the next connection on it is spoken to in it.
    func update(form: PeerForm) {
        self.eventLoop.execute {
            guard self.form != form else { return }
            self.form = form
            self.waiting = []
            self.bulk = []
            if case .open(let channel) = self.state { channel.close(promise: nil) }
        }
    }

    func stop() {
        self.eventLoop.execute {
            self.isStopped = true
            self.waiting = []
            self.bulk = []
            if case .open(let channel) = self.state { channel.close(promise: nil) }
            self.state = .closed
        }
    }

    // MARK: On the loop

    private func write(_ messages: [DqliteRaft.Message]) {
        var frames: [ByteBuffer] = []
        let allocator = ByteBufferAllocator()
        for message in messages {
            guard case .appendEntries(var append) = message else {
                frames += RaftCodec.frames(of: message, form: self.form, allocator: allocator)
                continue
            }
            if append.entries.isEmpty, !self.bulk.isEmpty {
                // A C node answers by the end of its log, whatever is asked for: nothing may overtake entries there.
                guard self.form == .native else { continue }
                // It overtakes entries that are still on their way: all that it may say is that the leader is there.
                append.previousIndex = .zero
                append.previousTerm = .zero
                append.leaderCommit = .zero
            }
            guard let frame = RaftCodec.frame(.appendEntries(append), allocator: allocator) else {
                continue
            }
            let isLong = frame.readableBytes > 4 * Self.partSize
            if !append.entries.isEmpty, !self.bulk.isEmpty || self.isFull || isLong {
                guard case .open = self.state else { continue }
                self.bulk.append(
                    contentsOf: isLong && self.form == .native
                        ? RaftCodec.parts(of: frame, size: Self.partSize, allocator: allocator) : [frame])
            } else {
                if let mark = RaftCodec.roundMark(of: .appendEntries(append), form: self.form, allocator: allocator) {
                    frames.append(mark)
                }
                frames.append(frame)
            }
        }
        self.write(frames)
        self.writeBulk()
    }

    private func write(_ frames: [ByteBuffer]) {
        guard !frames.isEmpty, !self.isStopped else { return }
        switch self.state {
        case .open(let channel):
            // A node that takes nothing gets no more than a few of the small messages.
            self.surplus = channel.isWritable ? 0 : self.surplus + frames.count
            guard self.surplus < Self.maximumSurplus else { return }
            for frame in frames { channel.write(frame, promise: nil) }
            channel.flush()
        case .connecting:
            self.waiting += frames
            self.waiting.removeFirst(max(0, self.waiting.count - Self.maximumWaiting))
        case .closed:
            self.waiting = frames
            self.connect()
        case .pausing: break
        }
    }

    private var isFull: Bool { if case .open(let channel) = self.state { !channel.isWritable } else { false } }

    /// Writes parts as the other node takes them.
    func writeBulk() {
        guard case .open(let channel) = self.state, !self.bulk.isEmpty else { return }
        while channel.isWritable, let next = self.bulk.popFirst() { channel.write(next, promise: nil) }
        channel.flush()
    }

    private func connect() {
        self.state = .connecting
        let form = self.form
        self.dial(self.address, self.eventLoop).flatMap { channel in
            self.greeting.greet(channel, expecting: self.id.rawValue, form: form)
        }.whenComplete { result in
            switch result {
            case .success(let channel): self.opened(channel, form)
            case .failure(let error): self.failed(error)
            }
        }
    }

    private func opened(_ channel: any Channel, _ form: PeerForm) {
        guard !self.isStopped else { return channel.close(promise: nil) }
        guard form == self.form else {
            channel.close(promise: nil)
            return self.connect()
        }
        do {
            try channel.pipeline.syncOperations.addHandler(PeerLinkHandler(link: self))
        } catch {
            channel.close(promise: nil)
            return self.failed(error)
        }
        self.state = .open(channel)
        self.pause = Self.firstPause
        self.failures = 0
        channel.closeFuture.hop(to: self.eventLoop).whenComplete { _ in self.closed(channel) }
        self.logger.debug("Connected to another node", metadata: ["dqlite.peer": "\(self.id)"])
        let waiting = self.waiting
        self.waiting = []
        self.write(waiting)
    }

    private func closed(_ channel: any Channel) {
        guard case .open(let current) = self.state, current === channel else { return }
        self.bulk = []
        self.state = .closed
    }

    private func failed(_ error: any Error) {
        self.waiting = []
        self.failures += 1
        if self.failures == 1 || self.failures % 64 == 0 {
            self.logger.info(
                "Another node cannot be reached",
                metadata: ["dqlite.peer": "\(self.id)", "peer.address": "\(self.address)", "error": "\(error)"])
        }
        guard !self.isStopped else { return }
        self.state = .pausing
        self.eventLoop.scheduleTask(in: self.pause) {
            if case .pausing = self.state { self.state = .closed }
        }
        self.pause = min(self.pause * 2, Self.longestPause)
    }
}

/// Says when more can be written to the other node, which has nothing to say here.
final class PeerLinkHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private weak var link: PeerLink?

    init(link: PeerLink) { self.link = link }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        self.link?.writeBulk()
        context.fireChannelWritabilityChanged()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
