#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A directory of the real file system, for one log alone: locked as long as this object lives.
public final class LogDirectory: LogFileSystem {
    public let path: String
    private let archive: String?
    private let directory: CInt
    private let archiveDirectory: CInt
    private let lock: CInt

    /// Creates the directory if it is missing, and locks it.
    ///
    /// - Parameters:
    ///   - path: The directory. The one that it lies in exists.
    ///   - archive: A directory of the same file system to which files are moved that are no longer part of the log.
    ///     It is created if it is missing. nil: they are removed.
    public init(_ path: String, archive: String? = nil) throws(LogFileError) {
        self.path = path
        self.archive = archive
        self.directory = try Self.openDirectory(path)
        if let archive {
            do throws(LogFileError) {
                self.archiveDirectory = try Self.openDirectory(archive)
            } catch {
                close(self.directory)
                throw error
            }
        } else {
            self.archiveDirectory = -1
        }
        self.lock = openat(self.directory, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        // flock belongs to the open file, so it also keeps out a second log of this process, and ends with the process.
        guard self.lock >= 0, flock(self.lock, LOCK_EX | LOCK_NB) == 0 else {
            throw LogFileError(.lock, file: path + "/lock", code: errno)
        }
    }

    deinit {
        if self.lock >= 0 { close(self.lock) }
        if self.archiveDirectory >= 0 { close(self.archiveDirectory) }
        close(self.directory)
    }

    private static func openDirectory(_ path: String) throws(LogFileError) -> CInt {
        if mkdir(path, 0o700) == 0 {
            // The directory's own name has to survive as well.
            let parent = platformOpen(path + "/..", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
            defer { if parent >= 0 { close(parent) } }
            guard parent >= 0, fsync(parent) == 0 else { throw LogFileError(.sync, file: path + "/..", code: errno) }
        } else if errno != EEXIST {
            throw LogFileError(.create, file: path, code: errno)
        }
        let directory = platformOpen(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard directory >= 0 else { throw LogFileError(.open, file: path, code: errno) }
        return directory
    }

    private func filePath(_ name: String) -> String { self.path + "/" + name }

    public func names() throws(LogFileError) -> [String] {
        guard let stream = opendir(self.path) else { throw LogFileError(.list, file: self.path, code: errno) }
        defer { closedir(stream) }
        var names: [String] = []
        while true {
            errno = 0
            guard let entry = readdir(stream) else { break }
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        guard errno == 0 else { throw LogFileError(.list, file: self.path, code: errno) }
        return names
    }

    public func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile {
        let descriptor = openat(self.directory, name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw LogFileError(.create, file: self.filePath(name), code: errno) }
        let file = RealLogFile(descriptor: descriptor, path: self.filePath(name), size: size)
        let code = platformAllocate(descriptor, size: size)
        guard code == 0 else { throw LogFileError(.allocate, file: file.path, code: code) }
        return file
    }

    public func open(_ name: String) throws(LogFileError) -> any LogFile {
        let descriptor = openat(self.directory, name, O_RDWR | O_CLOEXEC)
        var status = stat()
        guard descriptor >= 0, fstat(descriptor, &status) == 0 else {
            let code = errno
            if descriptor >= 0 { close(descriptor) }
            throw LogFileError(.open, file: self.filePath(name), code: code)
        }
        return RealLogFile(descriptor: descriptor, path: self.filePath(name), size: Int(status.st_size))
    }

    public func rename(_ name: String, to newName: String) throws(LogFileError) {
        guard renameat(self.directory, name, self.directory, newName) == 0 else {
            throw LogFileError(.rename, file: self.filePath(name), code: errno)
        }
    }

    public func remove(_ name: String) throws(LogFileError) {
        guard unlinkat(self.directory, name, 0) == 0 else {
            throw LogFileError(.remove, file: self.filePath(name), code: errno)
        }
    }

    public func retire(_ name: String) throws(LogFileError) {
        guard let archive = self.archive else { return try self.remove(name) }
        guard renameat(self.directory, name, self.archiveDirectory, name) == 0 else {
            throw LogFileError(.rename, file: self.filePath(name), code: errno)
        }
        guard fsync(self.archiveDirectory) == 0 else { throw LogFileError(.sync, file: archive, code: errno) }
    }

    public func sync() throws(LogFileError) {
        guard fsync(self.directory) == 0 else { throw LogFileError(.sync, file: self.path, code: errno) }
    }
}

/// A file of a ``LogDirectory``.
final class RealLogFile: LogFile {
    let descriptor: CInt
    let path: String
    let size: Int

    init(descriptor: CInt, path: String, size: Int) {
        self.descriptor = descriptor
        self.path = path
        self.size = size
    }

    deinit { close(self.descriptor) }

    func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogFileError) {
        var done = 0
        while done < memory.count {
            let count = pread(self.descriptor, memory.baseAddress! + done, memory.count - done, off_t(offset + done))
            if count < 0, errno == EINTR { continue }
            guard count > 0 else {
                throw LogFileError(.read, file: self.path, code: count < 0 ? errno : ENODATA)
            }
            done += count
        }
    }

    func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) throws(LogFileError) {
        var vectors = buffers.filter { $0.count > 0 }.map {
            iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress!), iov_len: $0.count)
        }
        var first = 0
        var offset = offset
        while first < vectors.count {
            // 1024 is IOV_MAX everywhere.
            let part = vectors[first..<min(vectors.count, first + 1024)]
            let written = part.withUnsafeBufferPointer {
                pwritev(self.descriptor, $0.baseAddress!, CInt($0.count), off_t(offset))
            }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else {
                throw LogFileError(.write, file: self.path, code: written < 0 ? errno : ENOSPC)
            }
            offset += written
            var rest = written
            while first < vectors.count, rest >= vectors[first].iov_len {
                rest -= vectors[first].iov_len
                first += 1
            }
            if rest > 0 {
                vectors[first].iov_base += rest
                vectors[first].iov_len -= rest
            }
        }
    }

    func sync() throws(LogFileError) {
        guard platformSync(self.descriptor) == 0 else { throw LogFileError(.sync, file: self.path, code: errno) }
    }
}
