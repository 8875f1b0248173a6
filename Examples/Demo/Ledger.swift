/// What became of every write, by what the writers told of it.
struct Ledger {
    enum Outcome {
        case underWay
        case acknowledged
        /// The leader was lost before it answered.
        case leaderLost
        /// The writer was lost before it told what the answer was.
        case writerLost
    }

    struct Write {
        var rows: Int
        var outcome = Outcome.underWay
    }

    private(set) var writes: [WriteID: Write] = [:]
    private var newest: [UInt64: Int] = [:]
    private(set) var acknowledgedRows = 0
    /// Transactions that were cut short and done again.
    private(set) var transactionsAgain = 0
    /// Single rows that were refused for so long that the writer had to begin again.
    private(set) var rowsAgain = 0
    /// Writers that died with a transaction open.
    private(set) var leftOver = 0

    /// Number of the first write that the writer has not begun.
    func next(of writer: UInt64) -> Int { self.newest[writer, default: 0] + 1 }

    mutating func began(_ id: WriteID, rows: Int) {
        self.writes[id] = Write(rows: rows)
        self.newest[id.writer] = id.number
    }

    /// - Returns: The number of its rows.
    mutating func acknowledged(_ id: WriteID) -> Int {
        let rows = self.writes[id]?.rows ?? 0
        self.writes[id]?.outcome = .acknowledged
        self.acknowledgedRows += rows
        return rows
    }

    mutating func doubtful(_ id: WriteID) { self.writes[id]?.outcome = .leaderLost }

    mutating func again(_ id: WriteID) {
        if self.writes[id]?.rows == 1 { self.rowsAgain += 1 } else { self.transactionsAgain += 1 }
    }

    /// The writer died.
    ///
    /// - Returns: What it had under way.
    mutating func died(_ writer: UInt64) -> Write? {
        let id = WriteID(writer: writer, number: self.newest[writer, default: 0])
        guard let write = self.writes[id], case .underWay = write.outcome else { return nil }
        self.writes[id]?.outcome = .writerLost
        if write.rows > 1 { self.leftOver += 1 }
        return write
    }

    var leaderLost: Int { self.writes.values.count { $0.outcome == .leaderLost } }
    var writerLost: Int { self.writes.values.count { $0.outcome == .writerLost } }
    var doubtful: Int { self.leaderLost + self.writerLost }

    // MARK: At the end

    /// What a node has, compared with what became of the writes.
    struct Comparison: Equatable {
        /// Rows that the node has, and how many of them were acknowledged.
        var rows = 0
        var acknowledged = 0
        /// Writes in doubt that are there.
        var doubtfulThere = 0
        /// Acknowledged rows that are not there.
        var missing: [Table.Row] = []
        /// Rows that are there more than once.
        var doubled: [Table.Row] = []
        /// Transactions of which a part is there.
        var torn: [WriteID] = []
        /// Rows that nobody wrote.
        var strange: [Table.Row] = []
    }

    func compare(_ rows: [Table.Row]) -> Comparison {
        var comparison = Comparison(rows: rows.count)
        let counts = Dictionary(rows.map { ($0, 1) }, uniquingKeysWith: +)
        for (row, count) in counts {
            if count > 1 { comparison.doubled.append(row) }
            let parts = self.writes[row.write]?.rows ?? 0
            if !(1...max(1, parts)).contains(row.part) || parts == 0 { comparison.strange.append(row) }
        }
        for (id, write) in self.writes {
            let parts = (1...write.rows).map { Table.Row(write: id, part: $0) }
            let there = parts.count { counts[$0] != nil }
            if write.outcome == .acknowledged {
                comparison.acknowledged += there
                comparison.missing += parts.filter { counts[$0] == nil }
            } else if there == write.rows {
                comparison.doubtfulThere += 1
            }
            if there > 0, there < write.rows { comparison.torn.append(id) }
        }
        return comparison
    }
}
