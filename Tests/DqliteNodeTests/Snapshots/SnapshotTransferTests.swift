import DqliteEngine
import DqliteLog
import DqliteRaft
import Foundation
import NIOCore
import NIOPosix
import Synchronization
import Testing

@testable import DqliteNode

/// Sender and receiver, with a socket in between.
@Suite struct SnapshotTransferTests {
    /// Sends a copy to a follower.
    private static func transfer(
        _ source: any SnapshotSource, _ metadata: SnapshotMetadata, to directory: DataDirectory
    ) async throws -> SnapshotInstallation {
        let group = MultiThreadedEventLoopGroup.singleton
        let received = group.next().makePromise(of: SnapshotInstallation.self)
        let sent = group.next().makePromise(of: Void.self)
        var settings = SnapshotSettings()
        settings.chunkSize = 10_000
        settings.pause = { _ in .zero }
        let (ofSender, ofReceiver) = (settings, settings)
        let listener = try await ServerBootstrap(group: group)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let receiver = SnapshotReceiver(
                        directory: directory, settings: ofReceiver, accept: { $1.succeed(()) },
                        completed: { received.completeWith($0.mapError { $0 as any Error }) })
                    try channel.pipeline.syncOperations.addHandler(receiver)
                }
            }
            .bind(host: "127.0.0.1", port: 0).get()
        _ = try await ClientBootstrap(group: group)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let sender = SnapshotSender(
                        source: source, term: metadata.term, metadata: metadata, settings: ofSender,
                        completed: { sent.completeWith($0.mapError { $0 as any Error }) })
                    try channel.pipeline.syncOperations.addHandler(sender)
                }
            }
            .connect(to: listener.localAddress!).get()
        // Both end, whatever becomes of it.
        let (installation, sending) = await (received.futureResult.result, sent.futureResult.result)
        try await listener.close()
        try sending.get()
        return try installation.get()
    }

    @Test("a node that is written to is sent, installed, and caught up with")
    func loopback() async throws {
        let (leader, client) = try CopyTests.leader(rows: 20)
        let (engine, log) = try (#require(leader.engine), #require(leader.log))
        let copy = try engine.beginCopy { _ in }
        let metadata = SnapshotContent.metadata(at: copy.start, term: try #require(log.term(of: copy.start)))
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let source = WritingSource(EngineSnapshotSource(copy)) {
            try client.exec("UPDATE t SET round = round + 1")
            try CopyTests.checkpoint(leader)
        }
        let installation = try await Self.transfer(source, metadata, to: try #require(follower.directory))
        #expect(installation.newestIntent > metadata.index)
        #expect(try follower.install(installation) == .installed)
        try follower.openEngine()
        try follower.append(from: log)
        try follower.apply()
        try follower.engine?.recovered()
        #expect(try follower.dump("one.db") == engine.dumped("one.db"))
    }

    @Test("the sender learns why the receiver gives up")
    func refusal() async throws {
        let follower = try SnapshotFollower()
        #expect(try follower.open() == nil)
        let directory = try #require(follower.directory)
        let source = FakeSource([.file(name: "a/b", size: 0)])
        let error = await #expect(throws: SnapshotError.self) {
            try await Self.transfer(source, SnapshotContent.metadata(at: LogIndex(9), term: Term(2)), to: directory)
        }
        // What the receiver says, as the sender hears it.
        #expect(error?.code == .peer)
        #expect(error?.message.contains("is not a plain file name") ?? false)
        #expect(!FileManager.default.fileExists(atPath: directory.incoming))
    }
}

/// A source of which something happens in between.
///
/// @unchecked: the closure is called by the source only, which one thread at a time uses.
private final class WritingSource: SnapshotSource, @unchecked Sendable {
    private let source: any SnapshotSource
    private let between: () throws -> Void
    private let calls = Mutex(0)

    init(_ source: any SnapshotSource, between: @escaping () throws -> Void) {
        self.source = source
        self.between = between
    }

    var size: Int { self.source.size }

    func next(maximumSize: Int) throws(SnapshotError) -> SnapshotPiece {
        let isTurn = self.calls.withLock { calls in
            calls += 1
            return calls % 4 == 3
        }
        do {
            if isTurn { try self.between() }
        } catch {
            throw SnapshotError(.engine, "\(error)")
        }
        return try self.source.next(maximumSize: maximumSize)
    }
}

extension EventLoopFuture where Value: Sendable {
    fileprivate var result: Result<Value, any Error> {
        get async {
            do { return .success(try await self.get()) } catch { return .failure(error) }
        }
    }
}
