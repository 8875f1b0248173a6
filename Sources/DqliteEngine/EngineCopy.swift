internal import DqliteProtocol
public import DqliteRaft
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A copy of all databases: their files as they are, read while transactions and checkpoints go on.
///
/// What is read of a file at different moments does not fit together. It becomes the database of an entry `n` when every
/// entry after ``start`` and up to `n` is applied to it, in order, if `n` is not below what ``endFile()`` says: a page image is the
/// same however often it is written. Pages that a file has no more when it has shrunk are cut off by the same entries.
///
/// To be used by one thread at a time, which may wait for the disk: ``nextFile()``, ``read(into:)`` until it returns 0,
/// ``endFile()``, and so on; ``finish()`` at the end.
public final class EngineCopy: Sendable {
    /// A file to be read.
    public struct File: Hashable, Sendable {
        /// Name of the database.
        public var name: String
        /// How many bytes are read at most. What is added to the file later is of entries after the start of the copy.
        public var size: Int
    }

    private struct State {
        var names: ArraySlice<[UInt8]>
        var current: OpenFile?
        var newestIntent: LogIndex
    }

    private struct OpenFile {
        let name: [UInt8]
        let descriptor: CInt
        let size: Int
        var offset = 0
    }

    /// All files hold everything up to this entry.
    public let start: LogIndex
    /// Bytes of all files when the copy began.
    public let size: Int
    private let engine: Engine
    private let directory: String
    private let state: Mutex<State>

    init(of engine: Engine, start: LogIndex, directory: String, names: [[UInt8]]) throws(EngineError) {
        self.engine = engine
        self.start = start
        self.directory = directory
        var size = 0
        var databases: [[UInt8]] = []
        for name in names.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
            // What the engine would not open is no database.
            guard (try? DatabaseName(entry: String(decoding: name, as: UTF8.self), at: start)) != nil else { continue }
            var status = stat()
            let path = Self.path(of: name, in: directory)
            guard lstat(path, &status) == 0 else { throw Self.failure("read", path) }
            guard status.st_mode & S_IFMT == S_IFREG else { continue }
            size += Int(status.st_size)
            databases.append(name)
        }
        self.size = size
        self.state = Mutex(State(names: databases[...], newestIntent: start))
    }

    deinit {
        if let file = self.state.withLock({ $0.current }) { close(file.descriptor) }
    }

    private static func path(of name: [UInt8], in directory: String) -> String {
        "\(directory)/\(String(decoding: name, as: UTF8.self))"
    }

    private static func failure(_ what: String, _ path: String) -> EngineError {
        EngineError(
            code: FailureCode.inputOutput, message: "cannot \(what) \(path): \(String(cString: strerror(errno)))")
    }

    /// Goes on with the next file. nil: there is none.
    public func nextFile() throws(EngineError) -> File? {
        try self.state.withLock { state throws(EngineError) in
            precondition(state.current == nil, "a file is ended before the next one begins")
            guard let name = state.names.popFirst() else { return nil }
            let path = Self.path(of: name, in: self.directory)
            let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
            guard descriptor >= 0 else { throw Self.failure("read", path) }
            var status = stat()
            guard fstat(descriptor, &status) == 0 else {
                let error = Self.failure("read", path)
                close(descriptor)
                throw error
            }
            state.current = OpenFile(name: name, descriptor: descriptor, size: Int(status.st_size))
            return File(name: String(decoding: name, as: UTF8.self), size: Int(status.st_size))
        }
    }

    /// Reads the next bytes of the file.
    ///
    /// - Returns: How many; 0 at its end.
    public func read(into memory: UnsafeMutableRawBufferPointer) throws(EngineError) -> Int {
        try self.state.withLock { state throws(EngineError) in
            guard var file = state.current else { preconditionFailure("a file is begun before it is read") }
            let wanted = min(memory.count, file.size - file.offset)
            var count = 0
            while count < wanted {
                let result = pread(
                    file.descriptor, memory.baseAddress! + count, wanted - count, off_t(file.offset + count))
                if result < 0, errno == EINTR { continue }
                guard result >= 0 else { throw Self.failure("read", Self.path(of: file.name, in: self.directory)) }
                // It has shrunk.
                if result == 0 { break }
                count += result
            }
            file.offset += count
            state.current = file
            return count
        }
    }

    /// Ends the file.
    ///
    /// - Returns: The newest entry of which what was read may hold pages. The log of this node has it on its disk.
    /// - Throws: The engine was closed, and nobody knows.
    public func endFile() throws(EngineError) -> LogIndex {
        let file = self.state.withLock { $0.current.take() }
        guard let file else { preconditionFailure("a file is begun before it is ended") }
        close(file.descriptor)
        // An intent comes before the pages, so it is asked for after the last of them was read.
        let intent = try self.engine.intent(of: file.name)
        self.state.withLock { $0.newestIntent = max($0.newestIntent, intent) }
        return intent
    }

    /// Ends the copy.
    ///
    /// - Returns: The newest entry of which any of the files may hold pages; at least ``start``.
    public func finish() -> LogIndex {
        self.state.withLock { state in
            precondition(state.current == nil && state.names.isEmpty, "all files are read before the copy ends")
            return state.newestIntent
        }
    }
}
