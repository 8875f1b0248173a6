import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The data directory of one node: locked as long as this object lives.
///
/// It holds `lock`, `identity` and the directories `databases` and `log`.
final class DataDirectory: Sendable {
    let path: String
    private let lock: CInt

    /// Where the engine keeps its databases.
    var databases: String { self.path + "/databases" }
    /// Where the log is.
    var log: String { self.path + "/log" }

    /// Creates the directory if it is missing, and locks it.
    init(path: String) throws(DqliteNodeError) {
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw DqliteNodeError(.dataDirectory, "cannot create the directory \(path): \(lastSystemError())")
        }
        let descriptor = open(path + "/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw DqliteNodeError(.dataDirectory, "cannot use the directory \(path): \(lastSystemError())")
        }
        // flock belongs to the open file, so it also keeps out a second node of this process, and ends with the process.
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let error = errno
            let reason = lastSystemError()
            close(descriptor)
            throw error == EWOULDBLOCK
                ? DqliteNodeError(.locked, "the directory \(path) is in use by another node")
                : DqliteNodeError(.dataDirectory, "cannot lock the directory \(path): \(reason)")
        }
        self.path = path
        self.lock = descriptor
    }

    deinit { close(self.lock) }

    private var identityPath: String { self.path + "/identity" }

    /// Whose directory it is. nil: nobody's yet.
    func identity() throws(DqliteNodeError) -> NodeIdentity? {
        let descriptor = open(self.identityPath, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw DqliteNodeError(.dataDirectory, "cannot read \(self.identityPath): \(lastSystemError())")
        }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = read(descriptor, &bytes, bytes.count)
        guard count >= 0 else {
            throw DqliteNodeError(.dataDirectory, "cannot read \(self.identityPath): \(lastSystemError())")
        }
        bytes.removeSubrange(count...)
        let identity: NodeIdentity
        do throws(WireError) {
            identity = try ByteBuffer(bytes: bytes).dqliteMessage()
        } catch {
            throw DqliteNodeError(.dataDirectory, "\(self.identityPath) is damaged: \(error)")
        }
        guard identity.checksum == Self.checksum(of: bytes) else {
            throw DqliteNodeError(.dataDirectory, "\(self.identityPath) is damaged: its checksum does not match")
        }
        return identity
    }

    /// Makes it the directory of a node, durably. Writes nothing when it is that already: a node with a full disk must be
    /// able to start.
    func setIdentity(nodeID: UInt64, address: String) throws(DqliteNodeError) {
        if let current = try self.identity(), current.nodeID == nodeID, current.address == address { return }
        var identity = NodeIdentity()
        identity.nodeID = nodeID
        identity.address = address
        let bytes: [UInt8]
        do throws(WireEncodingError) {
            identity.checksum = Self.checksum(of: try identity.dqliteBytes())
            bytes = try identity.dqliteBytes()
        } catch {
            throw DqliteNodeError(.invalidConfiguration, "the address cannot be kept: \(error)")
        }
        try self.replaceIdentity(with: bytes)
    }

    /// The file is complete and on the disk before it gets its name, and the name is before this returns.
    private func replaceIdentity(with bytes: [UInt8]) throws(DqliteNodeError) {
        let temporary = self.identityPath + ".new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            throw DqliteNodeError(.dataDirectory, "cannot write \(temporary): \(lastSystemError())")
        }
        let isWritten = write(descriptor, bytes, bytes.count) == bytes.count && fsync(descriptor) == 0
        let reason = lastSystemError()
        close(descriptor)
        guard isWritten else { throw DqliteNodeError(.dataDirectory, "cannot write \(temporary): \(reason)") }
        let directory = open(self.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        defer { if directory >= 0 { close(directory) } }
        guard rename(temporary, self.identityPath) == 0, directory >= 0, fsync(directory) == 0 else {
            throw DqliteNodeError(.dataDirectory, "cannot write \(self.identityPath): \(lastSystemError())")
        }
    }

    /// The checksum lies in bytes 12 to 15, and counts as zero.
    private static func checksum(of bytes: [UInt8]) -> UInt32 {
        var bytes = bytes
        guard bytes.count >= 16 else { return 0 }
        bytes.replaceSubrange(12..<16, with: [0, 0, 0, 0])
        return CRC32C.checksum(bytes)
    }
}

/// What errno says now.
func lastSystemError() -> String { String(cString: strerror(errno)) }
