/// What is done again and again.
enum Work: Sendable {
    /// One row, which is a transaction of its own.
    case row
    /// A transaction of many rows, each inserted by a statement of its own.
    case transaction
    /// A transaction of many rows, inserted by one statement.
    case transactionOfOneStatement

    static let rowsPerTransaction = 100

    /// A row of about 90 bytes, its key given by SQLite.
    static let schema = """
        CREATE TABLE IF NOT EXISTS entry (
            id INTEGER PRIMARY KEY, account INTEGER NOT NULL, amount REAL NOT NULL, note TEXT NOT NULL
        )
        """

    /// Inserts that many rows.
    static func insert(rows: Int) -> String {
        "INSERT INTO entry (account, amount, note) VALUES "
            + repeatElement("(?, ?, ?)", count: rows).joined(separator: ", ")
    }

    static func account(_ number: Int) -> Int64 { Int64(number % 1_000_003) }
    static func amount(_ number: Int) -> Double { Double(number % 9973) / 4 }
    static let note = String(repeating: "a note of seventy-two bytes. ", count: 3).prefix(72).description
}
