import DqliteLog
import DqliteRaft
import Foundation

@testable import DqliteEngine
@testable import DqliteNode

/// A snapshot as it was copied, to be received as often as wanted.
struct SnapshotContent {
    struct File {
        var name: String
        var size: Int
        var chunks: [[UInt8]] = []
        var intent = LogIndex.zero
    }

    var metadata: SnapshotMetadata
    var files: [File] = []
    var newestIntent = LogIndex.zero

    static let configuration = Configuration(servers: [
        Configuration.Server(id: NodeID(1), address: "127.0.0.1:9001", role: .voter),
        Configuration.Server(id: NodeID(2), address: "127.0.0.1:9002", role: .voter),
    ])

    /// Copies the databases of a node that runs.
    ///
    /// - Parameter between: Called before each read, with the names of the files that are still to be read to their ends.
    init(
        of node: SimulatedNode, chunkSize: Int = 8192, between: (String, Int) throws -> Void = { _, _ in }
    ) throws {
        let (engine, log) = (node.engine!, node.log!)
        var held: LogIndex?
        let copy = try engine.beginCopy { held = $0 }
        precondition(held == copy.start, "who holds the log is told where the copy starts")
        self.metadata = Self.metadata(at: copy.start, term: log.term(of: copy.start)!)
        var buffer = [UInt8](repeating: 0, count: chunkSize)
        while let next = try copy.nextFile() {
            var file = File(name: next.name, size: next.size)
            while true {
                try between(next.name, file.chunks.count)
                let count = try Self.read(copy, into: &buffer)
                if count == 0 { break }
                file.chunks.append(Array(buffer[..<count]))
            }
            file.intent = try copy.endFile()
            self.files.append(file)
        }
        self.newestIntent = copy.finish()
    }

    static func metadata(at index: LogIndex, term: Term) -> SnapshotMetadata {
        SnapshotMetadata(
            index: index, term: term, configuration: Self.configuration,
            configurationIndex: LogIndex(min(1, index.rawValue)))
    }

    private static func read(_ copy: EngineCopy, into buffer: inout [UInt8]) throws -> Int {
        let result = buffer.withUnsafeMutableBytes { bytes -> Result<Int, EngineError> in
            do throws(EngineError) { return .success(try copy.read(into: bytes)) } catch { return .failure(error) }
        }
        return try result.get()
    }

    /// Receives it.
    func receive(
        in directory: DataDirectory, step: @escaping InstallationStepHook = { _ in }
    ) throws -> SnapshotInstallation {
        let incoming = try IncomingSnapshot(in: directory, metadata: self.metadata, maximumDatabases: 16, step: step)
        for file in self.files {
            try incoming.beginFile(file.name, size: UInt64(file.size))
            var offset = 0
            for chunk in file.chunks {
                try incoming.write(chunk, at: UInt64(offset))
                offset += chunk.count
            }
            try incoming.endFile(intent: file.intent)
        }
        return try incoming.finish(newestIntent: self.newestIntent)
    }
}

extension IncomingSnapshot {
    func write(_ bytes: [UInt8], at offset: UInt64) throws {
        let result = bytes.withUnsafeBytes { bytes -> Result<Void, SnapshotError> in
            do throws(SnapshotError) {
                return .success(try self.write(bytes, at: offset))
            } catch {
                return .failure(error)
            }
        }
        try result.get()
    }
}
