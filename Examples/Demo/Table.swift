import DqliteClient

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

    /// All rows that a node has.
    static func rows(_ connection: DqliteConnection, options: DqliteCallOptions) async throws -> [Row] {
        let rows = try await connection.query("SELECT writer, number, part FROM entry ORDER BY id", options: options)
        var all: [Row] = []
        for try await (writer, number, part) in rows.decode((Int64, Int, Int).self) {
            all.append(Row(write: WriteID(writer: UInt64(writer), number: number), part: part))
        }
        return all
    }
}
