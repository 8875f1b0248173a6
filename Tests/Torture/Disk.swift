import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A disk of a node: a file system in memory of its own, which can be filled without doing harm to others.
struct Disk: Sendable {
    let path: String
    private var ballast: String { self.path + "/ballast" }

    /// - Returns: nil when it cannot be mounted.
    static func mount(at path: String, scratch: String) async -> Disk? {
        guard
            let process = try? ChildProcess(
                "/usr/bin/mount", ["-t", "tmpfs", "-o", "size=1g", "tmpfs", path], output: scratch)
        else { return nil }
        return await process.end(within: .seconds(10)) == 0 ? Disk(path: path) : nil
    }

    func unmount(scratch: String) async {
        guard let process = try? ChildProcess("/usr/bin/umount", [self.path], output: scratch) else { return }
        _ = await process.end(within: .seconds(10))
    }

    /// Leaves no room.
    func fill() {
        var status = statvfs()
        guard statvfs(self.path, &status) == 0 else { return }
        let descriptor = open(self.ballast, O_CREAT | O_WRONLY, 0o600)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        var size = Int(status.f_bavail) * Int(status.f_bsize)
        // Others take some of it meanwhile.
        while size > 0, posix_fallocate(descriptor, 0, off_t(size)) != 0 { size -= 1 << 20 }
        // The rest, page by page.
        var end = max(0, size)
        while posix_fallocate(descriptor, off_t(end), 4096) == 0 { end += 4096 }
    }

    func empty() { unlink(self.ballast) }
}
