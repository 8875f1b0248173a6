package import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Where databases are measured.
package enum Disk {
    package struct Failure: Error { package var what: String }

    /// A new directory on a disk: where /tmp is in memory, which makes every sync free, it is not there.
    package static func makeDirectory(for name: String) throws -> URL {
        let places = [FileManager.default.temporaryDirectory, URL(filePath: "/var/tmp"), URL(filePath: ".")]
        let place = places.first { !["tmpfs", "ramfs"].contains(Self.fileSystem(of: $0)) }
        if place == nil { say("note: no disk was found, everything is in memory") }
        let directory = (place ?? places[0]).appending(path: "\(name)-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        return directory
    }

    /// What kind of file system a directory is on; nil where the system does not say.
    package static func fileSystem(of directory: URL) -> String? {
        guard let mounts = try? String(contentsOfFile: "/proc/self/mounts", encoding: .utf8) else { return nil }
        let path = directory.resolvingSymlinksInPath().path(percentEncoded: false) + "/"
        // The deepest mount above it; of several on one place the last one is what is seen.
        var found = (place: "", kind: "")
        for mount in mounts.split(separator: "\n").map({ $0.split(separator: " ") }) where mount.count > 2 {
            let place = mount[1] == "/" ? "/" : mount[1] + "/"
            if path.hasPrefix(place), place.count >= found.place.count { found = (place, String(mount[2])) }
        }
        return found.kind.isEmpty ? nil : found.kind
    }

    /// How many bytes the files below a directory have, and the one with the name.
    package static func size(of directory: URL, file name: String) -> (all: Int, file: Int) {
        var all = 0
        var file = 0
        let files = FileManager.default.enumerator(at: directory, includingPropertiesForKeys: [.fileSizeKey])
        while let url = files?.nextObject() as? URL {
            let size = (try? url.resourceValues(forKeys: [.fileSizeKey]).fileSize) ?? 0
            all += size
            if url.lastPathComponent == name { file += size }
        }
        return (all, file)
    }
}

/// What the disk can do for one who waits for it: 4 KiB into a file that has been written before, so that nothing but the data
/// has to become durable.
package final class DiskProbe {
    private static let pageSize = 4096
    private static let pages = 4096
    private let descriptor: CInt
    private let page = [UInt8](repeating: 7, count: DiskProbe.pageSize)
    private var next = 0

    package init(in directory: URL) throws {
        let path = directory.appending(path: "probe").path(percentEncoded: false)
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else { throw Disk.Failure(what: "cannot create \(path)") }
        for number in 0..<Self.pages { try self.write(number) }
        fsync(self.descriptor)
    }

    deinit { close(self.descriptor) }

    /// Writes for as long, and returns how many microseconds each page took.
    package func sample(for time: Duration) throws -> [Double] {
        var latencies: [Double] = []
        let clock = ContinuousClock()
        let end = clock.now + time
        while clock.now < end {
            let before = clock.now
            try self.write(self.next)
            #if canImport(Darwin)
                guard fcntl(self.descriptor, F_FULLFSYNC) == 0 else { throw Disk.Failure(what: "F_FULLFSYNC") }
            #else
                guard fdatasync(self.descriptor) == 0 else { throw Disk.Failure(what: "fdatasync") }
            #endif
            latencies.append((clock.now - before).inSeconds * 1e6)
            self.next = (self.next + 1) % Self.pages
        }
        return latencies
    }

    private func write(_ number: Int) throws {
        guard
            pwrite(self.descriptor, self.page, Self.pageSize, off_t(number * Self.pageSize)) == Self.pageSize
        else { throw Disk.Failure(what: "pwrite") }
    }
}
