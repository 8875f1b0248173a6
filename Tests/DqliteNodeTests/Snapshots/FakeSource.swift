import DqliteRaft
import NIOCore
import Synchronization

@testable import DqliteNode

/// Files in memory.
final class FakeSource: SnapshotSource {
    private let pieces: Mutex<[SnapshotPiece]>
    private let failure: SnapshotError?
    let size: Int

    /// - Parameter failure: Thrown when the pieces are at their end.
    init(_ pieces: [SnapshotPiece], failure: SnapshotError? = nil) {
        self.pieces = Mutex(pieces)
        self.failure = failure
        self.size = pieces.reduce(0) { if case .bytes(let bytes) = $1 { $0 + bytes.readableBytes } else { $0 } }
    }

    func next(maximumSize: Int) throws(SnapshotError) -> SnapshotPiece {
        guard let piece = self.pieces.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) else {
            throw self.failure ?? SnapshotError(.engine, "nothing is left")
        }
        return piece
    }

    static func standard() -> [SnapshotPiece] {
        [
            .file(name: "a.db", size: 10), .bytes(ByteBuffer(bytes: [1, 2, 3, 4])), .bytes(ByteBuffer(bytes: [5, 6])),
            .fileEnd(intent: LogIndex(12)), .file(name: "b.db", size: 0), .fileEnd(intent: LogIndex(3)),
            .end(newestIntent: LogIndex(12)),
        ]
    }
}

/// What was said once.
final class Outcomes<Success: Sendable>: Sendable {
    private let state = Mutex<[Result<Success, SnapshotError>]>([])

    func add(_ result: Result<Success, SnapshotError>) { self.state.withLock { $0.append(result) } }
    var all: [Result<Success, SnapshotError>] { self.state.withLock { $0 } }
    var failures: [SnapshotError.Code] {
        self.all.compactMap { if case .failure(let error) = $0 { error.code } else { nil } }
    }
}

/// The frames that a handler has written.
struct SnapshotFrames {
    var decoder = SnapshotFrameDecoder(maximumChunkSize: 1 << 20)
    var buffer = ByteBuffer()

    mutating func add(_ bytes: ByteBuffer?) { if let bytes { self.buffer.writeImmutableBuffer(bytes) } }
    mutating func next() throws -> SnapshotMessage? { try self.decoder.decode(buffer: &self.buffer) }
}
