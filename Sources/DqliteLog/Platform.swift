// All that differs between the systems that a log runs on.

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// Makes a file's content durable, with as much of its metadata as reading it back needs.
func platformSync(_ descriptor: CInt) -> CInt {
    #if canImport(Darwin)
        // On Darwin fsync leaves the bytes in the cache of the disk.
        return fcntl(descriptor, F_FULLFSYNC)
    #else
        return fdatasync(descriptor)
    #endif
}

/// Gives an empty file its size, with space for every byte.
///
/// - Returns: Zero or the number of an error.
func platformAllocate(_ descriptor: CInt, size: Int) -> CInt {
    #if canImport(Darwin)
        var store = fstore_t(
            fst_flags: UInt32(F_ALLOCATEALL), fst_posmode: F_PEOFPOSMODE, fst_offset: 0, fst_length: off_t(size),
            fst_bytesalloc: 0)
        guard fcntl(descriptor, F_PREALLOCATE, &store) != -1, ftruncate(descriptor, off_t(size)) == 0 else {
            return errno
        }
        return 0
    #else
        // Where the file system cannot allocate, the C library writes.
        while true {
            let code = posix_fallocate(descriptor, 0, off_t(size))
            if code != EINTR { return code }
        }
    #endif
}

/// `open`, of which the name is taken where it is used.
func platformOpen(_ path: String, _ flags: CInt) -> CInt { open(path, flags) }

/// Runs `body` on a new thread, which ends with it.
///
/// - Returns: Zero or the number of an error.
func startThread(_ body: @escaping @Sendable () -> Void) -> CInt {
    final class Box: Sendable {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
    }
    let box = Unmanaged.passRetained(Box(body))
    #if canImport(Darwin)
        var thread: pthread_t?
        let code = pthread_create(
            &thread, nil,
            { argument in
                Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body()
                return nil
            }, box.toOpaque())
        if code == 0, let thread { pthread_detach(thread) }
    #else
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { argument in
                if let argument { Unmanaged<Box>.fromOpaque(argument).takeRetainedValue().body() }
                return nil
            }, box.toOpaque())
        if code == 0 { pthread_detach(thread) }
    #endif
    if code != 0 { box.release() }
    return code
}

extension LogFileError {
    /// The error of a call that failed with a number.
    init(_ operation: Operation, file: String, code: CInt) {
        let isFull = code == ENOSPC || code == EDQUOT
        self.init(operation, file: file, code: code, reason: String(cString: strerror(code)), isNoSpace: isFull)
    }
}
