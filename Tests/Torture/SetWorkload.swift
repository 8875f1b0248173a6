import DqliteClient
import TestSupport
import TortureChecks

/// Sets that only grow. Nothing keeps a value from being there twice, if somebody adds it twice.
struct SetWorkload: Workload {
    let recorder: Recorder<SetAction>
    let database = "set.db"
    let schema = """
        CREATE TABLE IF NOT EXISTS member (number INTEGER NOT NULL, value INTEGER NOT NULL, pad TEXT);
        CREATE INDEX IF NOT EXISTS member_number ON member (number)
        """

    /// Every two seconds another.
    private var current: Int { Int(self.recorder.run.clock.now.components.seconds / 2) }

    func step(_ client: WorkloadClient, random: inout SeededRandom) async {
        let set = self.current
        if random.once(in: 4) {
            // Sometimes one that nobody adds to any more.
            let set = random.once(in: 3) ? random.below(set + 1) : set
            await self.recorder.perform(client: client.number, isWrite: false, .read(set: set, nil)) {
                let values = try await client.client.query("SELECT value FROM member WHERE number = \(set)")
                    .decode(Int.self).collect()
                return .read(set: set, values)
            }
            return
        }
        let value = self.recorder.run.number()
        let pad = String(repeating: "x", count: random.below(300))
        await self.recorder.perform(client: client.number, isWrite: true, .add(set: set, value: value)) {
            try await client.client.execute("INSERT INTO member VALUES (\(set), \(value), \(pad))")
            return .add(set: set, value: value)
        }
    }

    func finish(_ client: WorkloadClient) async {
        let began = self.recorder.run.clock.now
        var sets: Set<Int> = []
        for operation in self.recorder.history {
            if case .add(let set, _) = operation.action { sets.insert(set) }
        }
        do {
            var values: [Int: [Int]] = [:]
            for try await row in try await client.client.query(
                "SELECT number, value FROM member", options: .init(timeout: .seconds(60)))
            {
                let (set, value) = try row.decode((Int, Int).self)
                values[set, default: []].append(value)
            }
            for set in sets.union(values.keys).sorted() {
                self.recorder.record(
                    Operation(
                        client: client.number, began: began, ended: self.recorder.run.clock.now,
                        outcome: .acknowledged, action: .read(set: set, values[set] ?? [])))
            }
        } catch {
            self.recorder.run.violated(Violation(.node, "the sets could not be read at the end: \(error)"))
        }
    }

    func check() -> [Violation] { SetChecker.check(self.recorder.history) }

    var invention: SetAction { .add(set: 0, value: self.recorder.run.number()) }
}
