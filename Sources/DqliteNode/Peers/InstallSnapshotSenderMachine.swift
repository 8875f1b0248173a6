import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// What a sender of a snapshot in the C form does next. One piece is on its way at a time; the receiver says nothing before it
/// has, and has installed, all of it.
struct InstallSnapshotSenderMachine {
    enum Action: Hashable {
        case none
        case send(ByteBuffer)
        /// Get the next piece, of at most so many bytes.
        case read(maximumSize: Int)
        case pause(Duration)
        /// All was sent.
        case awaitAnswer
        case succeed
        case fail(SnapshotError)
    }

    private enum State {
        case idle
        case reading
        /// Something is on its way; if it is a piece of a file, since then.
        case sending(chunkAt: NIODeadline?)
        case pausing
        case sent
        case over
    }

    private let settings: SnapshotSettings
    private let head: InstallSnapshotHead
    private let databaseCount: Int
    private var state = State.idle
    /// Bytes that the file being sent has still to come.
    private var left = 0

    init(settings: SnapshotSettings, head: InstallSnapshotHead, databaseCount: Int) {
        self.settings = settings
        self.head = head
        self.databaseCount = databaseCount
    }

    var isOver: Bool { if case .over = self.state { true } else { false } }

    /// There is a connection.
    mutating func begin() -> Action {
        guard case .idle = self.state else { return .none }
        var buffer = ByteBuffer()
        do throws(WireEncodingError) {
            try self.head.write(to: &buffer)
            buffer.writeBytes(try SnapshotHeader(databaseCount: UInt64(self.databaseCount)).dqliteBytes())
        } catch {
            return self.fail(SnapshotError(.engine, "the snapshot cannot be sent: \(error)"))
        }
        self.state = .sending(chunkAt: nil)
        return .send(buffer)
    }

    /// A piece was read, or could not be.
    mutating func read(_ result: Result<SnapshotPiece, SnapshotError>, now: NIODeadline) -> Action {
        guard case .reading = self.state else { return .none }
        switch result {
        case .failure(let error): return self.fail(error)
        case .success(.file(let name, let size)):
            self.left = size
            self.state = .sending(chunkAt: nil)
            do throws(WireEncodingError) {
                let database = SnapshotDatabase(name: name, mainSize: UInt64(size), walSize: 0)
                return .send(ByteBuffer(bytes: try database.dqliteBytes()))
            } catch {
                return self.fail(SnapshotError(.engine, "the snapshot cannot be sent: \(error)"))
            }
        case .success(.bytes(let bytes)):
            self.left -= bytes.readableBytes
            // How much comes was said at the beginning.
            guard self.left >= 0 else { return self.fail(Self.hasChanged) }
            self.state = .sending(chunkAt: now)
            return .send(bytes)
        case .success(.fileEnd):
            guard self.left == 0 else { return self.fail(Self.hasChanged) }
            return self.readNext()
        case .success(.end):
            self.state = .sent
            return .awaitAnswer
        }
    }

    private static var hasChanged: SnapshotError {
        SnapshotError(.disk, "a file has changed since the snapshot began")
    }

    /// What was to be sent has left.
    mutating func written(now: NIODeadline) -> Action {
        guard case .sending(let chunkAt) = self.state else { return .none }
        guard let chunkAt else { return self.readNext() }
        let pause = self.settings.pause(Duration(now - chunkAt))
        guard pause > .zero else { return self.readNext() }
        self.state = .pausing
        return .pause(pause)
    }

    mutating func pauseEnded() -> Action {
        guard case .pausing = self.state else { return .none }
        return self.readNext()
    }

    private mutating func readNext() -> Action {
        self.state = .reading
        return .read(maximumSize: self.settings.chunkSize)
    }

    /// The receiver has what the snapshot has, be it from elsewhere.
    mutating func answered() -> Action {
        guard !self.isOver else { return .none }
        self.state = .over
        return .succeed
    }

    /// The snapshot is given up, for whatever reason.
    mutating func fail(_ error: SnapshotError) -> Action {
        guard !self.isOver else { return .none }
        self.state = .over
        return .fail(error)
    }
}
