import DqliteClient
import Logging

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

// Creates, fills and queries a table on a running node, in each encoding of the protocol. Can be run again.
//
//     demo HOST:PORT [protobuf | dqlite]
//
// Without the name of an encoding: both. Nodes of the C implementation speak the dqlite encoding only.

/// Something that the node answered is not what it should be.
struct Mismatch: Error, CustomStringConvertible {
    var description: String
}

func expect<Value: Equatable>(_ value: Value, _ expected: Value, _ what: String) throws {
    guard value == expected else { throw Mismatch(description: "\(what): \(value) instead of \(expected)") }
}

/// A line of the story: what was done and how long it took.
func tell<Value>(_ what: String, _ body: () async throws -> Value) async throws -> Value {
    let clock = ContinuousClock()
    let start = clock.now
    let value = try await body()
    print("  \(microseconds(clock.now - start))  \(what)")
    return value
}

/// A duration in microseconds, right-aligned.
func microseconds(_ duration: Duration) -> String {
    let (seconds, attoseconds) = duration.components
    let text = "\(seconds * 1_000_000 + attoseconds / 1_000_000_000_000) µs"
    return String(repeating: " ", count: max(0, 10 - text.count)) + text
}

enum Genre: String, DqliteCodable {
    case novel
    case poetry
    case science
}

func visit(_ address: DqliteServerAddress, encoding: DqliteConnectionConfiguration.Encoding) async throws {
    print("\nOver the \(encoding) encoding:")
    try await DqliteConnection.withConnection(
        to: address, database: "library", configuration: DqliteConnectionConfiguration(encoding: encoding),
        logger: Logger(label: "demo")
    ) { connection in
        try await tell("create a table") {
            try await connection.execute("DROP TABLE IF EXISTS books")
            try await connection.execute(
                """
                CREATE TABLE books (
                    id INTEGER PRIMARY KEY, title TEXT NOT NULL UNIQUE, genre TEXT NOT NULL, price REAL, cover BLOB
                )
                """)
        }

        // Interpolated values are parameters: this title is stored, not run.
        let title = "Robert'); DROP TABLE books; --"
        let inserted = try await tell("insert a row by interpolation") {
            try await connection.execute(
                "INSERT INTO books (title, genre, price, cover) VALUES (\(title), \(Genre.novel), \(12.5), \([1, 2, 255] as [UInt8]))"
            )
        }
        try expect(inserted, DqliteExecuteResult(lastInsertRowID: 1, changes: 1), "result of INSERT")

        let count = 1000
        try await tell("insert \(count) rows with a prepared statement, in one transaction") {
            try await connection.withTransaction { transaction in
                let sql = "INSERT INTO books (title, genre, price) VALUES (?, ?, ?)"
                try await transaction.withPreparedStatement(sql) { insert in
                    for number in 1...count {
                        let genre: Genre = number.isMultiple(of: 2) ? .poetry : .science
                        let price = number.isMultiple(of: 10) ? nil : Double(number) / 4
                        try await insert.execute("Volume \(number)", genre, price)
                    }
                }
            }
        }

        try await tell("roll a transaction back because its closure throws") {
            struct ChangedMyMind: Error {}
            do throws(DqliteTransactionError) {
                try await connection.withTransaction { transaction in
                    try await transaction.execute("DELETE FROM books")
                    throw ChangedMyMind()
                }
            } catch {
                guard error.closureError is ChangedMyMind else { throw error }
                try expect(error.outcome, .notCommitted, "outcome of the transaction")
            }
        }

        let total = try await tell("count the rows") {
            try await connection.query("SELECT count(*) FROM books").decode(Int.self).collect()
        }
        try expect(total, [count + 1], "number of rows")

        let sum = try await tell("read all of them, each decoded into a tuple") {
            var sum = 0.0
            var unpriced = 0
            let rows = try await connection.query("SELECT id, title, genre, price, cover FROM books ORDER BY id")
            for try await (id, name, genre, price, cover)
                in rows.decode((Int64, String, Genre, Double?, [UInt8]?).self)
            {
                if id == 1 {
                    try expect(name, title, "title")
                    try expect(genre, .novel, "genre")
                    try expect(cover, [1, 2, 255], "cover")
                }
                if let price { sum += price } else { unpriced += 1 }
            }
            try expect(unpriced, count / 10, "rows without a price")
            return sum
        }
        let sums = try await connection.query("SELECT sum(price) FROM books").decode(Double.self).collect()
        try expect(sums, [sum], "sum of the prices")

        try await tell("be told about a violated constraint, with SQLite's extended code") {
            do {
                try await connection.execute("INSERT INTO books (title, genre) VALUES (\(title), \(Genre.novel))")
                throw Mismatch(description: "the same title was accepted twice")
            } catch let error as DqliteError {
                try expect(error.server?.extendedResultCode, 2067, "result code")
                try expect(error.outcome, .notCommitted, "outcome")
            }
        }

        try await tell("leave a result of a million rows after ten of them, and go on") {
            let rows = try await connection.query(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) SELECT i FROM n")
            var expected = 1
            for try await number in rows.decode(Int.self) {
                try expect(number, expected, "number")
                if expected == 10 { break }
                expected += 1
            }
            // The node has stopped, or the rest has been passed over, before this is answered.
            let next = try await connection.query("SELECT 1").decode(Int.self).collect()
            try expect(next, [1], "SELECT 1")
        }

        let prepared = try await tell("select one row 200 times, prepared") {
            try await connection.withPreparedStatement("SELECT title FROM books WHERE id = ?") { select in
                var titles: [String] = []
                for id in 2...201 { titles += try await select.query(id).decode(String.self).collect() }
                return titles
            }
        }
        try expect(prepared, (1...200).map { "Volume \($0)" }, "titles")
    }
}

let encodings: [String: DqliteConnectionConfiguration.Encoding] = ["protobuf": .protobuf, "dqlite": .dqlite]
let arguments = CommandLine.arguments.dropFirst()
guard let address = arguments.first.flatMap({ DqliteServerAddress($0) }), arguments.count <= 2,
    arguments.count == 1 || encodings[arguments.last!] != nil
else {
    print("usage: demo HOST:PORT [protobuf | dqlite]")
    exit(2)
}
do {
    print("A Swift client meets the node at \(address).")
    let chosen = arguments.dropFirst().first
    for name in ["protobuf", "dqlite"] where chosen == nil || chosen == name {
        guard let encoding = encodings[name] else { continue }
        try await visit(address, encoding: encoding)
    }
    print("\nEverything was as it should be.")
} catch {
    print("\nfailed: \(String(reflecting: error))")
    exit(1)
}
