import DqliteClient
import Foundation
import Logging
import Testing

/// The example of README.md, compiled.
private func example(logger: Logger) async throws {
    // README
    try await DqliteConnection.withConnection(
        to: .hostname("127.0.0.1", port: 9001), database: "library.db", logger: logger
    ) { connection in
        try await connection.execute("CREATE TABLE book (id INTEGER PRIMARY KEY, title TEXT NOT NULL, year INTEGER)")

        // Whatever is interpolated becomes a parameter, never SQL text.
        let title = "A Wizard of Earthsea"
        try await connection.withTransaction { transaction in
            try await transaction.execute("INSERT INTO book (title, year) VALUES (\(title), \(1968))")
        }

        // Rows arrive as they are read: a slow loop slows the node down, not its memory up.
        let rows = try await connection.query("SELECT title, year FROM book WHERE year < \(1970)")
        for try await row in rows {
            let (title, year) = try row.decode((String, Int?).self)
            print(title, year ?? 0)
        }
    }
    // README
}

@Suite struct ReadmeTests {
    @Test func `The example in the README is the one that is compiled`() throws {
        let source = URL(filePath: #filePath)
        let root = source.deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        let parts = readme.components(separatedBy: "```swift\nimport DqliteClient\n\n")
        try #require(parts.count == 2)
        let shown = parts[1].components(separatedBy: "```")[0]
        let text = try String(contentsOf: source, encoding: .utf8)
        let compiled = text.components(separatedBy: "    // README\n")
        try #require(compiled.count >= 3)
        let lines = compiled[1].components(separatedBy: "\n").map {
            $0.hasPrefix("    ") ? String($0.dropFirst(4)) : $0
        }
        #expect(lines.joined(separator: "\n") == shown)
    }
}
