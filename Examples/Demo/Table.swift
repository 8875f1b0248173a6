import CSQLite
import DqliteClient
import Foundation

/// The table that all writers insert into. Nothing in it keeps a row from being there twice: that is for the cluster to see to.
enum Table {
    static let database = "demo.db"

    static let create: DqliteQuery = """
        CREATE TABLE IF NOT EXISTS entry (
            id INTEGER PRIMARY KEY, writer INTEGER NOT NULL, number INTEGER NOT NULL, part INTEGER NOT NULL
        )
        """

    /// Inserts one of the rows of a write.
    static func insert(_ write: WriteID, part: Int) -> DqliteQuery {
        "INSERT INTO entry (writer, number, part) VALUES (\(write.writer), \(write.number), \(part))"
    }

    /// A row without its id.
    struct Row: Hashable {
        var write: WriteID
        var part: Int
    }

    /// All rows in a database file, read by SQLite itself.
    static func rows(in file: URL) throws -> [Row] {
        var database: OpaquePointer?
        var statement: OpaquePointer?
        defer {
            sqlite3_finalize(statement)
            sqlite3_close(database)
        }
        guard sqlite3_open(file.path(percentEncoded: false), &database) == SQLITE_OK,
            sqlite3_prepare_v2(database, "SELECT writer, number, part FROM entry", -1, &statement, nil) == SQLITE_OK
        else { throw Play.Failure(description: "\(file): \(String(cString: sqlite3_errmsg(database)))") }
        var rows: [Row] = []
        while true {
            switch sqlite3_step(statement) {
            case SQLITE_ROW:
                let (writer, number) = (sqlite3_column_int64(statement, 0), sqlite3_column_int64(statement, 1))
                let write = WriteID(writer: UInt64(writer), number: Int(number))
                rows.append(Row(write: write, part: Int(sqlite3_column_int64(statement, 2))))
            case SQLITE_DONE: return rows
            default: throw Play.Failure(description: "\(file): \(String(cString: sqlite3_errmsg(database)))")
            }
        }
    }
}
