import DqliteClient
import Logging
import TestSupport

/// A client that writes until its node is gone.
actor Worker {
    let number: Int64
    let database: String
    private let encoding: DqliteConnectionConfiguration.Encoding
    private var random: SeededRandom
    private var nextTicket: Int64
    private(set) var model = Model()

    init(number: Int, database: String, seed: UInt64) {
        self.number = Int64(number)
        self.database = database
        self.encoding = number.isMultiple(of: 2) ? .protobuf : .dqlite
        self.random = SeededRandom(seed: seed &+ UInt64(number) &* 7919)
        self.nextTicket = Int64(number) * 1_000_000_000 + 1
    }

    static let schema = """
        CREATE TABLE IF NOT EXISTS part (ticket INTEGER, part INTEGER, body BLOB, PRIMARY KEY (ticket, part)) WITHOUT ROWID;
        CREATE TABLE IF NOT EXISTS row (id INTEGER PRIMARY KEY, ticket INTEGER, body BLOB);
        CREATE TABLE IF NOT EXISTS bank (account INTEGER PRIMARY KEY, balance INTEGER);
        INSERT OR IGNORE INTO bank SELECT value, 100 FROM json_each('[0,1,2,3,4,5,6,7]')
        """

    func run(port: Int) async {
        do {
            let connection = try await DqliteConnection.connect(
                to: .hostname("127.0.0.1", port: port), database: self.database,
                configuration: .init(encoding: self.encoding), logger: Logger(label: "crash-test"))
            while await self.step(connection) {}
            await connection.close()
        } catch {}
    }

    /// Notes what must be as if a ticket had been acknowledged that was not: the check has to find it.
    ///
    /// - Returns: The problem that it has to name.
    func pretend() -> String {
        let number = self.ticket()
        self.model.write(number, .init(fate: .present, parts: 1))
        return Model.mismatch(number, self.model.tickets[number]!, isThere: true, found: 0)
    }

    func check(parts: [Int64: Int], tables: Set<Int64>) -> [String] { self.model.check(parts: parts, tables: tables) }

    private func ticket() -> Int64 {
        defer { self.nextTicket += 1 }
        return self.nextTicket
    }

    /// One transaction.
    ///
    /// - Returns: false when the connection is gone.
    private func step(_ connection: DqliteConnection) async -> Bool {
        let number = self.ticket()
        var ticket = Model.Ticket(fate: .unknown, parts: 1 + self.random.below(4))
        var statements: [String] = []
        var rollsBack = false
        switch self.random.below(14) {
        case 0..<5: statements = []
        case 5:
            // More than the cache holds.
            ticket.parts = 30
        case 6:
            // The largest, so that the database does not grow for ever.
            if let victim = self.model.tickets
                .filter({ $0.value.fate == .present && self.model.deletedBy[$0.key] == nil })
                .max(by: { ($0.value.parts, $1.key) < ($1.value.parts, $0.key) })?
                .key
            {
                ticket.deletes = victim
                statements = ["DELETE FROM part WHERE ticket = \(victim)"]
            }
        case 7:
            ticket.createsTable = true
            statements = [
                "CREATE TABLE table_\(number) (a, b)", "CREATE INDEX index_\(number) ON table_\(number) (b)",
                "INSERT INTO table_\(number) VALUES (1, randomblob(5000))",
                "ALTER TABLE table_\(number) ADD COLUMN c DEFAULT 7",
            ]
        case 8:
            let (from, to) = (self.random.below(8), self.random.below(8))
            statements = [
                "UPDATE bank SET balance = balance - 1 WHERE account = \(from)",
                "UPDATE bank SET balance = balance + 1 WHERE account = \(to)",
            ]
        case 9:
            statements = [
                "SAVEPOINT s", "INSERT INTO part VALUES (\(number), 1000, randomblob(20000))",
                "DELETE FROM row", "ROLLBACK TO s", "RELEASE s",
            ]
        case 10: rollsBack = true
        case 11: return await self.scratch(connection)
        default:
            statements = [
                "INSERT INTO row (ticket, body) SELECT \(number), randomblob(300) FROM json_each('[1,2,3,4,5,6,7,8]')",
                "UPDATE row SET body = randomblob(900) WHERE id % 7 = \(self.random.below(7))",
                "DELETE FROM row WHERE id % 11 = \(self.random.below(11))",
            ]
        }
        for part in 0..<ticket.parts {
            let size = ticket.parts == 30 ? 100_000 : [10, 500, 9000, 60_000][self.random.below(4)]
            statements.append("INSERT INTO part VALUES (\(number), \(part), randomblob(\(size)))")
        }
        let isOneRequest = !rollsBack && self.random.below(2) == 0
        let (fate, isAlive) = await self.transact(
            connection, statements, rollsBack: rollsBack, isOneRequest: isOneRequest)
        ticket.fate = fate
        self.model.write(number, ticket)
        return isAlive
    }

    private struct RollsBack: Error {}

    private func transact(
        _ connection: DqliteConnection, _ statements: [String], rollsBack: Bool, isOneRequest: Bool
    ) async -> (Model.Fate, isAlive: Bool) {
        do {
            if isOneRequest {
                let sql = "BEGIN; " + statements.joined(separator: "; ") + "; COMMIT"
                _ = try await connection.execute(DqliteQuery(unsafeSQL: sql))
            } else {
                try await connection.withTransaction { transaction in
                    for sql in statements { _ = try await transaction.execute(DqliteQuery(unsafeSQL: sql)) }
                    if rollsBack { throw RollsBack() }
                }
            }
            return (.present, true)
        } catch let error as DqliteError {
            return Self.fate(error.outcome, isAlive: error.server != nil)
        } catch let error as DqliteTransactionError {
            if error.closureError is RollsBack, error.rollbackError == nil { return (.absent, true) }
            return Self.fate(error.outcome, isAlive: false)
        } catch {
            return (rollsBack ? .absent : .unknown, false)
        }
    }

    private static func fate(_ outcome: DqliteError.Outcome, isAlive: Bool) -> (Model.Fate, isAlive: Bool) {
        switch outcome {
        case .committed: (.present, isAlive)
        case .notCommitted: (.absent, isAlive)
        default: (.unknown, isAlive)
        }
    }

    /// What leaves nothing that is checked one by one.
    private func scratch(_ connection: DqliteConnection) async -> Bool {
        let sql =
            ["VACUUM", "DELETE FROM row WHERE id < (SELECT max(id) - 200 FROM row)", "REINDEX", "ANALYZE"][
                self.random.below(4)]
        do {
            _ = try await connection.execute(DqliteQuery(unsafeSQL: sql), options: .init(timeout: .seconds(60)))
            return true
        } catch {
            return error.server != nil
        }
    }
}
