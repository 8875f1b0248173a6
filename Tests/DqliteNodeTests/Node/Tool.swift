import DqliteNode
import Foundation
import Testing

/// The command line tool that was built with these tests.
enum Tool {
    private static let url: URL = {
        // Tests run from the build's bundle, beside which the products lie.
        var directory = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
        for _ in 0..<4 {
            let candidate = directory.appendingPathComponent("dqlite")
            if FileManager.default.isExecutableFile(atPath: candidate.path) { return candidate }
            directory.deleteLastPathComponent()
        }
        return directory.appendingPathComponent("dqlite")
    }()

    static func start(_ arguments: [String]) throws -> (process: Process, output: Pipe, errors: Pipe) {
        let process = Process()
        process.executableURL = self.url
        process.arguments = arguments
        let output = Pipe()
        let errors = Pipe()
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        return (process, output, errors)
    }

    /// Reads the line that says that a node serves.
    static func readyLine(_ output: Pipe) -> String {
        var line = Data()
        while !line.contains(UInt8(ascii: "\n")) {
            let data = output.fileHandleForReading.availableData
            guard !data.isEmpty else { break }
            line += data
        }
        return String(decoding: line, as: UTF8.self)
    }

    /// Runs a node in a process of its own as long as `body` runs.
    static func withNode(_ body: (NodeProcess) async throws -> Void) async throws {
        try await withTemporaryDirectoryAsync { path in
            let (process, output, _) = try self.start([
                "node", "--id", "1", "--address", "127.0.0.1:0", "--data-dir", path + "/node",
            ])
            defer {
                process.terminate()
                process.waitUntilExit()
            }
            let prefix = "READY id=1 pid=\(process.processIdentifier) address="
            let line = self.readyLine(output)
            try #require(line.hasPrefix(prefix))
            let address = try #require(NodeAddress(String(line.dropFirst(prefix.count).dropLast())))
            try await body(NodeProcess(pid: process.processIdentifier, address: address))
        }
    }
}

/// A node in a process of its own.
struct NodeProcess {
    let pid: Int32
    let address: NodeAddress

    /// Memory that the process has, in bytes.
    func residentSize() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/\(self.pid)/statm", encoding: .utf8).split(separator: " ")
        return try #require(Int(fields[1])) * Int(sysconf(Int32(_SC_PAGESIZE)))
    }
}
