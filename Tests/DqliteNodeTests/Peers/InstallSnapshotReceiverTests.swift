import DqliteProtocol
import DqliteRaft
import DqliteWire
import Foundation
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// The receiver of a snapshot in one message, whose sender is the test.
@Suite struct InstallSnapshotReceiverTests {
    private final class Receiving {
        let channel = EmbeddedChannel()
        let outcomes = Outcomes<SnapshotInstallation>()
        let contacts = Outcomes<Void>()
        let follower: SnapshotFollower
        let reads = ReadCounter()
        let rest = Rest()

        init(
            maximumDatabases: Int = 16,
            accept: @escaping @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void = { $1.succeed(()) }
        ) throws {
            self.follower = try SnapshotFollower()
            #expect(try self.follower.open() == nil)
            var settings = SnapshotSettings()
            settings.maximumDatabases = maximumDatabases
            let receiver = InstallSnapshotReceiver(
                directory: self.follower.directory!, settings: settings, threads: DiskThreads(pool: nil),
                contact: { [contacts] in contacts.add(.success(())) }, successor: { [rest] in rest }, accept: accept,
                completed: { [outcomes] in outcomes.add($0) })
            try self.channel.pipeline.syncOperations.addHandlers([self.reads, receiver])
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func send(_ bytes: ByteBuffer, pieceSize: Int = 65536) throws {
            for piece in bytes.pieces(of: pieceSize) { try self.channel.writeInbound(piece) }
            self.channel.embeddedEventLoop.run()
        }

        /// Nothing is left of what was received.
        var isClean: Bool {
            !FileManager.default.fileExists(atPath: self.follower.directory!.incoming)
                && !FileManager.default.fileExists(atPath: self.follower.directory!.installing)
        }
    }

    /// Counts what is asked of the connection.
    private final class ReadCounter: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var count = 0

        func read(context: ChannelHandlerContext) {
            self.count += 1
            context.read()
        }
    }

    /// Keeps what comes after a snapshot.
    private final class Rest: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer
        var received = ByteBuffer()

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            self.received.writeImmutableBuffer(self.unwrapInboundIn(data))
        }
    }

    private static func message(
        index: UInt64 = 9, term: UInt64 = 3, configuration: [UInt8] = SnapshotContent.configuration.encoded(),
        _ files: [(String, [UInt8])] = [("a.db", [1, 2, 3])]
    ) throws -> ByteBuffer {
        var data = try SnapshotHeader(databaseCount: UInt64(files.count)).dqliteBytes()
        for (name, bytes) in files {
            data += try SnapshotDatabase(name: name, mainSize: UInt64(bytes.count)).dqliteBytes() + bytes
        }
        return ByteBuffer(
            bytes: try DqliteProtocol.InstallSnapshot(
                term: term, lastIndex: index, lastTerm: 2, configurationIndex: 1, configuration: configuration,
                data: data
            ).dqliteBytes())
    }

    @Test("what a C node has sent is installed, and is its database", arguments: [1000, 65536, 1 << 20])
    func recorded(pieceSize: Int) throws {
        let receiving = try Receiving()
        var bytes = ByteBuffer(bytes: try RecordedFrames.frame("9.54"))
        bytes.writeBytes(try RecordedFrames.frame("9.52"))
        try receiving.send(bytes, pieceSize: pieceSize)
        let installation = try #require(try receiving.outcomes.all.first?.get())
        #expect(receiving.outcomes.all.count == 1)
        #expect(receiving.contacts.all.count >= 1)
        #expect(installation.metadata.index == LogIndex(128))
        #expect(installation.newestIntent == LogIndex(128))
        // What follows on the stream is the next handler's.
        #expect(receiving.channel.isActive)
        #expect(Array(receiving.rest.received.readableBytesView) == (try RecordedFrames.frame("9.52")))
        #expect(try receiving.follower.install(installation) == .installed)
        try receiving.follower.openEngine()
        // It is whole as it is: there is nothing to wait for.
        try receiving.follower.engine?.recovered()
        let session = try receiving.follower.session("test.db")
        #expect(try session.query("PRAGMA integrity_check") == [[.text("ok")]])
        let tables = try session.query("SELECT name FROM sqlite_schema WHERE type = 'table'")
        #expect(!tables.isEmpty)
        for table in tables {
            guard case .text(let name) = table[0] else { continue }
            let rows = try session.query("SELECT count(*) FROM \"\(name)\"")
            #expect(rows != [[.integer(0)]])
        }
    }

    @Test("files and metadata are those that were sent")
    func whole() throws {
        let offers = Mutex<[SnapshotOffer]>([])
        let receiving = try Receiving(accept: { offer, decision in
            offers.withLock { $0.append(offer) }
            decision.succeed(())
        })
        try receiving.send(try Self.message([("a.db", [1, 2, 3]), ("b.db", [])]))
        let metadata = SnapshotContent.metadata(at: LogIndex(9), term: Term(2))
        #expect(offers.withLock { $0.map(\.metadata) } == [metadata])
        #expect(offers.withLock { $0.map(\.term) } == [Term(3)])
        let installation = try #require(try receiving.outcomes.all.first?.get())
        #expect(installation.metadata == metadata)
        #expect(installation.databases.map(\.name) == ["a.db", "b.db"])
        #expect(installation.databases.map(\.intent) == [LogIndex(9), LogIndex(9)])
        let path = receiving.follower.directory!.installing + "/databases/a.db"
        #expect(FileManager.default.contents(atPath: path) == Data([1, 2, 3]))
    }

    @Test("nothing is asked of the connection while something is under way")
    func backPressure() throws {
        let decision = Mutex<EventLoopPromise<Void>?>(nil)
        let receiving = try Receiving(accept: { _, promise in decision.withLock { $0 = promise } })
        let bytes = try Self.message()
        let half = bytes.readableBytes - 2
        try receiving.send(bytes.getSlice(at: 0, length: half)!)
        let count = receiving.reads.count
        receiving.channel.read()
        receiving.channel.read()
        #expect(receiving.reads.count == count)
        decision.withLock { $0 }?.succeed(())
        receiving.channel.embeddedEventLoop.run()
        #expect(receiving.reads.count == count + 1)
        try receiving.send(bytes.getSlice(at: half, length: 2)!)
        #expect(receiving.outcomes.all.count == 1)
        #expect(receiving.outcomes.failures == [])
    }

    @Test("an offer that cannot be, or is not wanted, ends the connection")
    func offers() throws {
        let impossible = [
            try Self.message(index: 0), try Self.message(index: .max), try Self.message(term: 1),
            try Self.message(configuration: []), try Self.message(configuration: [UInt8](repeating: 0xff, count: 64)),
        ]
        for message in impossible {
            let receiving = try Receiving()
            try receiving.send(message)
            #expect(receiving.outcomes.failures == [.malformed])
            #expect(!receiving.channel.isActive)
            #expect(receiving.isClean)
        }
        let unwanted = try Receiving(accept: { $1.fail(SnapshotError(.refused, "the log has that")) })
        try unwanted.send(try Self.message())
        #expect(unwanted.outcomes.failures == [.refused])
        #expect(!unwanted.channel.isActive)
        #expect(unwanted.isClean)
    }

    @Test("content that cannot be ends the connection, and nothing is left")
    func contents() throws {
        let bad: [([(String, [UInt8])], SnapshotError.Code)] = [
            ([("../a", [1])], .malformed), ([("a", [1]), ("a", [1])], .malformed), ([("", [1])], .malformed),
            ([("a", [1]), ("b", [1]), ("c", [1])], .limit),
        ]
        for (files, code) in bad {
            let receiving = try Receiving(maximumDatabases: 2)
            try receiving.send(try Self.message(files))
            #expect(receiving.outcomes.failures == [code])
            #expect(!receiving.channel.isActive)
            #expect(receiving.isClean)
        }
    }

    @Test("cut off, silent, or a node that shuts down: one reason each, and nothing is left")
    func ends() throws {
        func started() throws -> Receiving {
            let receiving = try Receiving()
            let bytes = try Self.message()
            try receiving.send(bytes.getSlice(at: 0, length: bytes.readableBytes - 1)!)
            #expect(receiving.outcomes.all.isEmpty)
            return receiving
        }
        let cut = try started()
        try cut.channel.close().wait()
        #expect(cut.outcomes.failures == [.connection])
        #expect(cut.isClean)
        let silent = try started()
        silent.channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(silent.outcomes.failures == [.connection])
        #expect(silent.isClean)
        let stopped = try started()
        stopped.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.drain)
        #expect(stopped.outcomes.failures == [.cancelled])
        #expect(stopped.isClean)
    }
}
