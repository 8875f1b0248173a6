import DqliteProtocol
import DqliteRaft
import NIOCore

/// What a sender of a snapshot does next. One piece is on its way at a time.
struct SnapshotSenderMachine {
    enum Action: Hashable {
        case none
        case send(SnapshotMessage)
        /// Get the next piece, of at most so many bytes.
        case read(maximumSize: Int)
        case pause(Duration)
        case succeed
        case fail(SnapshotError)
    }

    private enum State {
        case offered
        case reading
        /// Waits for what was sent to be acknowledged; if it was a chunk, sent at that time.
        case sent(chunkAt: NIODeadline?)
        case pausing
        case finishing
        case over
    }

    private let settings: SnapshotSettings
    private let lastIndex: LogIndex
    private var state = State.offered
    private var chunkSize: Int
    /// Of the file.
    private var offset: UInt64 = 0
    private(set) var bytesSent: UInt64 = 0

    init(settings: SnapshotSettings, lastIndex: LogIndex) {
        self.settings = settings
        self.lastIndex = lastIndex
        self.chunkSize = settings.chunkSize
    }

    var isOver: Bool { if case .over = self.state { true } else { false } }

    /// A piece was read, or could not be.
    mutating func read(_ result: Result<SnapshotPiece, SnapshotError>, now: NIODeadline) -> Action {
        guard case .reading = self.state else { return .none }
        switch result {
        case .failure(let error): return self.fail(error)
        case .success(.file(let name, let size)):
            self.offset = 0
            self.state = .sent(chunkAt: nil)
            return .send(.file(SnapshotFile(size: UInt64(size), name: name)))
        case .success(.bytes(let bytes)):
            let offset = self.offset
            self.offset += UInt64(bytes.readableBytes)
            self.bytesSent += UInt64(bytes.readableBytes)
            self.state = .sent(chunkAt: now)
            return .send(.chunk(offset: offset, bytes))
        case .success(.fileEnd(let intent)):
            self.state = .sent(chunkAt: nil)
            return .send(.fileEnd(SnapshotFileEnd(intent: intent.rawValue)))
        case .success(.end(let newestIntent)):
            self.state = .finishing
            return .send(.end(SnapshotEnd(newestIntent: newestIntent.rawValue)))
        }
    }

    mutating func received(_ message: SnapshotMessage, now: NIODeadline) -> Action {
        switch (self.state, message) {
        case (.over, _): return .none
        case (_, .failed(let failure)): return self.fail(SnapshotError(.peer, failure.message))
        case (.offered, .accepted(let accepted)):
            guard accepted.chunkSize > 0 else {
                return self.fail(SnapshotError(.malformed, "the receiver takes no bytes"))
            }
            self.chunkSize = min(self.chunkSize, Int(clamping: accepted.chunkSize))
            return self.readNext()
        case (.sent(let chunkAt), .progress(let progress)):
            guard progress.size == self.bytesSent else {
                return self.fail(
                    SnapshotError(
                        .malformed, "the receiver says that it has \(progress.size) of \(self.bytesSent) bytes"))
            }
            guard let chunkAt else { return self.readNext() }
            let pause = self.settings.pause(Duration(now - chunkAt))
            guard pause > .zero else { return self.readNext() }
            self.state = .pausing
            return .pause(pause)
        case (.finishing, .received(let received)):
            guard received.lastIndex == self.lastIndex.rawValue else {
                return self.fail(SnapshotError(.malformed, "the receiver has another snapshot"))
            }
            self.state = .over
            return .succeed
        default: return self.fail(SnapshotError(.malformed, "the receiver answers what was not asked"))
        }
    }

    mutating func pauseEnded() -> Action {
        guard case .pausing = self.state else { return .none }
        return self.readNext()
    }

    private mutating func readNext() -> Action {
        self.state = .reading
        return .read(maximumSize: self.chunkSize)
    }

    /// The snapshot is given up, for whatever reason.
    mutating func fail(_ error: SnapshotError) -> Action {
        guard !self.isOver else { return .none }
        self.state = .over
        return .fail(error)
    }
}
