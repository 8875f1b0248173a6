import Testing

@testable import demo

/// What the demo finds when nodes do not have what they should.
struct LedgerTests {
    private let one = WriteID(writer: 1, number: 1)
    private let three = WriteID(writer: 1, number: 4)

    private func rows(_ id: WriteID, _ parts: Int...) -> [Table.Row] { parts.map { Table.Row(write: id, part: $0) } }

    /// One row and a transaction of three, both acknowledged.
    private func acknowledged() -> Ledger {
        var ledger = Ledger()
        ledger.began(self.one, rows: 1)
        #expect(ledger.acknowledged(self.one) == 1)
        ledger.began(self.three, rows: 3)
        #expect(ledger.acknowledged(self.three) == 3)
        return ledger
    }

    @Test func everythingIsThere() {
        let ledger = self.acknowledged()
        let comparison = ledger.compare(self.rows(self.three, 2, 1, 3) + self.rows(self.one, 1))
        #expect(comparison == Ledger.Comparison(rows: 4, acknowledged: 4))
        #expect(comparison.problems == [])
        #expect(ledger.acknowledgedRows == 4)
    }

    @Test func acknowledgedRowsThatAreMissing() {
        let comparison = self.acknowledged().compare(self.rows(self.three, 1, 2))
        #expect(comparison.missing.count == 2)
        #expect(Set(comparison.missing) == Set(self.rows(self.one, 1) + self.rows(self.three, 3)))
        #expect(comparison.torn == [self.three])
        #expect(
            comparison.problems.last
                == "1 transaction in part only: writer 1, write 4")
    }

    @Test func rowsThatAreThereTwice() {
        let comparison = self.acknowledged().compare(self.rows(self.three, 1, 2, 3) + self.rows(self.one, 1, 1))
        #expect(comparison.doubled == self.rows(self.one, 1))
        #expect(comparison.problems == ["1 row more than once: writer 1, write 1, row 1"])
    }

    @Test func rowsThatNobodyWrote() {
        let others = self.rows(WriteID(writer: 2, number: 7), 1) + self.rows(self.three, 4)
        let comparison = self.acknowledged().compare(
            self.rows(self.three, 1, 2, 3) + self.rows(self.one, 1) + others)
        #expect(Set(comparison.strange) == Set(others))
        #expect(comparison.problems.count == 1)
    }

    @Test func writesInDoubtMayBeThereOrNotButWhole() {
        var ledger = Ledger()
        ledger.began(self.one, rows: 1)
        ledger.doubtful(self.one)
        ledger.began(self.three, rows: 3)
        ledger.again(self.three)
        #expect(ledger.died(1)?.rows == 3)
        #expect(ledger.leftOver == 1)
        #expect(ledger.transactionsAgain == 1)
        #expect((ledger.leaderLost, ledger.writerLost) == (1, 1))
        #expect(ledger.next(of: 1) == 5)

        #expect(ledger.compare([]) == Ledger.Comparison())
        let there = ledger.compare(self.rows(self.one, 1) + self.rows(self.three, 1, 2, 3))
        #expect(there == Ledger.Comparison(rows: 4, doubtfulThere: 2))
        #expect(ledger.compare(self.rows(self.three, 2)).torn == [self.three])
    }

    @Test func aWriterThatDiesBetweenTwoWritesLeavesNothing() {
        var ledger = self.acknowledged()
        #expect(ledger.died(1) == nil)
        #expect(ledger.doubtful == 0)
    }
}
