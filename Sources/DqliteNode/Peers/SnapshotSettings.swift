import NIOCore
import NIOPosix

/// How snapshots travel.
struct SnapshotSettings: Sendable {
    /// Bytes of a file that are sent at once, and that either side has in memory.
    var chunkSize = 256 << 10
    /// The longest chunk that is taken.
    var maximumChunkSize = 1 << 20
    /// How long either side waits for the other.
    var timeout: Duration = .seconds(60)
    /// Databases that a snapshot may have.
    var maximumDatabases = 1024
    /// How long the sender rests, after a chunk that took so long to be acknowledged.
    var pause: @Sendable (_ lastChunk: Duration) -> Duration = SnapshotSettings.defaultPause

    /// As long as the chunk took, so that the snapshot has at most half of disks and network; but no longer than it takes to
    /// send 20 MB in a second.
    static func defaultPause(lastChunk: Duration) -> Duration {
        max(.zero, min(lastChunk, .milliseconds(13) - lastChunk))
    }
}

/// Where work is done that waits for a disk.
struct DiskThreads: Sendable {
    /// nil: on the thread that asks. For tests.
    var pool: NIOThreadPool?

    static var shared: DiskThreads { DiskThreads(pool: .singleton) }

    /// Does something, and tells the event loop.
    func run<Success: Sendable>(
        on eventLoop: any EventLoop, _ body: @escaping @Sendable () throws -> Success
    ) -> EventLoopFuture<Success> {
        guard let pool = self.pool else { return eventLoop.makeCompletedFuture(withResultOf: body) }
        return pool.runIfActive(eventLoop: eventLoop, body)
    }

    /// Reads the next piece of a snapshot. Called on the loop, as `then` is.
    func next(
        of source: any SnapshotSource, maximumSize: Int, on eventLoop: any EventLoop,
        then: @escaping (Result<SnapshotPiece, SnapshotError>) -> Void
    ) {
        let piece = self.run(on: eventLoop) { try source.next(maximumSize: maximumSize) }
        piece.assumeIsolated().whenComplete { result in
            then(result.mapError { $0 as? SnapshotError ?? SnapshotError(.cancelled, "\($0)") })
        }
    }
}
