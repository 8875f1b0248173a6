import Foundation

/// Which process a connection of the loopback interface belongs to, by what Linux tells of it: so nothing of what nodes say
/// to each other has to be understood.
enum SocketOwner {
    /// The inode of the socket with these ports.
    static func inode(local: Int, remote: Int) -> String? {
        for table in ["/proc/net/tcp", "/proc/net/tcp6"] {
            // Linux tells it a page at a time: who stops at the first short read has only some of it.
            guard let text = try? FileHandle(forReadingAtPath: table)?.readToEnd() else { continue }
            for line in String(decoding: text, as: UTF8.self).split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ", omittingEmptySubsequences: true)
                guard fields.count > 9, Self.port(fields[1]) == local, Self.port(fields[2]) == remote else { continue }
                return String(fields[9])
            }
        }
        return nil
    }

    private static func port(_ address: Substring) -> Int? {
        address.split(separator: ":").last.flatMap { Int($0, radix: 16) }
    }

    /// Whether a process has it open.
    static func has(_ process: Int32, _ inode: String) -> Bool {
        let directory = "/proc/\(process)/fd"
        let files = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return files.contains { file in
            (try? FileManager.default.destinationOfSymbolicLink(atPath: "\(directory)/\(file)")) == "socket:[\(inode)]"
        }
    }
}
