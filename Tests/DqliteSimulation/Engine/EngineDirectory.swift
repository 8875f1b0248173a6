import Foundation

/// Where the engine of a simulated machine has its file: the same bytes as on the simulated disk, as long as a process runs.
final class EngineDirectory {
    let path: String

    init() { self.path = "\(Self.parent)/\(Self.prefix)\(getpid())-\(UUID().uuidString)" }

    private static let prefix = "dqlite-simulation-"

    /// Where the system has files in memory, if it does. What processes have left there that were killed is removed.
    private static let parent: String = {
        let memory = "/dev/shm"
        let files = FileManager.default
        guard files.isWritableFile(atPath: memory) else { return files.temporaryDirectory.path }
        for name in (try? files.contentsOfDirectory(atPath: memory)) ?? [] where name.hasPrefix(EngineDirectory.prefix)
        {
            guard
                let process = name.dropFirst(EngineDirectory.prefix.count).split(separator: "-").first
                    .flatMap({ Int32($0) }),
                kill(process, 0) != 0, errno == ESRCH
            else { continue }
            try? files.removeItem(atPath: "\(memory)/\(name)")
        }
        return memory
    }()

    deinit { try? FileManager.default.removeItem(atPath: self.path) }

    /// Has a process find what is on the disk.
    ///
    /// - Parameter content: nil or nothing: there is no file.
    func write(_ content: [UInt8]?, as name: String) throws {
        try FileManager.default.createDirectory(atPath: self.path, withIntermediateDirectories: true)
        let file = "\(self.path)/\(name)"
        if let content, !content.isEmpty {
            guard FileManager.default.createFile(atPath: file, contents: Data(content)) else {
                throw CocoaError(.fileWriteUnknown)
            }
        } else if FileManager.default.fileExists(atPath: file) {
            try FileManager.default.removeItem(atPath: file)
        }
    }
}
