import DqliteRaft
import TestSupport
import Testing

@testable import enum DqliteRaft.Quorum
@testable import struct DqliteRaft.Raft
@testable import struct DqliteRaft.RaftLog

/// Arithmetic and the log against naive twins.
@Suite struct TwinTests {
    /// The commit index: the largest place that more than half of the voters have, tried one after the other.
    @Test func quorums() {
        var random = SeededRandom(seed: 11)
        for _ in 0..<20_000 {
            let count = Int(random.next() % 8)
            let matches = (0..<count).map { _ in LogIndex(random.next() % 12) }
            let naive = (0...12).map { LogIndex(UInt64($0)) }.last { place in
                matches.count { $0 >= place } * 2 > count
            }
            #expect(Quorum.reached(matches) == naive, "\(matches)")
        }
    }

    /// A follower's log after any appends of a leader is what figure 2 says, done on a plain array of terms.
    @Test func logMatching() {
        var random = SeededRandom(seed: 13)
        for _ in 0..<2_000 {
            var terms: [UInt64] = [1]
            for _ in 0..<random.next() % 8 { terms.append(terms.last! + (random.next() % 3 == 0 ? 1 : 0)) }
            let stage = Stage(voters: 3, logs: [2: Array(terms.dropFirst())])
            var leaderTerms = Array(terms.prefix(1 + Int(random.next() % UInt64(terms.count))))
            for _ in 0..<random.next() % 6 { leaderTerms.append(max(leaderTerms.last!, 3 + random.next() % 4)) }
            leaderTerms.sort()
            for _ in 0..<6 {
                let previous = Int(random.next() % UInt64(leaderTerms.count)) + 1
                let last = previous + Int(random.next() % UInt64(leaderTerms.count - previous + 1))
                // The twin.
                if terms.count >= previous, terms[previous - 1] == leaderTerms[previous - 1] {
                    for place in previous..<max(previous, last) {
                        if place < terms.count, terms[place] != leaderTerms[place] {
                            terms.removeLast(terms.count - place)
                        }
                        if place == terms.count { terms.append(leaderTerms[place]) }
                    }
                }
                let entries = (previous..<max(previous, last)).map { place in
                    Entry(
                        index: LogIndex(UInt64(place) + 1), term: Term(leaderTerms[place]),
                        data: Array("\(place + 1)".utf8))
                }
                let request = AppendEntries(
                    term: Term(20), previousIndex: LogIndex(UInt64(previous)),
                    previousTerm: Term(leaderTerms[previous - 1]), leaderCommit: .zero, entries: entries)
                stage.step(.appendEntries(request), from: 1, to: 2)
                let found = (1...stage[2].raft.lastIndex.rawValue).map {
                    stage[2].raft.log.term(at: LogIndex($0))!.rawValue
                }
                #expect(found == terms)
                #expect(stage[2].storage.entries.map(\.term.rawValue) == terms)
            }
        }
    }

    /// The log in memory and on a slow disk against an array: appends, cuts, acknowledgments and a cache of any size.
    @Test func theLog() {
        var random = SeededRandom(seed: 17)
        for _ in 0..<500 {
            let storage = TestStorage(.voters(1))
            var log = RaftLog(reader: storage)
            var twin = storage.entries
            var number: UInt64 = 0
            for step in 0..<60 {
                switch random.next() % 6 {
                case 0, 1:
                    for _ in 0...random.next() % 3 {
                        let entry = Entry(
                            index: LogIndex(UInt64(twin.count) + 1), term: Term(UInt64(step) + 2), data: [UInt8(step)])
                        log.append(entry)
                        twin.append(entry)
                    }
                case 2 where twin.count > 1:
                    let cut = 2 + Int(random.next() % UInt64(twin.count - 1))
                    log.truncate(from: LogIndex(UInt64(cut)))
                    twin.removeLast(twin.count - cut + 1)
                case 3 where log.hasUnwritten:
                    number += 1
                    let (truncateFrom, entries) = log.takeUnwritten(number: number)
                    storage.submit(StorageWrite(number: number, truncateFrom: truncateFrom, entries: entries))
                case 4: if let number = storage.performFirst() { log.persisted(through: number) }
                default: log.shrinkCache(to: Int(random.next() % 100))
                }
                #expect(log.lastIndex == LogIndex(UInt64(twin.count)) && log.lastTerm == twin.last?.term)
                // What the log calls durable is on the disk, now and after a crash.
                for entry in twin.prefix(Int(log.durableIndex.rawValue)) { #expect(storage[entry.index] == entry) }
                let from = 1 + Int(random.next() % UInt64(twin.count))
                let found = log.entries(
                    from: LogIndex(UInt64(from)), through: log.lastIndex, maximumSize: Int(random.next() % 200))
                #expect(!found.isEmpty && found[...] == twin[(from - 1)...].prefix(found.count))
                #expect(log.term(at: LogIndex(UInt64(from))) == twin[from - 1].term)
            }
        }
    }
}
