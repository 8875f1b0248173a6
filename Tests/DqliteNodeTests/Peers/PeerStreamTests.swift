import DqliteFraming
import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import DqliteNode

/// Streams to and from other nodes, in both forms.
@Suite struct PeerStreamTests {
    private static let logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    // MARK: To another node

    /// The streams of a node whose connections are the test's.
    private final class Dialing {
        let loop = EmbeddedEventLoop()
        let transport: PeerTransport
        private let channels: NIOLoopBoundBox<[EmbeddedChannel]>

        init(forms: [UInt64: PeerForm] = [:]) {
            let channels = NIOLoopBoundBox<[EmbeddedChannel]>([], eventLoop: self.loop)
            self.channels = channels
            self.transport = PeerTransport(
                id: 1, address: "127.0.0.1:19010", forms: forms, group: self.loop,
                dial: { address, loop in
                    #expect(address == "127.0.0.1:19020")
                    let channel = EmbeddedChannel(loop: channels.eventLoop as! EmbeddedEventLoop)
                    channels.value.append(channel)
                    return loop.makeCompletedFuture { try SocketAddress(ipAddress: "127.0.0.1", port: 1) }
                        .flatMap { channel.connect(to: $0) }.map { channel }
                }, logger: PeerStreamTests.logger)
            let server = Configuration.Server(id: NodeID(2), address: "127.0.0.1:19020", role: .voter)
            self.transport.update(Configuration(servers: [server]))
        }

        /// Of the connections, in the order in which they were made.
        var connections: [EmbeddedChannel] { self.channels.value }

        func send(_ message: Message) {
            self.transport.send([Envelope(to: NodeID(2), message: message)])
            self.loop.run()
        }

        /// What the node has sent on a connection.
        func sent(_ number: Int) throws -> [UInt8] {
            self.loop.run()
            var bytes: [UInt8] = []
            while let part = try self.connections[number].readOutbound(as: ByteBuffer.self) {
                bytes += Array(part.readableBytesView)
            }
            return bytes
        }
    }

    private static func word(_ word: UInt64) -> [UInt8] {
        Array(ByteBuffer(integer: word, endianness: .little).readableBytesView)
    }

    private static let preVote = Message.requestVote(
        RequestVote(
            term: Term(2), candidate: NodeID(2), lastLogIndex: LogIndex(157), lastLogTerm: Term(1), preVote: true))

    private static func append(_ size: Int = 0, round: UInt64 = 4) -> Message {
        let entry = Entry(index: LogIndex(3), term: Term(1), data: [UInt8](repeating: 1, count: size))
        return .appendEntries(
            AppendEntries(
                term: Term(1), previousIndex: LogIndex(2), previousTerm: Term(1), leaderCommit: LogIndex(2),
                entries: size > 0 ? [entry] : [], round: round))
    }

    @Test("a stream in the C form is C's to the byte, and waits for nobody")
    func cForm() throws {
        let dialing = Dialing(forms: [2: .c])
        dialing.send(Self.preVote)
        #expect(dialing.connections.count == 1)
        let opening = try Self.word(1) + RecordedFrames.frame("9.43")
        #expect(try dialing.sent(0) == opening + RecordedFrames.frame("9.49"))
        // Without a round.
        dialing.send(Self.append())
        var heartbeat = try RecordedFrames.frame("9.44")
        heartbeat.replaceSubrange(0x38..<0x40, with: repeatElement(0, count: 8))
        #expect(try dialing.sent(0) == heartbeat)
        // In one piece, however long.
        dialing.send(Self.append(3 << 20))
        let long = try dialing.sent(0)
        #expect(long.count == 16 + 64 + 3 << 20 && Array(long[..<8]) == Self.word(1))
        // Nodes that know no questions about reads are asked none.
        dialing.transport.send(.request(context: 1), to: NodeID(2))
        #expect(try dialing.sent(0).isEmpty)
    }

    @Test("nothing that a C node would answer overtakes entries that it has not taken")
    func order() throws {
        let dialing = Dialing(forms: [2: .c])
        dialing.send(Self.preVote)
        _ = try dialing.sent(0)
        let channel = dialing.connections[0]
        channel.isWritable = false
        dialing.send(Self.append(8))
        dialing.send(Self.append())
        #expect(try dialing.sent(0).isEmpty)
        dialing.send(Self.preVote)
        #expect(try dialing.sent(0) == RecordedFrames.frame("9.49"))
        channel.isWritable = true
        channel.pipeline.fireChannelWritabilityChanged()
        #expect(try dialing.sent(0).count == 16 + 64 + 8)
    }

    @Test("whoever opens its streams in the C form is spoken to in it, as long as it does")
    func learned() throws {
        let dialing = Dialing()
        dialing.send(Self.preVote)
        #expect(try dialing.sent(0).starts(with: Self.word(Preface.raft)))
        #expect(dialing.transport.form(of: NodeID(2)) == .native)
        dialing.transport.learned(NodeID(2), address: "127.0.0.1:19020", form: .c)
        #expect(dialing.transport.form(of: NodeID(2)) == .c)
        // The greeting is not answered: it closes, and the stream opens anew.
        dialing.loop.run()
        dialing.connections[0].close(promise: nil)
        dialing.loop.advanceTime(by: .seconds(1))
        dialing.send(Self.preVote)
        #expect(dialing.connections.count == 2)
        #expect(try dialing.sent(1) == Self.word(1) + RecordedFrames.frame("9.43") + RecordedFrames.frame("9.49"))
        dialing.transport.learned(NodeID(2), address: "127.0.0.1:19020", form: .native)
        dialing.loop.run()
        #expect(!dialing.connections[1].isActive)
        dialing.send(Self.preVote)
        #expect(try dialing.sent(2).starts(with: Self.word(Preface.raft)))
        // Who is unknown, and cannot be reached, is not remembered.
        dialing.transport.learned(NodeID(9), address: "", form: .c)
        #expect(dialing.transport.form(of: NodeID(9)) == .native)
        dialing.transport.learned(NodeID(2), address: "127.0.0.1:19020", form: .c)
        dialing.transport.update(Configuration(servers: []))
        // It still gets the messages that say that it was removed.
        #expect(dialing.transport.form(of: NodeID(2)) == .c)
        dialing.transport.stop()
        dialing.loop.run()
    }

    // MARK: From another node

    private final class Receiver: PeerReceiver {
        let messages = Mutex<[Message]>([])
        let snapshots = Outcomes<SnapshotInstallation>()
        let directory: DataDirectory
        let maximumMessageSize = 1 << 20
        let takesCForm: Bool

        init(_ directory: DataDirectory, takesCForm: Bool = true) {
            self.directory = directory
            self.takesCForm = takesCForm
        }

        func connected(_ node: NodeID, address: String, form: PeerForm) {}

        func received(_ message: PeerMessage, from node: NodeID) {
            #expect(node == NodeID(2))
            if case .raft(let message) = message { self.messages.withLock { $0.append(message) } }
        }

        func contact(from node: NodeID) {}

        func snapshotReceiver(
            from node: NodeID, form: PeerForm, successor: @escaping () -> any ChannelHandler
        ) -> any ChannelHandler {
            #expect(node == NodeID(2) && form == .c)
            return InstallSnapshotReceiver(
                directory: self.directory, threads: DiskThreads(pool: nil), contact: {}, successor: successor,
                accept: { $1.succeed(()) }, completed: { [snapshots] in snapshots.add($0) })
        }
    }

    @Test("a node of C dqlite is listened to only where that was asked for", arguments: [false, true])
    func connect(takesCForm: Bool) throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let receiver = Receiver(try #require(follower.directory), takesCForm: takesCForm)
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(
            DqliteConnectionHandler(
                node: .forTests(storage: FakeStorage(), peers: receiver), isLegacy: false, logger: Self.logger))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var buffer = ByteBuffer()
        try buffer.writeDqliteRequest(ConnectRequest(serverID: 2, address: "127.0.0.1:19020"))
        buffer.writeBytes(try RecordedFrames.frame("9.44"))
        try channel.writeInbound(buffer)
        channel.embeddedEventLoop.run()
        #expect(channel.isActive == takesCForm)
        #expect(receiver.messages.withLock { $0.count } == (takesCForm ? 1 : 0))
    }

    @Test("messages come before and after a snapshot on one stream", arguments: [999, 65536, 1 << 20])
    func recordedStream(pieceSize: Int) throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let receiver = Receiver(try #require(follower.directory))
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(
            PeerHandler(
                node: .forTests(storage: FakeStorage()), receiver: receiver, form: .c, sender: NodeID(2),
                logger: Self.logger))
        try channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        var stream = ByteBuffer()
        for frame in ["9.44", "9.54", "9.49", "9.52"] { stream.writeBytes(try RecordedFrames.frame(frame)) }
        for piece in stream.pieces(of: pieceSize) { try channel.writeInbound(piece) }
        channel.embeddedEventLoop.run()
        let installation = try #require(try receiver.snapshots.all.first?.get())
        #expect(installation.metadata.index == LogIndex(128))
        #expect(
            receiver.messages.withLock { $0 } == [
                Self.append(round: 0), Self.preVote,
                .timeoutNow(TimeoutNow(term: Term(1), lastLogIndex: LogIndex(122), lastLogTerm: Term(1))),
            ])
        #expect(channel.isActive)
    }
}
