import DqliteRaft

@testable import struct DqliteRaft.Raft

/// The properties of figure 3 of the Raft paper, and linearizable reads, checked on everything that a simulation shows.
struct SimulationChecks {
    private struct Place: Hashable {
        var index: LogIndex
        var term: Term
    }

    /// The first thing found that must never happen.
    private(set) var violation: String?
    private var leaders: [Term: NodeID] = [:]
    /// Every entry that was ever written anywhere, and the term of the one before it.
    private var written: [Place: (entry: Entry, previousTerm: Term)] = [:]
    /// What is committed, from index 1 on, and in which term that was first seen.
    private var committed: [(entry: Entry, commitTerm: Term)] = []
    /// What was seen, so that a simulation in which nothing happens is noticed.
    private(set) var counts: [String: Int] = [:]

    var committedIndex: LogIndex { LogIndex(UInt64(self.committed.count)) }

    mutating func found(_ what: String) { if self.violation == nil { self.violation = what } }

    /// What every voter starts with.
    mutating func known(_ configuration: Configuration) {
        let entry = Entry(index: LogIndex(1), term: Term(1), kind: .configuration, data: configuration.encoded())
        self.committed = [(entry, Term(1))]
        self.written[Place(index: entry.index, term: entry.term)] = (entry, .zero)
    }

    /// Election safety: one leader in a term. Leader completeness: it has all that was committed in terms before.
    mutating func observe(_ raft: Raft, before: (term: Term, isLeader: Bool)) {
        guard raft.role == .leader, !before.isLeader || before.term != raft.term else { return }
        self.counts["elections", default: 0] += 1
        if let other = self.leaders.updateValue(raft.id, forKey: raft.term), other != raft.id {
            self.found("\(other) and \(raft.id) lead in term \(raft.term)")
        }
        guard let last = self.committed.last(where: { $0.commitTerm < raft.term })?.entry else { return }
        let term = raft.log.term(at: last.index)
        if term != last.term {
            self.found("\(raft.id) leads in \(raft.term) without committed entry \(last.index) of \(last.term)")
        }
    }

    /// Log matching: entries of one place and term are the same, and so are those before them.
    mutating func write(_ write: StorageWrite, storage: TestStorage) {
        var previous = write.entries.first.flatMap { first in
            first.index.previous == .zero
                ? Term.zero
                : storage.pending.last(where: { $0.entries.contains { $0.index == first.index.previous } })?
                    .entries.first { $0.index == first.index.previous }?.term
                    ?? storage.term(at: first.index.previous)
        }
        for entry in write.entries {
            let place = Place(index: entry.index, term: entry.term)
            if let previous {
                if let known = self.written[place], known.entry != entry || known.previousTerm != previous {
                    self.found("two different entries \(entry.index) of term \(entry.term)")
                }
                self.written[place] = (entry, previous)
            }
            previous = entry.term
        }
    }

    /// State machine safety: at one place all apply the same, one after the other.
    mutating func applied(_ entry: Entry, on id: NodeID, after applied: LogIndex, term: Term) {
        if entry.index != applied.next { self.found("\(id) applies \(entry.index) after \(applied)") }
        if entry.index == self.committedIndex.next {
            self.committed.append((entry, term))
            self.counts["commits", default: 0] += 1
            if entry.kind == .configuration { self.counts["changes", default: 0] += 1 }
        } else if entry.index > self.committedIndex {
            self.found("\(id) applies \(entry.index), but \(self.committedIndex.next) was applied nowhere")
        } else if self.committed[Int(entry.index.rawValue) - 1].entry != entry {
            self.found("\(id) applies another entry \(entry.index)")
        }
    }

    mutating func installed(_ snapshot: SnapshotMetadata, on id: NodeID) {
        self.counts["snapshots", default: 0] += 1
        guard snapshot.index <= self.committedIndex,
            self.committed[Int(snapshot.index.rawValue) - 1].entry.term == snapshot.term
        else { return self.found("\(id) installs a snapshot of what is not committed") }
    }

    /// Linearizability: a read sees all that was acknowledged before it was asked.
    mutating func served(_ index: LogIndex, _ reading: Simulation.Reading, by id: NodeID, how: String) {
        self.counts["reads by \(how)", default: 0] += 1
        if index < reading.acknowledged {
            self.found("\(id) reads at \(index) by \(how), but \(reading.acknowledged) was acknowledged before")
        }
    }
}
