import Foundation

/// Where the engine of a simulated machine has its file: the same bytes as on the simulated disk, as long as a process runs.
final class EngineDirectory {
    let path: String

    init() {
        // Where the system has files in memory.
        let memory = "/dev/shm"
        let parent =
            FileManager.default.isWritableFile(atPath: memory)
            ? memory : FileManager.default.temporaryDirectory.path
        self.path = "\(parent)/dqlite-simulation-\(UUID().uuidString)"
    }

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
