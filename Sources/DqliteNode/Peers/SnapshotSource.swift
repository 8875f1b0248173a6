import DqliteEngine
import DqliteRaft
import NIOCore
import Synchronization

/// What a snapshot consists of, piece by piece.
protocol SnapshotSource: Sendable {
    /// Bytes of all files.
    var size: Int { get }

    /// The next piece, with at most so many bytes. May wait for the disk. Not called again after the last one.
    func next(maximumSize: Int) throws(SnapshotError) -> SnapshotPiece
}

/// A piece of a snapshot.
enum SnapshotPiece: Hashable, Sendable {
    case file(name: String, size: Int)
    case bytes(ByteBuffer)
    /// The file has ended; it may hold pages of entries up to this one.
    case fileEnd(intent: LogIndex)
    /// The last piece.
    case end(newestIntent: LogIndex)
}

/// The pieces of a copy that an engine makes.
final class EngineSnapshotSource: SnapshotSource {
    private let copy: EngineCopy
    private let isInFile = Mutex(false)

    init(_ copy: EngineCopy) { self.copy = copy }

    var size: Int { self.copy.size }

    func next(maximumSize: Int) throws(SnapshotError) -> SnapshotPiece {
        do throws(EngineError) {
            return try self.isInFile.withLock { isInFile throws(EngineError) in
                guard isInFile else {
                    guard let file = try self.copy.nextFile() else {
                        return .end(newestIntent: self.copy.finish())
                    }
                    isInFile = true
                    return .file(name: file.name, size: file.size)
                }
                let bytes = try self.read(maximumSize)
                if bytes.readableBytes > 0 { return .bytes(bytes) }
                isInFile = false
                return .fileEnd(intent: try self.copy.endFile())
            }
        } catch {
            throw SnapshotError(.engine, error.message)
        }
    }

    private func read(_ maximumSize: Int) throws(EngineError) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: maximumSize)
        var failure: EngineError?
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: maximumSize) { memory in
            do throws(EngineError) {
                return try self.copy.read(into: UnsafeMutableRawBufferPointer(rebasing: memory[..<maximumSize]))
            } catch {
                failure = error
                return 0
            }
        }
        if let failure { throw failure }
        return buffer
    }
}
