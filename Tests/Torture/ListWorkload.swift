import DqliteClient
import TestSupport
import TortureChecks

/// Lists that only grow.
struct ListWorkload: Workload {
    let recorder: Recorder<ListTransaction>
    let database = "list.db"
    let schema = """
        CREATE TABLE IF NOT EXISTS item (id INTEGER PRIMARY KEY, list INTEGER NOT NULL, value INTEGER NOT NULL, pad BLOB);
        CREATE INDEX IF NOT EXISTS item_list ON item (list, id)
        """

    /// One of six, and every two seconds others, so that none grows long.
    private func list(_ random: inout SeededRandom) -> Int {
        Int(self.recorder.run.clock.now.components.seconds / 2) * 6 + random.below(6)
    }

    func step(_ client: WorkloadClient, random: inout SeededRandom) async {
        switch random.below(10) {
        case 0..<3: await self.append(client, self.list(&random), pad: random.below(1500))
        case 3..<5:
            let list = self.list(&random)
            await self.recorder.perform(
                client: client.number, isWrite: false, .init([.read(list: list, values: nil)])
            ) {
                let values = try await client.client.query(Self.read(list)).decode(Int.self).collect()
                return .init([.read(list: list, values: values)])
            }
        case 5..<8: await self.transaction(client, self.steps(&random, mayAppend: true), .immediate)
        case 8: await self.transaction(client, self.steps(&random, mayAppend: false), .deferred)
        default: await self.atOnce(client, self.steps(&random, mayAppend: true))
        }
    }

    private func steps(_ random: inout SeededRandom, mayAppend: Bool) -> [ListTransaction.Step] {
        (0..<2 + random.below(3)).map { _ in
            let list = self.list(&random)
            return mayAppend && random.once(in: 2)
                ? .append(list: list, value: self.recorder.run.number()) : .read(list: list, values: nil)
        }
    }

    private static func read(_ list: Int) -> DqliteQuery { "SELECT value FROM item WHERE list = \(list) ORDER BY id" }

    private func append(_ client: WorkloadClient, _ list: Int, pad: Int) async {
        let transaction = ListTransaction([.append(list: list, value: self.recorder.run.number())])
        await self.recorder.perform(client: client.number, isWrite: true, transaction) {
            guard case .append(_, let value) = transaction.steps[0] else { return transaction }
            try await client.client.execute(
                "INSERT INTO item (list, value, pad) VALUES (\(list), \(value), randomblob(\(pad)))")
            return transaction
        }
    }

    private func transaction(
        _ client: WorkloadClient, _ steps: [ListTransaction.Step], _ mode: DqliteTransaction.Mode
    ) async {
        let isWrite = steps.contains { if case .append = $0 { true } else { false } }
        await self.recorder.perform(client: client.number, isWrite: isWrite, .init(steps)) {
            try await client.client.withTransaction(mode) { transaction in
                var done: [ListTransaction.Step] = []
                for step in steps {
                    switch step {
                    case .append(let list, let value):
                        try await transaction.execute("INSERT INTO item (list, value) VALUES (\(list), \(value))")
                        done.append(step)
                    case .read(let list, _):
                        let values = try await transaction.query(Self.read(list)).decode(Int.self).collect()
                        done.append(.read(list: list, values: values))
                    }
                }
                return ListTransaction(done)
            }
        }
    }

    /// Only appends, in one request.
    private func atOnce(_ client: WorkloadClient, _ steps: [ListTransaction.Step]) async {
        let appends = steps.filter { if case .append = $0 { true } else { false } }
        guard !appends.isEmpty else { return }
        let statements = appends.map { step in
            guard case .append(let list, let value) = step else { return "" }
            return "INSERT INTO item (list, value) VALUES (\(list), \(value))"
        }
        await self.recorder.perform(client: client.number, isWrite: true, .init(appends)) {
            try await client.client.transact(statements)
            return .init(appends)
        }
    }

    func finish(_ client: WorkloadClient) async {
        var lists: Set<Int> = []
        for operation in self.recorder.history {
            for case .append(let list, _) in operation.action.steps { lists.insert(list) }
        }
        let wanted = lists
        let began = self.recorder.run.clock.now
        await self.recorder.perform(client: client.number, isWrite: false, .init([])) {
            var values: [Int: [Int]] = [:]
            let options = DqliteCallOptions(timeout: .seconds(60))
            for try await row in try await client.client.query(
                "SELECT list, value FROM item ORDER BY list, id", options: options)
            {
                let (list, value) = try row.decode((Int, Int).self)
                values[list, default: []].append(value)
            }
            return .init(
                wanted.union(values.keys).sorted().map { .read(list: $0, values: values[$0] ?? []) })
        }
        if let last = self.recorder.history.last, last.began >= began, last.outcome != .acknowledged {
            self.recorder.run.violated(Violation(.node, "the lists could not be read at the end"))
        }
    }

    func check() -> [Violation] { ListChecker.check(self.recorder.history) }

    var invention: ListTransaction { .init([.append(list: 0, value: self.recorder.run.number())]) }
}
