import ArgumentParser

/// What clients do again and again.
enum Workload: String, CaseIterable, ExpressibleByArgument, Sendable {
    case inserts, selects, transactions, bulk, mix, scan
    case blobInserts = "blob-inserts"
    case blobReads = "blob-reads"

    static let rowsPerTransaction = 100
    static let blobSize = 1 << 20
    static let blobs = 16

    var title: String {
        switch self {
        case .inserts: "insert of a row"
        case .selects: "select of a row"
        case .transactions: "transaction, \(Self.rowsPerTransaction) INSERTs"
        case .bulk: "transaction, 1 INSERT of \(Self.rowsPerTransaction)"
        case .mix: "80 % selects, 20 % inserts"
        case .scan: "rows of a full scan"
        case .blobInserts: "insert of a 1 MiB blob"
        case .blobReads: "read of a 1 MiB blob"
        }
    }

    func clients(isQuick: Bool) -> [Int] {
        switch self {
        case .scan: [1]
        case .blobInserts, .blobReads: [1, 4]
        default: isQuick ? [1, 16] : [1, 4, 16, 64]
        }
    }

    /// Whether each round begins with an empty table.
    var writes: Bool {
        switch self {
        case .selects, .scan, .blobReads: false
        default: true
        }
    }

    // MARK: SQL

    /// A row of about 90 bytes, its key given by SQLite.
    static let schema = [
        """
        CREATE TABLE IF NOT EXISTS entry (
            id INTEGER PRIMARY KEY, account INTEGER NOT NULL, amount REAL, note TEXT NOT NULL
        )
        """,
        "CREATE TABLE IF NOT EXISTS new_blob (id INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    ]
    /// Empties the table of rows, when it is done until it changes nothing. Debian's SQLite overwrites what is deleted, and a
    /// transaction must not write too much; blobs stay for that reason.
    static let deleteSome = "DELETE FROM entry WHERE id IN (SELECT id FROM entry LIMIT 100000)"
    static let note = String(repeating: "a note of seventy-two bytes. ", count: 3).prefix(72).description

    /// What a client prepares to write, if it does.
    var insert: String? {
        switch self {
        case .inserts, .transactions, .mix: "INSERT INTO entry (account, amount, note) VALUES (?, ?, ?)"
        // Two parameters for a row: a request of C dqlite 1.11 carries 255 at most.
        case .bulk:
            "INSERT INTO entry (account, note) VALUES "
                + repeatElement("(?, ?)", count: Self.rowsPerTransaction).joined(separator: ", ")
        case .blobInserts: "INSERT INTO new_blob (data) VALUES (?)"
        case .selects, .scan, .blobReads: nil
        }
    }

    /// What a client prepares to read, if it does.
    var select: String? {
        switch self {
        case .selects, .mix: "SELECT id, name, price FROM item WHERE id = ?"
        case .scan: "SELECT id, name, price FROM item"
        case .blobReads: "SELECT data FROM blob WHERE id = ?"
        case .inserts, .transactions, .bulk, .blobInserts: nil
        }
    }
}
