import Foundation

extension Play {
    /// What a node has at the end.
    private struct Content: Sendable {
        var rows: [Table.Row]
        var file: Data
    }

    /// Whether all nodes have every row that was acknowledged, once, and the same bytes.
    mutating func compareNodes() async throws -> Bool {
        self.phase = "comparing"
        let contents = try await self.contents()
        self.screen.show([])
        self.screen.line()
        for line in self.pictureLines { self.screen.line(line) }
        self.screen.line()
        var isRight = true
        let comparisons = contents.map { self.ledger.compare($0.rows) }
        for (member, (content, comparison)) in zip(self.members, zip(contents, comparisons)) {
            self.screen.line(
                "  node \(member.id) has \(comparison.acknowledged) of the \(self.ledger.acknowledgedRows) rows that were "
                    + "acknowledged, and \(comparison.rows - comparison.acknowledged) more: \(content.file.count) bytes"
            )
            for problem in comparison.problems {
                isRight = false
                self.screen.line("  WRONG: \(problem)")
            }
        }
        if let other = contents.firstIndex(where: { $0.file != contents[0].file }) {
            isRight = false
            self.screen.line("  WRONG: nodes 1 and \(other + 1) do not have the same bytes")
        }
        self.screen.line()
        for line in isRight ? self.explanation(comparisons[0]) : ["Something is wrong."] { self.screen.line(line) }
        return isRight
    }

    /// What was seen, for who sees it for the first time.
    private func explanation(_ comparison: Ledger.Comparison) -> [String] {
        var lines = [
            "Every row that was acknowledged is on every node, once, and the three databases are the same, byte for byte."
        ]
        if self.ledger.doubtful > 0 {
            let isThere = comparison.doubtfulThere
            let missing = self.ledger.doubtful - isThere
            lines.append(
                "\(count(self.ledger.doubtful, "write")) got no answer, \(self.ledger.leaderLost) because the leader died and "
                    + "\(self.ledger.writerLost) because the writer did. \(isThere) of them turned out to be committed, "
                    + "\(missing) not. Both may be; on every node it is the same.")
        }
        if self.ledger.transactionsAgain + self.ledger.leftOver > 0 {
            lines.append(
                "\(count(self.ledger.transactionsAgain, "transaction")) of several rows did not survive the leader, and "
                    + "the writer did them again; \(self.ledger.leftOver) were left over when the writer died, and were rolled back. Of "
                    + "none there is only a part.")
        }
        let gaps = self.failOvers.gaps.map(\.length).sorted()
        if let longest = gaps.last {
            let elected = self.failOvers.gaps.filter { $0.withoutMajority == .zero }.map(\.length).sorted()
            var line = "\(count(gaps.count, "time")) the cluster had to find another leader"
            if elected.isEmpty {
                line += ", for \(longest.inSeconds(2)) s at most."
            } else {
                line +=
                    ". While two nodes of three ran it did without rows for \(elected[elected.count / 2].inSeconds(2)) s "
                    + "(median), \(elected[elected.count - 1].inSeconds(2)) s at most."
            }
            lines.append(line)
        }
        return lines.map(wrapped)
    }

    /// What the nodes have, as soon as all have the same; or when they had time enough for that.
    private mutating func contents() async throws -> [Content] {
        let deadline = self.now + .seconds(15)
        while true {
            for index in self.members.indices {
                self.members[index].dumps = 0
                self.members[index].order(.dump)
            }
            try await self.go(within: .seconds(15), for: "the databases of the nodes") { play in
                play.members.allSatisfy { $0.dumps == 1 }
            }
            let files = try self.members.map { try Data(contentsOf: $0.dump) }
            if files.allSatisfy({ $0 == files[0] }) || self.now > deadline {
                return try zip(self.members, files).map { Content(rows: try Table.rows(in: $0.dump), file: $1) }
            }
            // Those that do not lead learn with the next message what is committed.
            try await Task.sleep(for: .milliseconds(100))
        }
    }
}

extension Ledger.Comparison {
    var problems: [String] {
        func some<Thing>(_ things: [Thing], _ text: (Thing) -> String) -> String {
            things.prefix(5).map(text).joined(separator: "; ") + (things.count > 5 ? "; …" : "")
        }
        let row: (Table.Row) -> String = { "writer \($0.write.writer), write \($0.write.number), row \($0.part)" }
        var problems: [String] = []
        if !self.missing.isEmpty {
            problems.append("\(count(self.missing.count, "acknowledged row")) missing: \(some(self.missing, row))")
        }
        if !self.doubled.isEmpty {
            problems.append("\(count(self.doubled.count, "row")) more than once: \(some(self.doubled, row))")
        }
        if !self.torn.isEmpty {
            let text = some(self.torn) { "writer \($0.writer), write \($0.number)" }
            problems.append("\(count(self.torn.count, "transaction")) in part only: \(text)")
        }
        if !self.strange.isEmpty {
            problems.append("\(count(self.strange.count, "row")) that nobody wrote: \(some(self.strange, row))")
        }
        return problems
    }
}
