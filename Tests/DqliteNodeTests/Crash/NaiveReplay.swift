import DqliteLog
import DqliteProtocol
import DqliteRaft
import DqliteWire
import Foundation

/// The content of databases after entries of a log, put together page by page, without anything of the engine.
struct NaiveReplay {
    private struct Database {
        var pages: [UInt32: ArraySlice<UInt8>] = [:]
        var size: UInt32 = 0
    }

    private static let pageSize = 4096
    private var databases: [String: Database] = [:]
    private(set) var entries = 0

    mutating func apply(_ data: [UInt8]) throws {
        let command = try data.withUnsafeBytes { bytes in
            var reader = WordReader(bytes, message: "FramesCommand")
            return try FramesCommand(dqlite: &reader, revision: 0)
        }
        var database = self.databases[command.name] ?? Database()
        for (position, number) in command.pageNumbers.enumerated() {
            let page = command.pages[position * Self.pageSize..<(position + 1) * Self.pageSize]
            if number == 1 { database.size = page.dropFirst(28).prefix(4).reduce(0) { $0 << 8 | UInt32($1) } }
            database.pages[UInt32(number)] = page
        }
        // What is cut off is not there any more when the database grows again.
        let size = database.size
        if database.pages.count > Int(size) { database.pages = database.pages.filter { $0.key <= size } }
        self.databases[command.name] = database
        self.entries += 1
    }

    /// All entries of a log.
    mutating func apply(_ log: Log) throws {
        let status = log.status
        var index = status.firstIndex
        while index <= status.lastIndex {
            for entry in try log.entries(in: index...status.lastIndex, maximumSize: 4 << 20) {
                if entry.kind == .command { try self.apply(entry.data) }
                index = entry.index.next
            }
        }
    }

    var files: [String: Data] {
        self.databases.mapValues { database in
            var file = Data(capacity: Int(database.size) * Self.pageSize)
            let zeros = [UInt8](repeating: 0, count: Self.pageSize)
            for number in 0..<database.size { file += database.pages[number + 1] ?? zeros[...] }
            return file
        }
    }

    /// What is different in files that should be the same; nil: nothing.
    func differences(from files: [String: Data]) -> String? {
        let expected = self.files
        if expected == files { return nil }
        var differences = Set(expected.keys).symmetricDifference(files.keys).sorted().map { "\($0) is missing, or new" }
        for (name, file) in expected {
            guard let other = files[name], other != file else { continue }
            let pages = stride(from: 0, to: min(file.count, other.count), by: Self.pageSize).filter { start in
                file.dropFirst(start).prefix(Self.pageSize) != other.dropFirst(start).prefix(Self.pageSize)
            }.map { $0 / Self.pageSize + 1 }
            differences.append("\(name) has \(other.count) bytes, not \(file.count), and others in pages \(pages)")
        }
        return differences.joined(separator: "; ")
    }
}
