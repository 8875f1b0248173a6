import DqliteClient
import NIOCore
import TestSupport

/// What clients read.
struct Dataset: Sendable {
    var rows: Int
    let blob: ByteBuffer

    init(rows: Int) {
        self.rows = rows
        var random = SeededRandom(seed: 1)
        var blob = ByteBuffer()
        for _ in 0..<Workload.blobSize / 8 { blob.writeInteger(random.next()) }
        self.blob = blob
    }

    func fill(_ connection: DqliteConnection, for workloads: [Workload]) async throws {
        if workloads.contains(where: { [.selects, .mix, .scan].contains($0) }) {
            try await self.fillItems(connection)
        }
        guard workloads.contains(.blobReads) else { return }
        try await connection.execute("CREATE TABLE blob (id INTEGER PRIMARY KEY, data BLOB NOT NULL)")
        for _ in 0..<Workload.blobs { try await connection.execute("INSERT INTO blob (data) VALUES (\(self.blob))") }
    }

    private func fillItems(_ connection: DqliteConnection) async throws {
        let rowsPerInsert = 100
        try await connection.execute("CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT NOT NULL, price REAL)")
        let values = repeatElement("(?, ?)", count: rowsPerInsert).joined(separator: ", ")
        let insert = try await connection.prepare("INSERT INTO item (name, price) VALUES \(values)")
        for start in stride(from: 1, through: self.rows, by: rowsPerInsert * 10) {
            try await connection.withTransaction { _ in
                for first in stride(from: start, to: start + rowsPerInsert * 10, by: rowsPerInsert) {
                    var bindings = DqliteBindings()
                    for id in first..<first + rowsPerInsert {
                        bindings.append(.text("item \(id)"))
                        bindings.append(.real(Double(id) / 4))
                    }
                    try await insert.execute(bindings: bindings)
                }
            }
        }
        try await insert.close()
    }
}
