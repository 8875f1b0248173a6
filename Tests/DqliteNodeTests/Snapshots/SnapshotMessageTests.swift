import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore
import TestSupport
import Testing

@testable import DqliteNode

/// How the messages of a snapshot lie on the wire.
@Suite struct SnapshotMessageTests {
    private static let chunk = ByteBuffer(bytes: Array(0..<77))
    private static let messages: [SnapshotMessage] = [
        .begin(
            SnapshotBegin(
                term: 3, lastIndex: 20, lastTerm: 2, size: 4096, configurationIndex: 7,
                configuration: SnapshotContent.configuration.encoded())),
        .file(SnapshotFile(size: 4096, name: "one.db")), .chunk(offset: 5, Self.chunk),
        .fileEnd(SnapshotFileEnd(intent: 22)), .end(SnapshotEnd(newestIntent: 22)),
        .accepted(SnapshotAccepted(chunkSize: 100)), .progress(SnapshotProgress(size: 77)),
        .received(SnapshotReceived(lastIndex: 20)), .failed(SnapshotFailed(message: "no")),
    ]

    private static func bytes() throws -> ByteBuffer {
        var buffer = ByteBuffer()
        for message in Self.messages { try buffer.writeSnapshotMessage(message) }
        return buffer
    }

    @Test("every message, however its bytes are cut")
    func splits() throws {
        let bytes = try Self.bytes()
        for size in [1, 3, 8, 50, 1000] {
            var decoder = SnapshotFrameDecoder(maximumChunkSize: 100)
            var received = ByteBuffer()
            var rest = bytes
            var messages: [SnapshotMessage] = []
            while let part = rest.readSlice(length: min(size, max(1, rest.readableBytes))) {
                received.writeImmutableBuffer(part)
                while let message = try decoder.decode(buffer: &received) { messages.append(message) }
            }
            #expect(messages == Self.messages)
            #expect(received.readableBytes == 0)
        }
    }

    @Test("a chunk is what the schema says")
    func chunk() throws {
        var buffer = ByteBuffer()
        try buffer.writeSnapshotMessage(.chunk(offset: 5, Self.chunk))
        #expect(Array(buffer.readableBytesView) == (try SnapshotChunk(offset: 5, data: Array(0..<77)).dqliteBytes()))
    }

    private func refusal(_ words: [UInt64]) -> SnapshotError.Code? {
        var buffer = ByteBuffer()
        for word in words { buffer.writeInteger(word, endianness: .little) }
        var decoder = SnapshotFrameDecoder(maximumChunkSize: 100)
        do {
            _ = try decoder.decode(buffer: &buffer)
            return nil
        } catch {
            return (error as? SnapshotError)?.code
        }
    }

    @Test("lengths are refused before anything is waited for")
    func lengths() {
        #expect(self.refusal([64, 1 << 20]) == nil)
        #expect(self.refusal([64, 1 << 20 + 1]) == .malformed)
        #expect(self.refusal([66, .max]) == .malformed)
        #expect(self.refusal([66, 8, 0, 0]) == .malformed)
        #expect(self.refusal([66, 16, 0, 100]) == nil)
        #expect(self.refusal([66, 16, 0, 101]) == .limit)
        #expect(self.refusal([66, 16, 0, .max]) == .limit)
        #expect(self.refusal([1, 32]) == .malformed)
        #expect(self.refusal([73, 8]) == .malformed)
        #expect(self.refusal([64, 8, 1]) == .malformed)
        #expect(self.refusal([65, 16, 1, 0x6161_6161_6161_6161]) == .malformed)
        #expect(self.refusal([64, 56, 1, 2, 1, 0, 1, .max, 0]) == .malformed)
    }

    @Test("bytes with errors in them end in an error, or in other messages")
    func noise() throws {
        var random = SeededRandom(seed: 1)
        let bytes = try Self.bytes()
        for _ in 0..<3000 {
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let position = Int.random(in: 0..<damaged.readableBytes, using: &random)
                damaged.setInteger(UInt8.random(in: 0...255, using: &random), at: position)
            }
            var decoder = SnapshotFrameDecoder(maximumChunkSize: 100)
            do {
                while try decoder.decode(buffer: &damaged) != nil {}
            } catch {
                #expect(error is SnapshotError)
            }
        }
    }
}
