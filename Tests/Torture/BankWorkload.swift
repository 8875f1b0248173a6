import DqliteClient
import TestSupport
import TortureChecks

/// Money that moves between accounts.
struct BankWorkload: Workload {
    private static let accounts = 8
    private static let initial = 100

    let recorder: Recorder<BankAction>
    let database = "bank.db"
    let schema = """
        CREATE TABLE IF NOT EXISTS account (number INTEGER PRIMARY KEY, balance INTEGER NOT NULL CHECK (balance >= 0));
        CREATE TABLE IF NOT EXISTS ledger (position INTEGER PRIMARY KEY, number INTEGER NOT NULL);
        INSERT OR IGNORE INTO account SELECT value, 100 FROM json_each('[0,1,2,3,4,5,6,7]')
        """

    /// There is not enough on an account.
    private struct Insufficient: Error {}

    func step(_ client: WorkloadClient, random: inout SeededRandom) async {
        switch random.below(10) {
        case 0..<3: await self.transfer(client, inOneRequest: random.once(in: 3), random: &random)
        case 3..<6: await self.transfer(client, inOneRequest: false, random: &random)
        case 6 where random.once(in: 10): await self.audit(client, timeout: nil)
        default:
            await self.recorder.perform(client: client.number, isWrite: false, .read(nil)) {
                .read(try await Self.balances(client.client))
            }
        }
    }

    private static func balances(
        _ connection: some DqliteQueryable, options: DqliteCallOptions = .defaults
    ) async throws -> [Int: Int] {
        var balances: [Int: Int] = [:]
        for try await row in try await connection.query("SELECT number, balance FROM account", options: options) {
            let (number, balance) = try row.decode((Int, Int).self)
            balances[number] = balance
        }
        return balances
    }

    private func transfer(_ client: WorkloadClient, inOneRequest: Bool, random: inout SeededRandom) async {
        let number = self.recorder.run.number()
        let from = random.below(Self.accounts)
        let to = (from + 1 + random.below(Self.accounts - 1)) % Self.accounts
        let amount = 1 + random.below(20)
        let action = BankAction.transfer(number: number, from: from, to: to, amount: amount)
        await self.recorder.perform(client: client.number, isWrite: true, action) {
            if inOneRequest {
                try await client.client.transact([
                    "UPDATE account SET balance = balance - \(amount) WHERE number = \(from)",
                    "UPDATE account SET balance = balance + \(amount) WHERE number = \(to)",
                    "INSERT INTO ledger (number) VALUES (\(number))",
                ])
                return action
            }
            try await client.client.withTransaction { transaction in
                let rows = try await transaction.query("SELECT balance FROM account WHERE number = \(from)")
                    .decode(Int.self).collect()
                guard let balance = rows.first, balance >= amount else { throw Insufficient() }
                try await transaction.execute("UPDATE account SET balance = \(balance - amount) WHERE number = \(from)")
                try await transaction.execute("UPDATE account SET balance = balance + \(amount) WHERE number = \(to)")
                try await transaction.execute("INSERT INTO ledger (number) VALUES (\(number))")
            }
            return action
        }
    }

    private func audit(_ client: WorkloadClient, timeout: Duration?) async {
        await self.recorder.perform(client: client.number, isWrite: false, .read(nil)) {
            let options = DqliteCallOptions(timeout: timeout)
            return try await client.client.withTransaction(.deferred, options: options) { transaction in
                let balances = try await Self.balances(transaction, options: options)
                let ledger = try await transaction.query(
                    "SELECT number FROM ledger ORDER BY position", options: options
                ).decode(Int.self).collect()
                return .audit(balances, ledger: ledger)
            }
        }
    }

    func finish(_ client: WorkloadClient) async {
        await self.audit(client, timeout: .seconds(60))
        if case .audit? = self.recorder.history.last?.action { return }
        self.recorder.run.violated(Violation(.node, "the accounts could not be read at the end"))
    }

    func check() -> [Violation] {
        BankChecker(initial: Dictionary(uniqueKeysWithValues: (0..<Self.accounts).map { ($0, Self.initial) }))
            .check(self.recorder.history)
    }

    var invention: BankAction { .transfer(number: self.recorder.run.number(), from: 0, to: 1, amount: 1) }
}
