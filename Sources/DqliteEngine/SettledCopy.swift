internal import CReplicaPager
internal import DqliteProtocol
public import DqliteRaft
internal import DqliteWire

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// All databases as they were at one entry, in files of their own: for nodes that want to read what they get, and not only
/// after the entries that follow.
///
/// It is an ``EngineCopy`` with its entries applied: pages are written over pages, and a file is cut where its first page says
/// that the database ends.
public struct SettledCopy: Sendable {
    /// The entry.
    public let index: LogIndex
    /// The databases that have at least one page.
    public let files: [EngineCopy.File]

    /// Makes the files, in a directory that is there and empty. Waits for the disk.
    ///
    /// - Parameters:
    ///   - copy: Of which nothing was read yet.
    ///   - chunkSize: Bytes that are read at once.
    ///   - goesOn: Asked before each chunk, and told how long the last one took: it may rest. If it says no, this throws.
    ///   - entries: The entries of the log in a range that is committed, or at least the first of them.
    public init(
        of copy: EngineCopy, in directory: String, chunkSize: Int, goesOn: (_ lastChunk: Duration) -> Bool,
        entries: (ClosedRange<LogIndex>) throws(EngineError) -> [Entry]
    ) throws(EngineError) {
        var files = SettlingFiles(directory: directory)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunkSize, alignment: 16)
        defer { buffer.deallocate() }
        var lastChunk = Duration.zero
        func begin() throws(EngineError) -> ContinuousClock.Instant {
            guard goesOn(lastChunk) else {
                throw EngineError(code: FailureCode.interrupted, message: "the copy is not wanted any more")
            }
            return .now
        }
        while let file = try copy.nextFile() {
            try files.write(file.name) { (output) throws(EngineError) in
                var offset = 0
                while true {
                    let start = try begin()
                    let count = try copy.read(into: buffer)
                    if count == 0 { break }
                    try output.write(UnsafeRawBufferPointer(rebasing: buffer[..<count]), at: offset)
                    // Or the system writes all of them when the log wants to write.
                    if (offset + count) / Self.syncInterval > offset / Self.syncInterval { try output.sync() }
                    offset += count
                    lastChunk = start.duration(to: .now)
                }
            }
            _ = try copy.endFile()
        }
        self.index = copy.finish()
        var next = copy.start.next
        while next <= self.index {
            let start = try begin()
            for entry in try entries(next...self.index) {
                try files.apply(entry)
                next = entry.index.next
            }
            lastChunk = start.duration(to: .now)
        }
        self.files = try files.end()
    }

    /// Bytes of a file after which it is synced.
    private static let syncInterval = 16 << 20
}

/// The files of a copy, while it is made.
private struct SettlingFiles {
    struct Output {
        let descriptor: CInt
        let path: String

        func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws(EngineError) {
            var count = 0
            while count < bytes.count {
                let result = pwrite(
                    self.descriptor, bytes.baseAddress! + count, bytes.count - count, off_t(offset + count))
                if result < 0, errno == EINTR { continue }
                guard result > 0 else { throw self.failure("write") }
                count += result
            }
        }

        func sync() throws(EngineError) {
            guard fsync(self.descriptor) == 0 else { throw self.failure("sync") }
        }

        /// Cuts the file where its database ends.
        ///
        /// - Returns: Its size.
        func cut() throws(EngineError) -> Int {
            var status = stat()
            guard fstat(self.descriptor, &status) == 0 else { throw self.failure("read") }
            guard status.st_size > 0 else { return 0 }
            var word: UInt32 = 0
            let offset = off_t(28)
            guard pread(self.descriptor, &word, 4, offset) == 4 else { throw self.failure("read") }
            let size = Int(UInt32(bigEndian: word)) * Int(RP_PAGE_SIZE)
            guard size > 0, size <= Int(status.st_size) else {
                throw EngineError(
                    code: FailureCode.corrupt,
                    message: "\(self.path) has \(status.st_size) bytes, where \(size) are the database")
            }
            guard ftruncate(self.descriptor, off_t(size)) == 0 else { throw self.failure("cut") }
            return size
        }

        func failure(_ what: String) -> EngineError {
            EngineError(
                code: FailureCode.inputOutput,
                message: "cannot \(what) \(self.path): \(String(cString: strerror(errno)))")
        }
    }

    let directory: String
    /// By the bytes of their names, as file systems have it.
    private var names: [[UInt8]: String] = [:]

    init(directory: String) { self.directory = directory }

    /// Changes a file, which is made if it is missing.
    mutating func write<Result>(
        _ name: String, _ body: (Output) throws(EngineError) -> Result
    ) throws(EngineError) -> Result {
        let path = "\(self.directory)/\(name)"
        let descriptor = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0o600)
        let output = Output(descriptor: descriptor, path: path)
        guard descriptor >= 0 else { throw output.failure("create") }
        defer { close(descriptor) }
        self.names[Array(name.utf8)] = name
        return try body(output)
    }

    mutating func apply(_ entry: Entry) throws(EngineError) {
        guard entry.kind == .command else { return }
        let result = entry.data.withUnsafeBytes { bytes -> Result<Void, EngineError> in
            do throws(EngineError) {
                return .success(try self.apply(bytes, at: entry.index))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    private mutating func apply(_ command: UnsafeRawBufferPointer, at index: LogIndex) throws(EngineError) {
        let view: CommandView
        do throws(WireError) {
            view = try CommandView(command)
        } catch {
            throw EngineError(code: FailureCode.corrupt, message: "entry \(index) cannot be read: \(error)")
        }
        guard case .frames(let name, let pages) = view else { return }
        try self.write(try DatabaseName(entry: name, at: index).file) { (output) throws(EngineError) in
            for page in pages {
                let bytes = UnsafeRawBufferPointer(start: page.bytes, count: Int(RP_PAGE_SIZE))
                try output.write(bytes, at: (Int(page.number) - 1) * Int(RP_PAGE_SIZE))
            }
        }
    }

    mutating func end() throws(EngineError) -> [EngineCopy.File] {
        var files: [EngineCopy.File] = []
        for (_, name) in self.names.sorted(by: { $0.key.lexicographicallyPrecedes($1.key) }) {
            let size = try self.write(name) { (output) throws(EngineError) in try output.cut() }
            if size > 0 { files.append(EngineCopy.File(name: name, size: size)) }
        }
        return files
    }
}
