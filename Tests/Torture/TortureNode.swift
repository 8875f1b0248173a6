import Foundation
import TestSupport
import TortureChecks

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A node in a process of its own, behind a proxy.
actor TortureNode {
    let number: Int
    let proxy: Proxy
    let port: Int
    let disk: Disk?
    private let directory: String
    private let join: Int?
    private let routes: RouteTable
    private var process: ChildProcess?
    /// Faults under which it has nothing to say about how it ends.
    private var isDiskFull = false

    struct Failure: Error, CustomStringConvertible { var description: String }

    /// - Parameter join: Port of the proxy of a node that is in the cluster.
    init(number: Int, directory: String, disk: Disk?, join: Int?, routes: RouteTable) async throws {
        self.number = number
        self.directory = directory
        self.disk = disk
        self.join = join
        self.routes = routes
        self.port = try LoopbackPort().number
        self.proxy = try await Proxy(of: number, target: self.port, routes: routes)
    }

    nonisolated var name: String { "node \(self.number + 1)" }
    nonisolated var log: String { self.directory + ".log" }

    var isRunning: Bool { self.process != nil }

    /// Starts it, unless it runs, and waits until it is ready.
    func start() async throws {
        guard self.process == nil else { return }
        var arguments = [
            "node", "--id", "\(self.number + 1)", "--address", "127.0.0.1:\(self.port)",
            "--advertise", "127.0.0.1:\(self.proxy.port)", "--data-dir", self.directory + "/data",
            // Small files: a disk that is full is felt at the next one.
            "--maximum-log-size", "256MiB", "--log-segment-size", "1MiB",
        ]
        if let join = self.join { arguments += ["--join", "127.0.0.1:\(join)"] }
        let binary = URL(filePath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "dqlite")
        let before = self.logText.count
        let process = try ChildProcess(binary.path(percentEncoded: false), arguments, output: self.log)
        self.process = process
        let deadline = ContinuousClock.now + .seconds(90)
        while self.process === process {
            if self.logText.dropFirst(before).contains("READY ") { return }
            if let status = process.status {
                self.forget()
                // With no room it may not be able to.
                if self.isDiskFull { return }
                throw Failure(
                    description: "\(self.name) did not start, status \(status): \(self.lastWords)")
            }
            if ContinuousClock.now > deadline {
                await self.kill()
                throw Failure(description: "\(self.name) was not ready after 90 s: \(self.lastWords)")
            }
            await pause(.milliseconds(10))
        }
    }

    private var logText: String { (try? String(contentsOfFile: self.log, encoding: .utf8)) ?? "" }

    /// What it printed last, or of a crash where it was.
    private var lastWords: String {
        let lines = self.logText.split(separator: "\n")
        guard let crash = lines.lastIndex(where: { $0.hasSuffix(" crashed:") }) else {
            return lines.suffix(10).joined(separator: "\n")
        }
        return lines[crash...].prefix(8).joined(separator: "\n")
    }

    /// How often it gave up leadership for want of room.
    var handovers: Int {
        self.logText.split(separator: "\n").count {
            $0.contains("There is no room for the log: leadership is handed over")
        }
    }

    private func forget() {
        self.process = nil
    }

    /// Ends it at once.
    func kill() async {
        guard let process = self.process else { return }
        self.forget()
        await process.kill()
    }

    /// Asks it to end, and waits until it has.
    func stop() async throws {
        guard let process = self.process else { return }
        self.forget()
        process.signal(SIGTERM)
        guard let status = await process.end(within: .seconds(60)) else {
            await process.kill()
            throw Failure(description: "\(self.name) did not end within 60 s of SIGTERM")
        }
        if status != 0, !self.isDiskFull {
            throw Failure(
                description: "\(self.name) ended with status \(status) after SIGTERM: \(self.lastWords)")
        }
    }

    /// Stops it where it is.
    ///
    /// - Returns: What is to be told to go on.
    func suspend() -> ChildProcess? {
        self.process?.signal(SIGSTOP)
        return self.process
    }

    func fillDisk() {
        self.isDiskFull = true
        self.disk?.fill()
    }

    func emptyDisk() {
        self.disk?.empty()
        self.isDiskFull = false
    }

    /// Whether it has ended although nobody wanted it to. It can be started again then.
    func hasEnded() -> String? {
        guard let process = self.process, let status = process.status else { return nil }
        self.forget()
        return self.isDiskFull
            ? "" : "\(self.name) ended by itself with status \(status): \(self.lastWords)"
    }
}
