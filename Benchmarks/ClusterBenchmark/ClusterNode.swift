import BenchmarkSupport
import Dispatch
import Foundation
import NodeProcess

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// A node, whether its process runs or not.
final class ClusterNode {
    let id: UInt64
    let port: Int
    private let implementation: Implementation
    private let directory: URL
    /// Address of the node that began the cluster, if it is another.
    private let first: String?
    private var process: ServerProcess?

    init(_ implementation: Implementation, id: UInt64, port: Int, first: String?, in directory: URL) {
        self.implementation = implementation
        self.id = id
        self.port = port
        self.first = first
        self.directory = directory
    }

    var address: String { "127.0.0.1:\(self.port)" }
    private var name: String { "\(self.implementation.rawValue)-\(self.id)" }
    private var log: URL { self.directory.appending(path: self.name + ".log") }
    var isRunning: Bool { self.process?.isRunning ?? false }

    func start() throws {
        self.forget()
        let process = try ServerProcess(
            self.implementation.executable,
            self.implementation.arguments(
                id: self.id, address: self.address, directory: self.directory.appending(path: self.name),
                first: self.first),
            errors: self.log)
        Running.now.began(process.id)
        self.process = process
    }

    func kill() {
        self.process?.kill()
        self.forget()
    }

    /// Asks it to stop, and kills it when it has not after half a minute.
    ///
    /// - Returns: Whether it ended as it should.
    func stop() -> Bool {
        guard let process else { return true }
        let id = process.id
        let impatience = DispatchWorkItem { _ = systemKill(id, SIGKILL) }
        DispatchQueue.global().asyncAfter(deadline: .now() + 30, execute: impatience)
        let status = process.stop()
        impatience.cancel()
        self.forget()
        return status == 0
    }

    private func forget() {
        if let process { Running.now.ended(process.id) }
        self.process = nil
    }

    /// Seconds.
    var processorTime: Double {
        self.process.flatMap { ProcessFigures.processorTime(of: $0.id) } ?? 0
    }

    var memory: ProcessFigures.Memory { self.process.flatMap { ProcessFigures.memory(of: $0.id) } ?? .init() }

    func forgetHighWaterMark() {
        if let process { ProcessFigures.forgetHighWaterMark(of: process.id) }
    }

    /// The end of what it wrote on standard error.
    func lastWords() -> String {
        let text = (try? String(contentsOf: self.log, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").suffix(5).map { "    " + $0 }.joined(separator: "\n")
    }
}

private let systemKill: @Sendable (pid_t, CInt) -> CInt = { kill($0, $1) }
