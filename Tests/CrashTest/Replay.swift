import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Foundation

/// The content of databases after a log, put together page by page, without anything of the engine.
enum Replay {
    static let pageSize = 4096

    struct Gap: Error { var index: LogIndex }

    /// - Parameter directories: Where the segments of one log are.
    static func databases(of directories: [URL], scratch: URL) throws -> (files: [String: Data], entries: UInt64) {
        try FileManager.default.createDirectory(at: scratch, withIntermediateDirectories: true)
        for directory in directories {
            for file in try FileManager.default.contentsOfDirectory(at: directory, includingPropertiesForKeys: nil) {
                try FileManager.default.copyItem(at: file, to: scratch.appending(path: file.lastPathComponent))
            }
        }
        let log = try Log(directory: scratch.path(percentEncoded: false))
        defer { log.close() }
        let status = log.status
        guard status.firstIndex == LogIndex(1) else { throw Gap(index: status.firstIndex) }
        var pages: [String: [UInt32: [UInt8]]] = [:]
        var sizes: [String: Int] = [:]
        var index = status.firstIndex
        while index <= status.lastIndex {
            for entry in try log.entries(in: index...status.lastIndex, maximumSize: 8 << 20) {
                index = entry.index.next
                guard entry.kind == .command else { continue }
                let command = try entry.data.withUnsafeBytes { bytes in
                    var reader = WordReader(bytes, message: "FramesCommand")
                    return try FramesCommand(dqlite: &reader, revision: 0)
                }
                for (position, number) in command.pageNumbers.enumerated() {
                    let page = Array(command.pages[position * self.pageSize..<(position + 1) * self.pageSize])
                    if number == 1 { sizes[command.name] = page[28..<32].reduce(0) { $0 << 8 | Int($1) } }
                    pages[command.name, default: [:]][UInt32(number)] = page
                }
                // What is cut off is not there any more when the database grows again.
                if let size = sizes[command.name], let highest = pages[command.name]?.keys.max(), Int(highest) > size {
                    pages[command.name] = pages[command.name]?.filter { Int($0.key) <= size }
                }
            }
        }
        var files: [String: Data] = [:]
        for (name, pages) in pages {
            var file = Data(capacity: sizes[name]! * self.pageSize)
            for number in 1...UInt32(sizes[name]!) {
                file += pages[number] ?? [UInt8](repeating: 0, count: self.pageSize)
            }
            files[name] = file
        }
        return (files, status.lastIndex.rawValue)
    }
}
