import Foundation

/// A server in a process of its own, which prints a line with `address=HOST:PORT` when it serves.
final class ServerProcess {
    private let process = Process()
    let port: Int

    struct NotReady: Error { var line: String }

    init(_ executable: URL, _ arguments: [String]) throws {
        let output = Pipe()
        self.process.executableURL = executable
        self.process.arguments = arguments
        self.process.standardOutput = output
        try self.process.run()
        var line = ""
        while !line.hasSuffix("\n"), let byte = try output.fileHandleForReading.read(upToCount: 1), !byte.isEmpty {
            line += String(decoding: byte, as: UTF8.self)
        }
        guard let colon = line.lastIndex(of: ":"),
            let port = Int(line[line.index(after: colon)...].trimmingCharacters(in: .whitespacesAndNewlines))
        else {
            self.process.terminate()
            throw NotReady(line: line)
        }
        self.port = port
    }

    func stop() {
        self.process.terminate()
        self.process.waitUntilExit()
    }
}
