import DqliteProtocol
import DqliteRaft
import Foundation
import NIOCore
import NIOEmbedded
import Synchronization
import Testing

@testable import DqliteNode

/// The receiver, whose sender is the test.
@Suite struct SnapshotReceiverTests {
    private final class Receiving {
        let channel = EmbeddedChannel()
        let outcomes = Outcomes<SnapshotInstallation>()
        let directory: DataDirectory
        let receiver: SnapshotReceiver
        private let follower: SnapshotFollower
        private var frames = SnapshotFrames()

        init(
            step: @escaping InstallationStepHook = { _ in },
            accept: @escaping @Sendable (SnapshotOffer, EventLoopPromise<Void>) -> Void = { $1.succeed(()) }
        ) throws {
            self.follower = try SnapshotFollower()
            #expect(try self.follower.open() == nil)
            self.directory = self.follower.directory!
            self.receiver = SnapshotReceiver(
                directory: self.directory, threads: DiskThreads(pool: nil), step: step, accept: accept
            ) { [outcomes] in outcomes.add($0) }
            try self.channel.pipeline.syncOperations.addHandler(self.receiver)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func next() throws -> SnapshotMessage? {
            while let bytes = try self.channel.readOutbound(as: ByteBuffer.self) { self.frames.add(bytes) }
            return try self.frames.next()
        }

        func send(_ message: SnapshotMessage) throws {
            var buffer = ByteBuffer()
            try buffer.writeSnapshotMessage(message)
            try self.channel.writeInbound(buffer)
        }

        /// Nothing is left of what was received.
        var isClean: Bool {
            !FileManager.default.fileExists(atPath: self.directory.incoming)
                && !FileManager.default.fileExists(atPath: self.directory.installing)
        }
    }

    private static func begin(_ change: (inout SnapshotBegin) -> Void = { _ in }) -> SnapshotMessage {
        var begin = SnapshotBegin(
            term: 3, lastIndex: 9, lastTerm: 2, size: 6, configurationIndex: 1,
            configuration: SnapshotContent.configuration.encoded())
        change(&begin)
        return .begin(begin)
    }

    private static let accepted = SnapshotMessage.accepted(SnapshotAccepted(chunkSize: 1 << 20))
    private static func progress(_ size: UInt64) -> SnapshotMessage { .progress(SnapshotProgress(size: size)) }

    @Test("received, durable, and said to be so")
    func whole() throws {
        let offers = Mutex<[SnapshotOffer]>([])
        let receiving = try Receiving(accept: { offer, decision in
            offers.withLock { $0.append(offer) }
            decision.succeed(())
        })
        try receiving.send(Self.begin())
        #expect(try receiving.next() == Self.accepted)
        let metadata = SnapshotContent.metadata(at: LogIndex(9), term: Term(2))
        #expect(offers.withLock { $0.map(\.metadata) } == [metadata])
        let exchanges: [(SnapshotMessage, UInt64)] = [
            (.file(SnapshotFile(size: 10, name: "a.db")), 0), (.chunk(offset: 0, ByteBuffer(bytes: [1, 2, 3, 4])), 4),
            (.chunk(offset: 4, ByteBuffer(bytes: [5, 6])), 6), (.fileEnd(SnapshotFileEnd(intent: 12)), 6),
        ]
        for (message, size) in exchanges {
            try receiving.send(message)
            #expect(try receiving.next() == Self.progress(size))
        }
        #expect(receiving.outcomes.all.isEmpty)
        try receiving.send(.end(SnapshotEnd(newestIntent: 12)))
        #expect(try receiving.next() == .received(SnapshotReceived(lastIndex: 9)))
        #expect(!receiving.channel.isActive)
        let installation = try #require(try receiving.outcomes.all.first?.get())
        #expect(installation.metadata == metadata)
        #expect(installation.databases == [SnapshotInstallation.Database(name: "a.db", intent: LogIndex(12))])
        let path = receiving.directory.installing + "/databases/a.db"
        #expect(FileManager.default.contents(atPath: path) == Data([1, 2, 3, 4, 5, 6]))
    }

    @Test("an offer that cannot be, or is not wanted")
    func offers() throws {
        let impossible: [SnapshotMessage] = [
            Self.begin { $0.lastIndex = 0 }, Self.begin { $0.lastIndex = .max }, Self.begin { $0.lastTerm = 4 },
            Self.begin { $0.configurationIndex = 10 }, Self.begin { $0.configuration = [] },
            Self.begin { $0.configuration = [UInt8](repeating: 0xff, count: 64) },
        ]
        for message in impossible {
            let receiving = try Receiving()
            try receiving.send(message)
            guard case .failed = try receiving.next() else { throw SnapshotError(.malformed, "it was taken") }
            #expect(receiving.outcomes.failures == [.malformed])
            #expect(!receiving.channel.isActive)
        }
        let unwanted = try Receiving(accept: { $1.fail(SnapshotError(.refused, "the log has that")) })
        try unwanted.send(Self.begin())
        #expect(try unwanted.next() == .failed(SnapshotFailed(message: "the log has that")))
        #expect(unwanted.outcomes.failures == [.refused])
        #expect(unwanted.isClean)
    }

    @Test("what does not belong where it comes ends the connection, and nothing is left")
    func wrongMessages() throws {
        let chunk = SnapshotMessage.chunk(offset: 0, ByteBuffer(bytes: [1]))
        let first: [SnapshotMessage] = [
            chunk, .file(SnapshotFile(size: 1, name: "a")), .end(SnapshotEnd()), Self.accepted,
        ]
        for message in first {
            let receiving = try Receiving()
            try receiving.send(message)
            #expect(receiving.outcomes.failures == [.malformed])
            #expect(receiving.isClean)
        }
        let later: [(SnapshotMessage, SnapshotError.Code)] = [
            (Self.begin(), .malformed), (chunk, .malformed), (.fileEnd(SnapshotFileEnd(intent: 1)), .malformed),
            (.file(SnapshotFile(size: 1, name: "../a")), .malformed), (.end(SnapshotEnd(newestIntent: 8)), .malformed),
            (.end(SnapshotEnd(newestIntent: .max)), .malformed), (.failed(SnapshotFailed(message: "no")), .peer),
            (Self.progress(0), .malformed),
        ]
        for (message, code) in later {
            let receiving = try Receiving()
            try receiving.send(Self.begin())
            try receiving.send(message)
            #expect(receiving.outcomes.failures == [code])
            #expect(receiving.isClean)
            #expect(!receiving.channel.isActive)
        }
        let intent = try Receiving()
        try intent.send(Self.begin())
        try intent.send(.file(SnapshotFile(size: 1, name: "a")))
        try intent.send(.fileEnd(SnapshotFileEnd(intent: .max)))
        #expect(intent.outcomes.failures == [.malformed])
        let noise = try Receiving()
        try noise.channel.writeInbound(ByteBuffer(repeating: 0xff, count: 100))
        #expect(noise.outcomes.failures == [.malformed])
    }

    @Test("a sender that does not wait for answers is cut off: memory is for one message")
    func impatience() throws {
        let decision = Mutex<EventLoopPromise<Void>?>(nil)
        let receiving = try Receiving(accept: { _, promise in decision.withLock { $0 = promise } })
        try receiving.send(Self.begin())
        try receiving.send(.file(SnapshotFile(size: 1, name: "a")))
        #expect(receiving.outcomes.failures == [.malformed])
        decision.withLock { $0 }?.succeed(())
        #expect(receiving.isClean)
        #expect(receiving.outcomes.all.count == 1)
    }

    @Test("cut off, silent, given up, or a disk that fails: one reason each, and nothing is left")
    func ends() throws {
        func started(step: @escaping InstallationStepHook = { _ in }) throws -> Receiving {
            let receiving = try Receiving(step: step)
            try receiving.send(Self.begin())
            try receiving.send(.file(SnapshotFile(size: 8, name: "a")))
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
        let cancelled = try started()
        cancelled.receiver.cancel(because: "the node is shutting down")
        #expect(cancelled.outcomes.failures == [.cancelled])
        #expect(cancelled.isClean)
        let full = try started { step throws(SnapshotError) in
            if case .writeFile = step { throw SnapshotError(.disk, "no space left") }
        }
        _ = try full.next()
        _ = try full.next()
        try full.send(.chunk(offset: 0, ByteBuffer(bytes: [1])))
        #expect(try full.next() == .failed(SnapshotFailed(message: "no space left")))
        #expect(full.outcomes.failures == [.disk])
        #expect(full.isClean)
        let unfinished = try started { step throws(SnapshotError) in
            if step == .commit { throw SnapshotError(.disk, "the disk fails") }
        }
        try unfinished.send(.fileEnd(SnapshotFileEnd(intent: 10)))
        try unfinished.send(.end(SnapshotEnd(newestIntent: 10)))
        #expect(unfinished.outcomes.failures == [.disk])
        #expect(unfinished.isClean)
    }
}
