import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The calls that change what is in a data directory while a snapshot is received and installed. All of them wait for the disk.
enum SnapshotFiles {
    static func exists(_ path: String) throws(SnapshotError) -> Bool {
        var status = stat()
        if lstat(path, &status) == 0 { return true }
        guard errno == ENOENT else { throw Self.failure("look at", path) }
        return false
    }

    static func makeDirectory(_ path: String, mayExist: Bool = false) throws(SnapshotError) {
        guard mkdir(path, 0o700) == 0 || mayExist && errno == EEXIST else { throw Self.failure("create", path) }
    }

    static func rename(_ path: String, to newPath: String) throws(SnapshotError) {
        #if canImport(Glibc)
            let result = Glibc.rename(path, newPath)
        #elseif canImport(Musl)
            let result = Musl.rename(path, newPath)
        #else
            let result = Darwin.rename(path, newPath)
        #endif
        guard result == 0 else { throw Self.failure("rename", path) }
    }

    /// Makes the names in a directory durable.
    static func syncDirectory(_ path: String) throws(SnapshotError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw Self.failure("sync", path) }
    }

    /// Creates a file, which must not be there, for writing.
    static func create(_ path: String) throws(SnapshotError) -> CInt {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("create", path) }
        return descriptor
    }

    static func write(
        _ bytes: UnsafeRawBufferPointer, to descriptor: CInt, at offset: Int, path: String
    ) throws(SnapshotError) {
        var count = 0
        while count < bytes.count {
            let result = pwrite(
                descriptor, bytes.baseAddress! + count, bytes.count - count, off_t(offset + count))
            if result < 0, errno == EINTR { continue }
            guard result > 0 else { throw Self.failure("write", path) }
            count += result
        }
    }

    static func write(_ bytes: [UInt8], to descriptor: CInt, path: String) throws(SnapshotError) {
        let result = bytes.withUnsafeBytes { bytes -> Result<Void, SnapshotError> in
            do throws(SnapshotError) {
                return .success(try Self.write(bytes, to: descriptor, at: 0, path: path))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }

    static func resize(_ descriptor: CInt, to size: Int, path: String) throws(SnapshotError) {
        guard ftruncate(descriptor, off_t(size)) == 0 else { throw Self.failure("cut", path) }
    }

    static func sync(_ descriptor: CInt, path: String) throws(SnapshotError) {
        #if canImport(Darwin)
            // On Darwin fsync leaves the bytes in the cache of the disk.
            let result = fcntl(descriptor, F_FULLFSYNC)
        #else
            let result = fsync(descriptor)
        #endif
        guard result == 0 else { throw Self.failure("sync", path) }
    }

    /// Bytes that can be written in the file system of a directory.
    static func freeBytes(_ path: String) throws(SnapshotError) -> Int {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { throw Self.failure("look at", path) }
        let (bytes, isMore) = UInt64(status.f_bavail).multipliedReportingOverflow(by: UInt64(status.f_frsize))
        return isMore ? Int.max : Int(clamping: bytes)
    }

    /// Opens a file for reading.
    static func openForReading(_ path: String) throws(SnapshotError) -> CInt {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else { throw Self.failure("open", path) }
        return descriptor
    }

    /// Bytes of a file, at least one, as many as are wanted or there are.
    static func read(
        _ descriptor: CInt, at offset: Int, maximumSize: Int, path: String
    ) throws(SnapshotError) -> ByteBuffer {
        var buffer = ByteBufferAllocator().buffer(capacity: maximumSize)
        while true {
            var result = 0
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: maximumSize) { memory in
                result = pread(descriptor, memory.baseAddress!, maximumSize, off_t(offset))
                return max(0, result)
            }
            if result > 0 { return buffer }
            guard result < 0 else { throw SnapshotError(.damaged, "\(path) has no more than \(offset) bytes") }
            guard errno == EINTR else { throw Self.failure("read", path) }
        }
    }

    /// The whole of a file that is at most so large. nil: there is none.
    static func read(_ path: String, maximumSize: Int) throws(SnapshotError) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw Self.failure("open", path)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Self.failure("read", path) }
        guard Int(status.st_size) <= maximumSize else {
            throw SnapshotError(.damaged, "\(path) is damaged: it has \(status.st_size) bytes")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        var count = 0
        while count < bytes.count {
            let size = bytes.count
            let result = bytes.withUnsafeMutableBytes {
                pread(descriptor, $0.baseAddress! + count, size - count, off_t(count))
            }
            if result < 0, errno == EINTR { continue }
            guard result >= 0 else { throw Self.failure("read", path) }
            if result == 0 { break }
            count += result
        }
        bytes.removeSubrange(count...)
        return bytes
    }

    /// Removes a directory with the files in it, and directories of files; does nothing when there is none. A link is removed,
    /// not what it leads to.
    static func removeTree(_ path: String) throws(SnapshotError) {
        // Names are bytes, and need not be texts.
        try Self.removeTree(Array(path.utf8CString))
    }

    private static func removeTree(_ path: [CChar]) throws(SnapshotError) {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return }
            throw Self.failure("look at", path)
        }
        guard status.st_mode & S_IFMT == S_IFDIR else {
            guard unlink(path) == 0 || errno == ENOENT else { throw Self.failure("remove", path) }
            return
        }
        for name in try Self.names(in: path) {
            try Self.removeTree(path.dropLast() + [CChar(UInt8(ascii: "/"))] + name)
        }
        guard rmdir(path) == 0 || errno == ENOENT else { throw Self.failure("remove", path) }
    }

    private static func names(in path: [CChar]) throws(SnapshotError) -> [[CChar]] {
        guard let entries = opendir(path) else { throw Self.failure("read", path) }
        defer { closedir(entries) }
        let special: [[CChar]] = [Array(".".utf8CString), Array("..".utf8CString)]
        var names: [[CChar]] = []
        while let entry = readdir(entries) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) {
                    Array(UnsafeBufferPointer(start: $0, count: strlen($0) + 1))
                }
            }
            if !special.contains(name) { names.append(name) }
        }
        return names
    }

    private static func failure(_ what: String, _ path: [CChar]) -> SnapshotError {
        path.withUnsafeBufferPointer { Self.failure(what, String(cString: $0.baseAddress!)) }
    }

    private static func failure(_ what: String, _ path: String) -> SnapshotError {
        SnapshotError(.disk, "cannot \(what) \(path): \(lastSystemError())")
    }
}
