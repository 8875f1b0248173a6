import DqliteClient
import Logging
import NIOCore
import TortureChecks

/// Whether all nodes have the same at the end.
struct Convergence {
    let nodes: [TortureNode]
    let databases: [String]
    let run: RunState

    /// Waits until the files of the databases are the same, byte by byte, on every node.
    func check() async {
        for database in self.databases {
            let deadline = ContinuousClock.now + .seconds(120)
            var problem: String?
            repeat {
                let before = problem
                problem = await self.problem(database)
                if let problem, problem != before { say("\(database): \(problem)") }
                if problem != nil { await pause(.milliseconds(250)) }
            } while problem != nil && ContinuousClock.now < deadline
            if let problem { self.run.violated(Violation(.divergence, "\(database): \(problem)")) }
        }
    }

    private func problem(_ database: String) async -> String? {
        var first: [DqliteFile]?
        for node in self.nodes {
            let files: [DqliteFile]
            do {
                files = try await self.dump(database, of: node)
            } catch {
                return "\(node.name) does not give it: \(String(reflecting: error))"
            }
            guard let expected = first else {
                first = files
                continue
            }
            for (mine, other) in zip(expected, files) where mine != other {
                return "\(mine.name) differs: \(Self.difference(mine.content, other.content)) "
                    + "between \(self.nodes[0].name) and \(node.name)"
            }
            if expected.count != files.count { return "\(files.count) files on \(node.name), not \(expected.count)" }
        }
        return nil
    }

    private func dump(_ database: String, of node: TortureNode) async throws -> [DqliteFile] {
        // In the other encoding a dump is at most 64 MiB.
        var configuration = DqliteConnectionConfiguration(encoding: .dqlite)
        configuration.maximumFrameSize = 1 << 30
        configuration.callTimeout = .seconds(30)
        let connection = try await DqliteConnection.connect(
            to: .hostname("127.0.0.1", port: node.port), configuration: configuration,
            logger: Logger(label: "torture"))
        do {
            let files = try await connection.dump(database)
            await connection.close()
            return files
        } catch {
            await connection.close()
            throw error
        }
    }

    private static func difference(_ first: ByteBuffer, _ second: ByteBuffer) -> String {
        if first.readableBytes != second.readableBytes {
            return "\(first.readableBytes) and \(second.readableBytes) bytes"
        }
        let pages = stride(from: 0, to: first.readableBytes, by: 4096).filter { offset in
            let length = min(4096, first.readableBytes - offset)
            return first.getSlice(at: first.readerIndex + offset, length: length)
                != second.getSlice(at: second.readerIndex + offset, length: length)
        }
        return "\(pages.count) pages, \(pages.prefix(5).map { $0 / 4096 + 1 })"
    }
}
