import DqliteEngine
import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire
import NIOCore
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The pieces of a copy whose files are as they were at one entry: they lie in a directory that goes with it, so that neither
/// memory nor checkpoints have to keep what they were.
final class SettledSource: SnapshotSource {
    private struct State {
        var files: ArraySlice<EngineCopy.File>
        var current: (file: EngineCopy.File, descriptor: CInt, offset: Int)?
    }

    let metadata: SnapshotMetadata
    let size: Int
    let databaseCount: Int
    /// Bytes of all files and of what goes before each in the C form.
    let contentSize: Int
    private let directory: String
    private let state: Mutex<State>

    /// Makes the files. Waits for the disk.
    ///
    /// - Parameters:
    ///   - directory: Is made, and must not be there.
    ///   - room: Bytes that must be free beside the files.
    ///   - isWanted: Asked from time to time; if not, it throws.
    ///   - metadata: What is to be known of an entry.
    init(
        _ copy: EngineCopy, log: Log, in directory: String, settings: SnapshotSettings = .init(), room: Int = 0,
        isWanted: () -> Bool, metadata: (LogIndex) throws -> SnapshotMetadata
    ) throws {
        self.directory = directory
        try SnapshotFiles.makeDirectory(directory)
        do {
            let free = try SnapshotFiles.freeBytes(directory)
            guard free >= copy.size + room else {
                throw SnapshotError(
                    .disk, "a copy of \(copy.size) bytes would leave less than \(room) of \(free) bytes free")
            }
            let settled = try SettledCopy(of: copy, in: directory, chunkSize: settings.chunkSize) { lastChunk in
                let pause = settings.pause(lastChunk)
                if pause > .zero { usleep(UInt32(clamping: Int64(pause / .microseconds(1)))) }
                return isWanted()
            } entries: { range throws(EngineError) in
                do throws(LogError) {
                    return try log.entries(in: range, maximumSize: 4 << 20)
                } catch {
                    throw EngineError(code: FailureCode.error, message: "the log cannot be read: \(error)")
                }
            }
            var contentSize = try SnapshotHeader().dqliteEncodedSize(revision: 0)
            for file in settled.files {
                contentSize += try SnapshotDatabase(name: file.name).dqliteEncodedSize(revision: 0) + file.size
            }
            self.metadata = try metadata(settled.index)
            self.size = settled.files.reduce(0) { $0 + $1.size }
            self.databaseCount = settled.files.count
            self.contentSize = contentSize
            self.state = Mutex(State(files: settled.files[...]))
        } catch {
            try? SnapshotFiles.removeTree(directory)
            throw error
        }
    }

    deinit {
        if let current = self.state.withLock({ $0.current }) { close(current.descriptor) }
        try? SnapshotFiles.removeTree(self.directory)
    }

    func next(maximumSize: Int) throws(SnapshotError) -> SnapshotPiece {
        try self.state.withLock { state throws(SnapshotError) in
            guard let (file, descriptor, offset) = state.current else {
                guard let file = state.files.popFirst() else { return .end(newestIntent: self.metadata.index) }
                state.current = (file, try SnapshotFiles.openForReading("\(self.directory)/\(file.name)"), 0)
                return .file(name: file.name, size: file.size)
            }
            guard offset < file.size else {
                close(descriptor)
                state.current = nil
                return .fileEnd(intent: self.metadata.index)
            }
            let bytes = try SnapshotFiles.read(
                descriptor, at: offset, maximumSize: min(maximumSize, file.size - offset), path: file.name)
            state.current?.offset += bytes.readableBytes
            return .bytes(bytes)
        }
    }
}
