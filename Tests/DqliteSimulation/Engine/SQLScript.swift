import DqliteProtocol

/// A transaction as a client sends it to the engine: request by request, each of which may depend on the answer to the one
/// before.
struct SQLScript {
    /// A request.
    enum Request {
        case exec(String, [Value] = [])
        case query(String, [Value] = [])
    }

    /// Elements that a list has before it begins anew.
    private static let listCapacity = 12

    private enum Phase {
        case begin
        case steps
        /// The list of an append is known.
        case append(ListKey, count: Int)
        case version
        case commit
        case end
    }

    let transaction: Transaction
    /// Whether everything is one statement, which is a transaction of its own.
    let isSingle: Bool
    private var phase = Phase.begin
    private var steps: ArraySlice<Step>
    private(set) var results: [StepResult] = []
    private(set) var version: UInt64 = 0
    /// Whether what was asked last decides about the transaction.
    private(set) var isCommitting = false

    /// - Parameter isSingle: Whether a transaction that only reads is to be one statement.
    init(_ transaction: Transaction, isSingle: Bool) {
        self.transaction = transaction
        self.steps = transaction.steps[...]
        var isOneWrite = false
        if case .write = transaction.steps.first { isOneWrite = transaction.steps.count == 1 }
        self.isSingle = transaction.isReadOnly ? isSingle : isOneWrite
    }

    /// What makes the tables, if they are not there.
    static func setup(_ shape: DatabaseShape) -> Request {
        let registers = (0..<shape.registers).map { "(\($0), 0)" }.joined(separator: ",")
        let lists = (0..<shape.lists).map { "(\($0), 0)" }.joined(separator: ",")
        return .exec(
            """
            BEGIN IMMEDIATE;
            CREATE TABLE IF NOT EXISTS meta (id INTEGER PRIMARY KEY, version INTEGER);
            CREATE TABLE IF NOT EXISTS trail (id INTEGER PRIMARY KEY);
            CREATE TABLE IF NOT EXISTS register (number INTEGER PRIMARY KEY, value INTEGER, body TEXT);
            CREATE TABLE IF NOT EXISTS head (list INTEGER PRIMARY KEY, generation INTEGER);
            CREATE TABLE IF NOT EXISTS item (
                id INTEGER PRIMARY KEY, list INTEGER, generation INTEGER, element INTEGER, body TEXT);
            CREATE INDEX IF NOT EXISTS item_list ON item (list, generation);
            CREATE TRIGGER IF NOT EXISTS register_version BEFORE UPDATE ON register
                BEGIN UPDATE meta SET version = version + 1; END;
            CREATE TRIGGER IF NOT EXISTS item_version BEFORE INSERT ON item
                BEGIN UPDATE meta SET version = version + 1; END;
            INSERT OR IGNORE INTO meta VALUES (0, 0);
            INSERT OR IGNORE INTO register (number, value) VALUES \(registers);
            INSERT OR IGNORE INTO head VALUES \(lists);
            COMMIT
            """)
    }

    // MARK: Request by request

    /// - Parameter rows: What the last request was answered with.
    /// - Returns: nil when the transaction is committed.
    mutating func next(after rows: [[Value]]) -> Request? {
        if self.isSingle { return self.nextOfSingle(after: rows) }
        switch self.phase {
        case .begin:
            self.phase = .steps
            if self.transaction.isReadOnly { return .query("BEGIN") }
            // Some find out late that somebody else writes.
            return .exec(self.transaction.id % 3 == 0 ? "BEGIN" : "BEGIN IMMEDIATE")
        case .steps: return self.nextStep(after: rows)
        case .append(let key, let count):
            self.phase = .steps
            let step = self.steps.removeFirst()
            guard case .append(let list, let element) = step else { preconditionFailure("only appends have two parts") }
            self.results.append(.appended(key))
            let clear =
                count == 0
                ? "DELETE FROM item WHERE list = \(list); UPDATE head SET generation = \(key.generation) WHERE list = \(list);"
                : ""
            return .exec(
                clear + "INSERT INTO item (list, generation, element, body) VALUES (\(list), \(key.generation), ?, ?)",
                [.integer(Int64(element)), .text(Self.body(element))])
        case .version:
            self.version = Self.word(rows.first?.first)
            self.phase = .end
            self.isCommitting = true
            return .exec("COMMIT")
        case .commit, .end: return nil
        }
    }

    private mutating func nextStep(after rows: [[Value]]) -> Request? {
        // What was asked for the step before.
        if self.isReading {
            let step = self.steps.removeFirst()
            self.isReading = false
            switch step {
            case .readRegister: self.results.append(.register(Self.word(rows.first?.first)))
            case .readList(let list): self.results.append(Self.list(list, rows))
            case .append(let list, _):
                guard case .list(var key, let elements) = Self.list(list, rows) else { break }
                if elements.count >= Self.listCapacity {
                    self.results.append(.list(key, elements))
                    key.generation += 1
                    self.phase = .append(key, count: 0)
                } else {
                    self.phase = .append(key, count: elements.count + 1)
                }
                self.steps.insert(step, at: self.steps.startIndex)
                return self.next(after: [])
            case .write: break
            }
        }
        guard let step = self.steps.first else {
            self.phase = .version
            if self.transaction.isReadOnly || self.hasTrail { return .query("SELECT version FROM meta") }
            self.hasTrail = true
            self.phase = .steps
            return .exec("INSERT INTO trail VALUES (\(self.transaction.id))")
        }
        switch step {
        case .readRegister(let number):
            self.isReading = true
            return .query("SELECT value FROM register WHERE number = \(number)")
        case .readList(let list), .append(let list, _):
            self.isReading = true
            return .query(
                """
                SELECT h.generation, i.element FROM head h LEFT JOIN item i ON i.list = h.list AND \
                i.generation = h.generation WHERE h.list = \(list) ORDER BY i.id
                """)
        case .write(let number, let value):
            self.steps.removeFirst()
            self.results.append(.written)
            return .exec(Self.update(number), [.integer(Int64(value)), .text(Self.body(value))])
        }
    }

    private var isReading = false
    private var hasTrail = false

    /// Whether a row says that it was committed.
    var leavesTrail: Bool { !self.transaction.isReadOnly && !self.isSingle }

    // MARK: All at once

    private mutating func nextOfSingle(after rows: [[Value]]) -> Request? {
        if case .begin = self.phase {
            self.phase = .commit
            self.isCommitting = true
            if case .write(let number, let value) = self.transaction.steps[0] {
                return .query(
                    Self.update(number) + " RETURNING (SELECT version FROM meta)",
                    [.integer(Int64(value)), .text(Self.body(value))])
            }
            return .query(self.readAll)
        }
        if !self.transaction.isReadOnly {
            self.results = [.written]
            self.version = Self.word(rows.first?.first)
            return nil
        }
        for (place, step) in self.transaction.steps.enumerated() {
            let rows = rows.filter { $0[0] == .integer(Int64(place)) }.map { Array($0[1...]) }
            switch step {
            case .readRegister: self.results.append(.register(Self.word(rows.first?.first)))
            case .readList(let list): self.results.append(Self.list(list, rows))
            case .append, .write: break
            }
        }
        self.version = Self.word(rows.first { $0[0] == .integer(-1) }?[1])
        return nil
    }

    private var readAll: String {
        var parts = ["SELECT -1 AS place, version AS a, NULL AS b, NULL AS c FROM meta"]
        for (place, step) in self.transaction.steps.enumerated() {
            switch step {
            case .readRegister(let number):
                parts.append("SELECT \(place), value, NULL, NULL FROM register WHERE number = \(number)")
            case .readList(let list):
                parts.append(
                    """
                    SELECT \(place), h.generation, i.element, i.id FROM head h LEFT JOIN item i ON i.list = h.list AND \
                    i.generation = h.generation WHERE h.list = \(list)
                    """)
            case .append, .write: break
            }
        }
        return parts.joined(separator: " UNION ALL ") + " ORDER BY 1, 4"
    }

    /// What a read finds where there are no tables.
    mutating func findNothing() {
        self.results = self.transaction.steps.map { step in
            if case .readList(let list) = step { .list(ListKey(list: list, generation: 0), []) } else { .register(0) }
        }
        self.version = 0
    }

    // MARK: Values

    private static func update(_ register: Int) -> String {
        "UPDATE register SET value = ?, body = ? WHERE number = \(register)"
    }

    /// Of different lengths, so that rows move from page to page.
    private static func body(_ element: UInt64) -> String {
        String(repeating: String(element % 10), count: Int(element &* 2_654_435_761 % 400))
    }

    private static func list(_ list: Int, _ rows: [[Value]]) -> StepResult {
        let elements = rows.compactMap { if case .integer(let element) = $0[1] { UInt64(element) } else { nil } }
        return .list(ListKey(list: list, generation: Self.word(rows.first?.first)), elements)
    }

    private static func word(_ value: Value?) -> UInt64 {
        if case .integer(let word) = value { UInt64(bitPattern: word) } else { 0 }
    }
}
