import DqliteProtocol
import DqliteRaft
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteNode

/// The sender, whose receiver is the test.
@Suite struct SnapshotSenderTests {
    private final class Sending {
        let channel = EmbeddedChannel()
        let outcomes = Outcomes<Void>()
        let sender: SnapshotSender
        private var frames = SnapshotFrames()

        init(_ source: FakeSource = FakeSource(FakeSource.standard()), _ settings: SnapshotSettings = .init()) throws {
            self.sender = SnapshotSender(
                source: source, term: Term(3), metadata: SnapshotContent.metadata(at: LogIndex(9), term: Term(2)),
                settings: settings, threads: DiskThreads(pool: nil)
            ) { [outcomes] in outcomes.add($0) }
            try self.channel.pipeline.syncOperations.addHandler(self.sender)
            try self.channel.connect(to: SocketAddress(ipAddress: "127.0.0.1", port: 1)).wait()
        }

        func next() throws -> SnapshotMessage? {
            while let bytes = try self.channel.readOutbound(as: ByteBuffer.self) { self.frames.add(bytes) }
            return try self.frames.next()
        }

        func answer(_ message: SnapshotMessage) throws {
            var buffer = ByteBuffer()
            try buffer.writeSnapshotMessage(message)
            try self.channel.writeInbound(buffer)
        }

        func accept() throws { try self.answer(.accepted(SnapshotAccepted(chunkSize: 1 << 20))) }
        func progress(_ size: UInt64) throws { try self.answer(.progress(SnapshotProgress(size: size))) }
    }

    @Test("one message at a time: what is not acknowledged is the only one that has left")
    func window() throws {
        var settings = SnapshotSettings()
        settings.pause = { _ in .zero }
        let sending = try Sending(FakeSource(FakeSource.standard()), settings)
        guard case .begin(let begin) = try sending.next() else { throw SnapshotError(.malformed, "no begin") }
        #expect(begin.lastIndex == 9)
        #expect(begin.size == 6)
        #expect(try sending.next() == nil)
        try sending.accept()
        let expected: [(SnapshotMessage, UInt64)] = [
            (.file(SnapshotFile(size: 10, name: "a.db")), 0), (.chunk(offset: 0, ByteBuffer(bytes: [1, 2, 3, 4])), 4),
            (.chunk(offset: 4, ByteBuffer(bytes: [5, 6])), 6), (.fileEnd(SnapshotFileEnd(intent: 12)), 6),
            (.file(SnapshotFile(size: 0, name: "b.db")), 6), (.fileEnd(SnapshotFileEnd(intent: 3)), 6),
        ]
        for (message, size) in expected {
            #expect(try sending.next() == message)
            #expect(try sending.next() == nil)
            try sending.progress(size)
        }
        #expect(try sending.next() == .end(SnapshotEnd(newestIntent: 12)))
        #expect(sending.outcomes.all.isEmpty)
        try sending.answer(.received(SnapshotReceived(lastIndex: 9)))
        #expect(sending.outcomes.all.count == 1)
        #expect(sending.outcomes.failures == [])
        #expect(!sending.channel.isActive)
    }

    @Test("it rests as long as it was told, by how long the last chunk took")
    func pause() throws {
        var settings = SnapshotSettings()
        settings.pause = { $0 * 2 }
        let sending = try Sending(FakeSource(FakeSource.standard()), settings)
        _ = try sending.next()
        try sending.accept()
        _ = try sending.next()
        try sending.progress(0)
        guard case .chunk = try sending.next() else { throw SnapshotError(.malformed, "no chunk") }
        sending.channel.embeddedEventLoop.advanceTime(by: .milliseconds(30))
        try sending.progress(4)
        sending.channel.embeddedEventLoop.advanceTime(by: .milliseconds(59))
        #expect(try sending.next() == nil)
        sending.channel.embeddedEventLoop.advanceTime(by: .milliseconds(1))
        guard case .chunk = try sending.next() else { throw SnapshotError(.malformed, "no chunk") }
    }

    @Test(
        "half of the time, unless that is less than 20 MB in a second",
        arguments: [(0, 0), (1, 1), (6, 6), (10, 3), (13, 0), (1000, 0)])
    func defaultPause(chunk: Int, pause: Int) {
        #expect(SnapshotSettings.defaultPause(lastChunk: .milliseconds(chunk)) == .milliseconds(pause))
    }

    @Test("chunks are no longer than the receiver takes")
    func chunkSize() {
        var machine = SnapshotSenderMachine(settings: SnapshotSettings(), lastIndex: LogIndex(9))
        #expect(
            machine.received(.accepted(SnapshotAccepted(chunkSize: 1000)), now: .now()) == .read(maximumSize: 1000))
        machine = SnapshotSenderMachine(settings: SnapshotSettings(), lastIndex: LogIndex(9))
        #expect(
            machine.received(.accepted(SnapshotAccepted(chunkSize: .max)), now: .now()) == .read(maximumSize: 256 << 10)
        )
    }

    @Test("an answer to what was not asked, or a wrong one, ends it")
    func wrongAnswers() throws {
        let answers: [SnapshotMessage] = [
            .progress(SnapshotProgress(size: 0)), .received(SnapshotReceived(lastIndex: 9)),
            .accepted(SnapshotAccepted(chunkSize: 0)), .end(SnapshotEnd()), .file(SnapshotFile(size: 1, name: "a")),
        ]
        for answer in answers {
            let sending = try Sending()
            try sending.answer(answer)
            #expect(sending.outcomes.failures == [.malformed])
        }
        let sending = try Sending()
        try sending.accept()
        try sending.progress(1)
        #expect(sending.outcomes.failures == [.malformed])
        let noise = try Sending()
        try noise.channel.writeInbound(ByteBuffer(repeating: 0xff, count: 100))
        #expect(noise.outcomes.failures == [.malformed])
    }

    @Test("refused, cut off, without an answer, without a source, given up: one reason each")
    func ends() throws {
        let refused = try Sending()
        try refused.answer(.failed(SnapshotFailed(message: "no room")))
        #expect(refused.outcomes.failures == [.peer])
        let cut = try Sending()
        try cut.channel.close().wait()
        #expect(cut.outcomes.failures == [.connection])
        let silent = try Sending()
        silent.channel.embeddedEventLoop.advanceTime(by: .seconds(60))
        #expect(silent.outcomes.failures == [.connection])
        let broken = try Sending(FakeSource([], failure: SnapshotError(.engine, "the engine is closed")))
        _ = try broken.next()
        try broken.accept()
        #expect(try broken.next() == .failed(SnapshotFailed(message: "the engine is closed")))
        #expect(broken.outcomes.failures == [.engine])
        let cancelled = try Sending()
        _ = try cancelled.next()
        cancelled.sender.cancel(because: "not the leader any more")
        #expect(try cancelled.next() == .failed(SnapshotFailed(message: "not the leader any more")))
        #expect(cancelled.outcomes.failures == [.cancelled])
    }
}
