public import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A server in a process of its own, which prints a line with `address=HOST:PORT` when it serves.
public final class ServerProcess {
    private let process = Process()
    /// Where it serves, on 127.0.0.1.
    public let port: Int

    /// It ended, or printed something else.
    public struct NotReady: Error { public var line: String }

    /// - Parameter errors: Where to append what it writes on standard error; nil: where this program's goes.
    public init(_ executable: URL, _ arguments: [String], errors: URL? = nil) throws {
        let output = Pipe()
        self.process.executableURL = executable
        self.process.arguments = arguments
        self.process.standardOutput = output
        if let errors {
            let descriptor = open(errors.path(percentEncoded: false), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
            guard descriptor >= 0 else { throw CocoaError(.fileWriteUnknown) }
            let file = FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
            self.process.standardError = file
        }
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

    /// A node on a directory.
    public static func node(on directory: URL, _ arguments: [String] = []) throws -> ServerProcess {
        try ServerProcess(
            Self.binaries.appending(path: "dqlite"),
            [
                "node", "--id", "1", "--address", "127.0.0.1:0", "--data-dir", directory.path(percentEncoded: false),
            ] + arguments)
    }

    /// Where this program and the others lie.
    public static var binaries: URL { URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent() }

    /// Number of the process.
    public var id: pid_t { self.process.processIdentifier }

    /// Whether it has not ended.
    public var isRunning: Bool { self.process.isRunning }

    /// Asks it to stop, and waits until it has. Stopping again does nothing.
    ///
    /// - Returns: The status that it ended with.
    @discardableResult
    public func stop() -> Int32 {
        if self.process.isRunning { self.process.terminate() }
        self.process.waitUntilExit()
        return self.process.terminationStatus
    }

    /// Ends it at once, with nothing that it could still do. If it has ended nothing happens.
    public func kill() {
        guard self.process.isRunning else { return }
        _ = systemKill(self.id, SIGKILL)
        self.process.waitUntilExit()
    }
}

private let systemKill: @Sendable (pid_t, CInt) -> CInt = { kill($0, $1) }
