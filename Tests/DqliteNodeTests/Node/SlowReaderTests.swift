import DqliteFraming
import DqliteNode
import DqliteProtocol
import Foundation
import NIOCore
import Testing

/// A result of 100 MB and a reader that takes its time.
@Suite(.timeLimit(.minutes(3)), .serialized)
struct SlowReaderTests {
    /// 100,000 rows of about 1 KiB.
    private let sql =
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n LIMIT 100000) "
        + "SELECT x, printf('%01000d', x) FROM n"

    /// Memory of this process, in bytes.
    private func residentSize() throws -> Int {
        let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
        return try #require(Int(fields[1])) * 4096
    }

    /// The reader takes a part now and then; the node holds no more than it may, whatever the reader does.
    @Test func dqliteEncoding() async throws {
        try await withNode { node in
            try await node.opened { connection in
                _ = try await connection.query("SELECT 1")
                let before = try self.residentSize()
                try await connection.send(QuerySQLRequest(sql: self.sql))
                var rows = 0
                var frames = 0
                var largest = 0
                var more = true
                while more {
                    if frames % 100 == 0 {
                        // Nobody reads the result now, for as long as somebody else's requests take.
                        try await node.opened { other in
                            for _ in 0..<100 { _ = try await other.query("SELECT 1") }
                        }
                        largest = max(largest, try self.residentSize() - before)
                    }
                    let part: RowsResponse = try await connection.answer()
                    rows += part.values.count / 2
                    frames += 1
                    more = part.more
                }
                #expect(rows == 100_000)
                // Socket buffers are the kernel's; ours, the reader's and what other tests use stay far below the result.
                #expect(largest < 48 << 20)
            }
        }
    }
}
