import DqliteProtocol
import LogSimulation
import TestSupport

/// What clients of a crash trial do: transactions that each leave a row in a ledger, and as many rows elsewhere as it says.
struct CrashLoad {
    /// A transaction: its requests, one after the other.
    struct Work {
        var requests: [String]
        /// nil: it leaves no row.
        var ticket: Int64?
        var isRolledBack = false
    }

    private var random: SeededRandom
    private var lastTicket: Int64 = 0

    init(seed: UInt64) { self.random = SeededRandom(seed: seed) }

    /// Tickets, how many rows they should have, and how many they have.
    static let ledger =
        "SELECT ticket, parts, (SELECT count(*) FROM work WHERE work.ticket = ledger.ticket) FROM ledger"

    static let invariants: [(String, Value)] = [
        ("SELECT count(*) FROM work WHERE ticket NOT IN (SELECT ticket FROM ledger)", .integer(0)),
        ("SELECT sum(balance) FROM bank", .integer(800)),
    ]

    private static let schema = """
        CREATE TABLE IF NOT EXISTS ledger (ticket INTEGER PRIMARY KEY, parts INTEGER);
        CREATE TABLE IF NOT EXISTS work (ticket INTEGER, part INTEGER, body BLOB);
        CREATE INDEX IF NOT EXISTS work_by_ticket ON work (ticket, part);
        CREATE TABLE IF NOT EXISTS bank (account INTEGER PRIMARY KEY, balance INTEGER);
        INSERT OR IGNORE INTO bank SELECT value, 100 FROM json_each('[0,1,2,3,4,5,6,7]');
        """

    mutating func next() -> Work {
        self.lastTicket += 1
        let ticket = self.lastTicket
        switch self.below(20) {
        case 0..<3:
            return self.work(
                ticket, ["UPDATE work SET body = randomblob(\(self.size())) WHERE ticket % 5 = \(self.below(5))"])
        case 3..<5:
            let old = ticket - Int64(self.below(30))
            return self.work(
                ticket,
                ["UPDATE ledger SET parts = 0 WHERE ticket < \(old)", "DELETE FROM work WHERE ticket < \(old)"])
        case 5..<7: return self.work(ticket, [self.transfer(), self.transfer()])
        case 7..<9: return self.work(ticket, [self.definition()])
        case 9 where self.random.once(in: 2): return Work(requests: [Self.transaction([Self.schema, "REINDEX"])])
        case 9: return Work(requests: [Self.transaction([Self.schema]), "VACUUM"])
        default:
            let parts = self.random.once(in: 2) ? 1 : 1 + self.below(6)
            let numbers = (1...parts).map(String.init).joined(separator: ",")
            return self.work(
                ticket,
                [
                    "INSERT INTO work SELECT \(ticket), value, randomblob(\(self.size())) FROM json_each('[\(numbers)]')",
                    self.transfer(),
                ], parts: parts)
        }
    }

    /// As one request, or as several, of which the last may take all back.
    private mutating func work(_ ticket: Int64, _ statements: [String], parts: Int = 0) -> Work {
        let all = [Self.schema] + statements + ["INSERT INTO ledger VALUES (\(ticket), \(parts))"]
        if self.random.once(in: 3) {
            let isRolledBack = self.random.once(in: 4)
            return Work(
                requests: ["BEGIN IMMEDIATE"] + all + [isRolledBack ? "ROLLBACK" : "COMMIT"], ticket: ticket,
                isRolledBack: isRolledBack)
        }
        return Work(requests: [Self.transaction(all)], ticket: ticket)
    }

    private static func transaction(_ statements: [String]) -> String {
        "BEGIN IMMEDIATE; " + statements.joined(separator: "; ") + "; COMMIT"
    }

    private mutating func transfer() -> String {
        let (from, to) = (self.below(8), self.below(8))
        return "UPDATE bank SET balance = balance - 1 WHERE account = \(from); "
            + "UPDATE bank SET balance = balance + 1 WHERE account = \(to)"
    }

    private mutating func definition() -> String {
        let name = "extra\(self.below(3))"
        return [
            "CREATE TABLE IF NOT EXISTS \(name) AS SELECT * FROM work LIMIT 20", "DROP TABLE IF EXISTS \(name)",
            "CREATE INDEX IF NOT EXISTS \(name)_body ON work (length(body), part)",
            "DROP INDEX IF EXISTS \(name)_body", "ALTER TABLE bank RENAME TO banks; ALTER TABLE banks RENAME TO bank",
        ].randomElement(using: &self.random)!
    }

    private mutating func size() -> Int {
        self.random.once(in: 15)
            ? 5000 + self.below(50_000) : self.random.once(in: 3) ? self.below(6000) : self.below(200)
    }

    private mutating func below(_ count: Int) -> Int { Int.random(in: 0..<count, using: &self.random) }
}
