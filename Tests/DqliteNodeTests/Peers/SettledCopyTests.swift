import DqliteFraming
import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Foundation
import NIOCore
import NIOEmbedded
import NIOPosix
import Testing

@testable import DqliteEngine
@testable import DqliteNode

/// A copy whose files are as they were at one entry, and its way to another node in one message.
@Suite struct SettledCopyTests {
    private static let names = ["one.db", "three.db", "two.db"]

    private typealias Made = (leader: SimulatedNode, source: SettledSource, directory: String)

    /// A copy of a node, and a directory that it lies in.
    ///
    /// - Parameter goesOn: Asked before each read, with the number of those before.
    private static func make(
        _ leader: SimulatedNode, chunkSize: Int, room: Int = 0, goesOn: (Int) throws -> Bool
    ) throws -> Made {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-\(UUID())").path
        let log = leader.log!
        var settings = SnapshotSettings()
        settings.chunkSize = chunkSize
        settings.pause = { _ in .zero }
        var calls = 0
        var failure: (any Error)?
        let source = try SettledSource(
            try leader.engine!.beginCopy { _ in }, log: log, in: directory, settings: settings, room: room,
            isWanted: {
                defer { calls += 1 }
                do {
                    return try goesOn(calls)
                } catch {
                    failure = error
                    return true
                }
            }, metadata: { SnapshotContent.metadata(at: $0, term: log.term(of: $0)!) })
        if let failure { throw failure }
        return (leader, source, directory)
    }

    /// A copy that is made while transactions and checkpoints go on.
    private static func make(chunkSize: Int = 10_000) throws -> Made {
        let (leader, client) = try CopyTests.leader(rows: 20)
        let other = try leader.session("two.db")
        try other.exec("CREATE TABLE u (a)")
        let statements = [
            "UPDATE t SET round = round + 1, b = randomblob(3000)",
            "INSERT INTO t (round, b) SELECT 0, randomblob(2000) FROM t LIMIT 5",
            "DELETE FROM t WHERE a % 3 = 0", "VACUUM",
        ]
        return try Self.make(leader, chunkSize: chunkSize) { round in
            try client.exec(statements[round % statements.count])
            try CopyTests.checkpoint(leader)
            try other.exec("INSERT INTO u VALUES (\(round))")
            if round == 0 { try leader.session("three.db").exec("CREATE TABLE v (a); INSERT INTO v VALUES (1)") }
            return true
        }
    }

    /// The files that a source has.
    private static func files(of source: SettledSource) throws -> [String: [UInt8]] {
        var files: [String: [UInt8]] = [:]
        var name = ""
        while true {
            switch try source.next(maximumSize: 10_000) {
            case .file(let next, let size):
                name = next
                files[next] = []
                #expect(size % 4096 == 0 && size > 0)
            case .bytes(let bytes): files[name]! += Array(bytes.readableBytesView)
            case .fileEnd(let intent): #expect(intent == source.metadata.index)
            case .end(let newest):
                #expect(newest == source.metadata.index)
                return files
            }
        }
    }

    /// What the log makes of databases up to an entry.
    private static func replayed(_ log: Log, through index: LogIndex) throws -> SnapshotFollower {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        try follower.openEngine()
        try follower.append(from: log, through: index)
        try follower.apply(through: index)
        try follower.engine?.recovered()
        return follower
    }

    @Test(
        "databases as they were at one entry, though they are written, grow and shrink meanwhile",
        arguments: [10_000, 1 << 20])
    func settled(chunkSize: Int) throws {
        let (leader, source, _) = try Self.make(chunkSize: chunkSize)
        let index = source.metadata.index
        let files = try Self.files(of: source)
        #expect(files.values.reduce(0) { $0 + $1.count } == source.size)
        #expect(files.keys.sorted() == Self.names && source.databaseCount == 3)
        let replayed = try Self.replayed(leader.log!, through: index)
        for (name, bytes) in files { #expect(try replayed.dump(name) == bytes, "\(name)") }
    }

    @Test("a file that shrinks after it was read is cut")
    func shrunk() throws {
        let (leader, client) = try CopyTests.leader(rows: 20)
        let (_, source, _) = try Self.make(leader, chunkSize: 1 << 20) { round in
            guard round == 1 else { return true }
            try client.exec("DELETE FROM t WHERE a > 2")
            try client.exec("VACUUM")
            try CopyTests.checkpoint(leader)
            return true
        }
        let replayed = try Self.replayed(leader.log!, through: source.metadata.index)
        #expect(try Self.files(of: source)["one.db"] == replayed.dump("one.db"))
    }

    @Test("what is made lies on the disk as long as it is needed")
    func directory() throws {
        let directory = try {
            let made = try Self.make()
            #expect(FileManager.default.fileExists(atPath: made.directory))
            return made.directory
        }()
        #expect(!FileManager.default.fileExists(atPath: directory))
    }

    @Test("a copy that is not wanted any more, or would fill the disk, is given up")
    func unwanted() throws {
        let (leader, _) = try CopyTests.leader(rows: 20)
        var calls = 0
        #expect(throws: EngineError.self) {
            try Self.make(leader, chunkSize: 10_000) { round in
                calls += 1
                return round < 2
            }
        }
        #expect(calls == 3)
        let error = #expect(throws: SnapshotError.self) {
            try Self.make(leader, chunkSize: 10_000, room: 1 << 60) { _ in true }
        }
        #expect(error?.code == .disk)
    }

    // MARK: Sending

    private final class Sending {
        let channel = EmbeddedChannel()
        let outcomes = Outcomes<Void>()
        let sender: InstallSnapshotSender

        init(_ source: SettledSource, chunkSize: Int = 10_000) throws {
            var settings = SnapshotSettings()
            settings.chunkSize = chunkSize
            settings.pause = { _ in .zero }
            self.sender = InstallSnapshotSender(
                source: source, term: Term(3), settings: settings, threads: DiskThreads(pool: nil)
            ) { [outcomes] in outcomes.add($0) }
            try self.channel.pipeline.syncOperations.addHandler(self.sender)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func received() throws -> [UInt8] {
            self.channel.embeddedEventLoop.run()
            var all: [UInt8] = []
            while let part = try self.channel.readOutbound(as: ByteBuffer.self) { all += Array(part.readableBytesView) }
            return all
        }
    }

    @Test("what is sent is the message of the schema, to the byte")
    func bytes() throws {
        let (_, source, _) = try Self.make()
        let sending = try Sending(source)
        let bytes = try sending.received()
        let message = try ByteBuffer(bytes: bytes).dqliteMessage(DqliteProtocol.InstallSnapshot.self)
        #expect(message.term == 3 && message.lastIndex == source.metadata.index.rawValue)
        #expect(message.configuration == SnapshotContent.configuration.encoded())
        #expect(message.data.count == source.contentSize)
        #expect(try message.dqliteBytes() == bytes)
        // Nobody has said yet that it is there.
        #expect(sending.outcomes.all.isEmpty)
        sending.sender.answered()
        #expect(sending.outcomes.all.count == 1 && sending.outcomes.failures == [])
        #expect(!sending.channel.isActive)
    }

    @Test("cut off, without an answer, given up: one reason each")
    func ends() throws {
        let cut = try Sending(try Self.make().1)
        try cut.channel.close().wait()
        #expect(cut.outcomes.failures == [.connection])
        let silent = try Sending(try Self.make().1)
        silent.channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(silent.outcomes.failures == [.connection])
        let cancelled = try Sending(try Self.make().1)
        cancelled.sender.cancel(because: "not the leader any more")
        #expect(cancelled.outcomes.failures == [.cancelled])
        #expect(!cancelled.channel.isActive)
    }

    @Test("one piece is on its way at a time, and a file that is not as long as was said ends it")
    func machine() {
        let head = InstallSnapshotHead(
            SnapshotContent.metadata(at: LogIndex(9), term: Term(2)), term: Term(3), dataSize: 100)
        var settings = SnapshotSettings()
        settings.pause = { $0 }
        func begun() -> InstallSnapshotSenderMachine {
            var machine = InstallSnapshotSenderMachine(settings: settings, head: head, databaseCount: 1)
            guard case .send = machine.begin() else { preconditionFailure("the head is sent first") }
            #expect(machine.begin() == .none)
            #expect(machine.written(now: .now()) == .read(maximumSize: settings.chunkSize))
            guard case .send = machine.read(.success(.file(name: "a", size: 4)), now: .now()) else {
                preconditionFailure("a file begins with what it is")
            }
            #expect(machine.written(now: .now()) == .read(maximumSize: settings.chunkSize))
            return machine
        }
        let bytes = ByteBuffer(repeating: 1, count: 4)
        var machine = begun()
        let start = NIODeadline.now()
        #expect(machine.read(.success(.bytes(bytes)), now: start) == .send(bytes))
        #expect(machine.read(.success(.bytes(bytes)), now: start) == .none)
        #expect(machine.written(now: start + .milliseconds(5)) == .pause(.milliseconds(5)))
        #expect(machine.pauseEnded() == .read(maximumSize: settings.chunkSize))
        #expect(
            machine.read(.success(.fileEnd(intent: LogIndex(9))), now: start) == .read(maximumSize: settings.chunkSize))
        #expect(machine.read(.success(.end(newestIntent: LogIndex(9))), now: start) == .awaitAnswer)
        #expect(machine.answered() == .succeed)
        #expect(machine.answered() == .none)
        var short = begun()
        guard case .fail(let error) = short.read(.success(.fileEnd(intent: LogIndex(9))), now: start) else {
            preconditionFailure("it has no byte")
        }
        #expect(error.code == .disk)
        var long = begun()
        guard case .fail = long.read(.success(.bytes(ByteBuffer(repeating: 1, count: 5))), now: start) else {
            preconditionFailure("it has a byte too many")
        }
        #expect(long.isOver)
        // Whoever has it from elsewhere needs the rest no more.
        var early = begun()
        #expect(early.answered() == .succeed)
        #expect(early.read(.success(.bytes(bytes)), now: start) == .none)
    }

    // MARK: All the way

    @Test("a node that is written to is sent in one message, installed, and read at once")
    func loopback() async throws {
        let (leader, source, _) = try Self.make()
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let metadata = source.metadata
        let installation = try await Self.transfer(source, to: try #require(follower.directory))
        #expect(installation.metadata == metadata && installation.newestIntent == metadata.index)
        #expect(try follower.install(installation) == .installed)
        try follower.openEngine()
        try follower.engine?.recovered()
        let replayed = try Self.replayed(leader.log!, through: metadata.index)
        for database in installation.databases {
            #expect(try follower.dump(database.name) == replayed.dump(database.name))
        }
        // And what follows in the log fits to it.
        try follower.append(from: leader.log!)
        try follower.apply()
        for name in Self.names { #expect(try follower.dump(name) == leader.engine?.dumped(name)) }
    }

    private static func transfer(_ source: SettledSource, to directory: DataDirectory) async throws
        -> SnapshotInstallation
    {
        let group = MultiThreadedEventLoopGroup.singleton
        let received = group.next().makePromise(of: SnapshotInstallation.self)
        let listener = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let receiver = InstallSnapshotReceiver(
                        directory: directory, contact: {}, successor: { EndHandler() }, accept: { $1.succeed(()) },
                        completed: { received.completeWith($0.mapError { $0 as any Error }) })
                    try channel.pipeline.syncOperations.addHandler(receiver)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        let term = source.metadata.term
        let channel = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        InstallSnapshotSender(source: source, term: term, completed: { _ in }))
                }
            }
            .connect(to: listener.localAddress!).get()
        do {
            let installation = try await received.futureResult.get()
            try? await channel.close()
            try await listener.close()
            return installation
        } catch {
            try? await channel.close()
            try await listener.close()
            throw error
        }
    }
}

private final class EndHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}
}
