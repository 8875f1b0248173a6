import DqliteFraming
import DqliteNode
import DqliteProtocol
import Foundation
import NIOCore
import Testing

/// The command line tool, as processes.
@Suite(.timeLimit(.minutes(2)))
struct CommandLineTests {
    private struct Ended {
        var status: Int32
        var output: String
        var errors: String
    }

    /// Runs the tool to its end.
    private func run(_ arguments: [String]) throws -> Ended {
        let (process, output, errors) = try Tool.start(arguments)
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        let reason = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        return Ended(status: process.terminationStatus, output: text, errors: reason)
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func servesUntilItIsToldToStop(signal: Int32) async throws {
        try await withTemporaryDirectoryAsync { path in
            let (process, output, errors) = try Tool.start([
                "node", "--id", "1", "--address", "127.0.0.1:0", "--data-dir", path + "/node",
            ])
            defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
            let line = Tool.readyLine(output)
            let prefix = "READY id=1 pid=\(process.processIdentifier) address="
            try #require(line.hasPrefix(prefix))
            let address = try #require(NodeAddress(String(line.dropFirst(prefix.count).dropLast())))

            let second = try self.run(["node", "--address", "127.0.0.1:0", "--data-dir", path + "/node"])
            #expect(second.status == 1)
            #expect(second.output == "")
            #expect(second.errors == "dqlite: the directory \(path)/node is in use by another node\n")

            try await TestConnection.with(address) { connection in
                try await connection.send(ByteBuffer(integer: Preface.dqlite, endianness: .little))
                #expect(try await connection.call(OpenRequest(name: "test")) == DatabaseResponse())
                try await connection.exec("CREATE TABLE t (x)")
                kill(process.processIdentifier, signal)
                #expect(await connection.isClosed())
            }
            #expect(output.fileHandleForReading.readDataToEndOfFile() == Data())
            #expect(errors.fileHandleForReading.readDataToEndOfFile() == Data())
            process.waitUntilExit()
            #expect(process.terminationReason == .exit)
            #expect(process.terminationStatus == 0)
        }
    }

    @Test func takesLimits() async throws {
        try await withTemporaryDirectoryAsync { path in
            let (process, output, _) = try Tool.start([
                "node", "--address", "127.0.0.1:0", "--data-dir", path + "/node", "--maximum-transaction-size", "64KiB",
                "--transaction-idle-limit", "30s", "--maximum-transaction-duration", "10min", "--memory-limit",
                "1048576", "--maximum-log-size", "1GiB", "--log-segment-size", "1MiB",
            ])
            defer { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }
            let line = Tool.readyLine(output)
            let host = try #require(line.range(of: "address="))
            let address = try #require(NodeAddress(String(line[host.upperBound...].dropLast())))
            try await TestConnection.with(address) { connection in
                try await connection.send(ByteBuffer(integer: Preface.dqlite, endianness: .little))
                #expect(try await connection.call(OpenRequest(name: "test")) == DatabaseResponse())
                try await connection.exec("CREATE TABLE t (x)")
                let error = await #expect(throws: TestFailure.self) {
                    try await connection.exec("INSERT INTO t VALUES (zeroblob(100000))")
                }
                #expect(error?.failure.message.contains("65536 bytes") == true)
            }
            kill(process.processIdentifier, SIGTERM)
            process.waitUntilExit()
        }
        for bad in ["1 MiB", "-1", "1mb", "9999999999GiB", ""] {
            let ended = try self.run(["node", "--data-dir", "none", "--memory-limit", bad])
            #expect(ended.status == 64)
        }
        let ended = try self.run(["node", "--data-dir", "none", "--memory-limit", "8MiB"])
        #expect(ended.errors == "dqlite: storage.hardMemoryLimit is 8388608, below 134217728\n")
    }

    @Test func saysWhyItCannotStart() throws {
        try withTemporaryDirectory { path in
            let open = try self.run(["node", "--address", "0.0.0.0:0", "--data-dir", path + "/node"])
            #expect(open.status == 1)
            #expect(open.errors.hasPrefix("dqlite: 0.0.0.0:0 can be reached from other machines"))
            #expect(open.errors.split(separator: "\n").count == 1)
            let bad = try self.run(["node", "--address", "127.0.0.1:0", "--data-dir", path + "/a/b/c"])
            #expect(bad.status == 1)
            #expect(bad.errors.hasPrefix("dqlite: cannot create the directory \(path)/a/b/c"))
        }
    }
}
