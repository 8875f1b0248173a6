import DqliteEngine
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A snapshot that is being received: files beside those of the node, which count for nothing until ``finish(newestIntent:)``.
///
/// All methods wait for the disk, and are to be called from one thread at a time. After one has thrown, what is left to do is
/// ``discard()``.
final class IncomingSnapshot: Sendable {
    private struct State {
        var file: OpenFile?
        var databases: [SnapshotInstallation.Database] = []
        var names: Set<[UInt8]> = []
        var size = 0
        var isOver = false
    }

    private struct OpenFile {
        let name: String
        let path: String
        let descriptor: CInt
        let size: Int
        var offset = 0
        var synced = 0
    }

    /// Bytes after which a file is synced while it is written, so that its end does not wait for all of them.
    private static let syncInterval = 64 << 20

    /// The newest entry that there can be.
    static let maximumIndex = LogIndex(1 << 62)

    private let directory: DataDirectory
    private let metadata: SnapshotMetadata
    private let maximumDatabases: Int
    private let step: InstallationStepHook
    private let state = Mutex(State())

    /// Begins to receive.
    ///
    /// - Throws: ``SnapshotError/Code/refused`` while another snapshot is being received or installed.
    init(
        in directory: DataDirectory, metadata: SnapshotMetadata, maximumDatabases: Int,
        step: @escaping InstallationStepHook = { _ in }
    ) throws(SnapshotError) {
        self.directory = directory
        self.metadata = metadata
        self.maximumDatabases = maximumDatabases
        self.step = step
        guard mkdir(directory.incoming, 0o700) == 0 else {
            if errno == EEXIST { throw SnapshotError(.refused, "another snapshot is being received") }
            throw SnapshotError(.disk, "cannot create \(directory.incoming): \(lastSystemError())")
        }
        do throws(SnapshotError) {
            // Looked for afterwards: it comes from where this one is now.
            guard try !SnapshotFiles.exists(directory.installing) else {
                throw SnapshotError(.refused, "another snapshot is being installed")
            }
            try SnapshotFiles.makeDirectory(directory.incoming + SnapshotInstallation.files)
        } catch {
            self.discard()
            throw error
        }
    }

    deinit { self.discard() }

    /// Bytes received.
    var size: Int { self.state.withLock { $0.size } }

    /// Begins the file of a database, of at most `size` bytes.
    func beginFile(_ name: String, size: UInt64) throws(SnapshotError) {
        do throws(EngineError) {
            try Engine.checkFileName(name)
        } catch {
            throw SnapshotError(.malformed, error.message)
        }
        guard let size = Int(exactly: size) else {
            throw SnapshotError(.malformed, "the database \"\(name)\" has \(size) bytes, which no file can have")
        }
        let step = self.step
        try self.change { state throws(SnapshotError) in
            guard state.file == nil else { throw SnapshotError(.malformed, "a file begins before the last one ended") }
            guard state.names.insert(Array(name.utf8)).inserted else {
                throw SnapshotError(.malformed, "the database \"\(name)\" is sent twice")
            }
            guard state.names.count <= self.maximumDatabases else {
                throw SnapshotError(.limit, "there are more than \(self.maximumDatabases) databases")
            }
            try step(.beginFile(name))
            let path = "\(self.directory.incoming)\(SnapshotInstallation.files)/\(name)"
            state.file = OpenFile(
                name: name, path: path, descriptor: try SnapshotFiles.create(path), size: size)
        }
    }

    /// Writes the next bytes of the file.
    func write(_ bytes: UnsafeRawBufferPointer, at offset: UInt64) throws(SnapshotError) {
        let step = self.step
        try self.change { state throws(SnapshotError) in
            guard var file = state.file else { throw SnapshotError(.malformed, "bytes come before their file") }
            guard offset == UInt64(file.offset), bytes.count <= file.size - file.offset else {
                throw SnapshotError(
                    .malformed,
                    "\(bytes.count) bytes for \(offset) do not follow the first \(file.offset) of \(file.size)")
            }
            try step(.writeFile(file.name))
            try SnapshotFiles.write(bytes, to: file.descriptor, at: file.offset, path: file.path)
            file.offset += bytes.count
            if file.offset - file.synced >= Self.syncInterval {
                try SnapshotFiles.sync(file.descriptor, path: file.path)
                file.synced = file.offset
            }
            state.size += bytes.count
            state.file = file
        }
    }

    /// Writes a page over what has come of the file, or behind it.
    func write(_ bytes: UnsafeRawBufferPointer, page: UInt64) throws(SnapshotError) {
        let step = self.step
        try self.change { state throws(SnapshotError) in
            guard let file = state.file, file.offset == file.size else {
                throw SnapshotError(.malformed, "a page comes before its file")
            }
            guard page > 0, page <= UInt64(UInt32.max) else {
                throw SnapshotError(.malformed, "page \(page) cannot be")
            }
            try step(.writeFile(file.name))
            try SnapshotFiles.write(bytes, to: file.descriptor, at: (Int(page) - 1) * bytes.count, path: file.path)
            state.size += bytes.count
        }
    }

    /// Makes the file as long as so many bytes.
    func resizeFile(to size: UInt64) throws(SnapshotError) {
        let step = self.step
        try self.change { state throws(SnapshotError) in
            guard let file = state.file, file.offset == file.size, let size = Int(exactly: size) else {
                throw SnapshotError(.malformed, "a file ends before it began")
            }
            try step(.writeFile(file.name))
            try SnapshotFiles.resize(file.descriptor, to: size, path: file.path)
        }
    }

    /// Ends the file, durably. It may hold pages of entries up to `intent`.
    func endFile(intent: LogIndex) throws(SnapshotError) {
        guard intent <= Self.maximumIndex else {
            throw SnapshotError(.malformed, "a file has pages of entry \(intent), which cannot be")
        }
        let step = self.step
        try self.change { state throws(SnapshotError) in
            guard let file = state.file.take() else { throw SnapshotError(.malformed, "a file ends before it began") }
            defer { close(file.descriptor) }
            try step(.endFile(file.name))
            try SnapshotFiles.sync(file.descriptor, path: file.path)
            state.databases.append(SnapshotInstallation.Database(name: file.name, intent: intent))
        }
    }

    /// Everything was received: from now on it replaces what the node had, when it is installed or at the next start.
    ///
    /// - Parameter newestIntent: The newest entry of which any of the files may hold pages.
    func finish(newestIntent: LogIndex) throws(SnapshotError) -> SnapshotInstallation {
        let databases = try self.change { state throws(SnapshotError) in
            let newest = state.databases.reduce(self.metadata.index) { max($0, $1.intent) }
            guard state.file == nil, newest == newestIntent else {
                throw SnapshotError(.malformed, "the snapshot ends before its files do")
            }
            return state.databases
        }
        let installation = SnapshotInstallation(
            directory: self.directory, metadata: self.metadata, newestIntent: newestIntent, databases: databases,
            step: self.step)
        try self.writeRecord(of: installation)
        try self.step(.syncReceived)
        try SnapshotFiles.syncDirectory(self.directory.incoming + SnapshotInstallation.files)
        try SnapshotFiles.syncDirectory(self.directory.incoming)
        try self.step(.commit)
        try self.change { state throws(SnapshotError) in
            try SnapshotFiles.rename(self.directory.incoming, to: self.directory.installing)
            state.isOver = true
        }
        try self.step(.syncCommit)
        try SnapshotFiles.syncDirectory(self.directory.path)
        return installation
    }

    private func writeRecord(of installation: SnapshotInstallation) throws(SnapshotError) {
        try self.step(.writeRecord)
        let bytes: [UInt8]
        do throws(WireEncodingError) {
            bytes = try InstallationRecord(
                self.metadata, newestIntent: installation.newestIntent, databases: installation.databases
            ).sealedBytes()
        } catch {
            throw SnapshotError(.malformed, "the snapshot cannot be recorded: \(error)")
        }
        let path = self.directory.incoming + SnapshotInstallation.record
        let descriptor = try SnapshotFiles.create(path)
        defer { close(descriptor) }
        try SnapshotFiles.write(bytes, to: descriptor, path: path)
        try SnapshotFiles.sync(descriptor, path: path)
    }

    /// Removes what was received, unless it counts already.
    func discard() {
        self.state.withLock { state in
            if let file = state.file.take() { close(file.descriptor) }
            guard !state.isOver else { return }
            state.isOver = true
            // What is left keeps another snapshot from being received, until the next start removes it.
            try? SnapshotFiles.removeTree(self.directory.incoming)
        }
    }

    private func change<Result>(
        _ body: (inout State) throws(SnapshotError) -> Result
    ) throws(SnapshotError) -> Result {
        try self.state.withLock { state throws(SnapshotError) in
            guard !state.isOver else { throw SnapshotError(.cancelled, "the snapshot was given up") }
            return try body(&state)
        }
    }
}
