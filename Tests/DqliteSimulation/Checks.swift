import DqliteLog
import DqliteRaft

/// What must hold at every moment, whatever goes wrong: the properties of figure 3 of the Raft paper, that all nodes have the
/// same pages after the same entries, and that a node finds in its log what its file needs.
struct Checks {
    private struct Place: Hashable {
        var index: LogIndex
        var term: Term
    }

    /// The database after an entry.
    private struct State {
        var pages: [Page]
        var hash: UInt64
    }

    /// The first thing found that must never be.
    private(set) var violation: String?
    var hasViolation: Bool { self.violation != nil }
    /// What happened, so that a simulation in which nothing happens is noticed.
    private(set) var counts: [String: Int] = [:]
    /// Of all that was committed and answered, in order.
    private(set) var digest: UInt64 = 0

    private var leaders: [Term: NodeID] = [:]
    /// Every entry that was ever written anywhere, and the term of the one before it.
    private var written: [Place: (entry: Entry, previousTerm: Term)] = [:]
    /// What is committed, from index 1 on, and in which term that was seen first.
    private var committed: [(entry: Entry, term: Term)] = []
    /// The database at the start, and after each committed entry.
    private var states: [State]
    /// The same of the engine's pages; nil: databases are models.
    private(set) var file: CommittedFile?
    /// Of transactions that leave a trail in the database: those that must be there.
    private var trail: Set<UInt64> = []
    private var acknowledgedTransactions: Set<UInt64> = []
    /// Transactions in committed entries.
    private(set) var committedTransactions: Set<UInt64> = []
    /// Transactions of which a client was told that they are not committed.
    private var refusedTransactions: Set<UInt64> = []

    init(plan: Plan) {
        if plan.usesEngine { self.file = CommittedFile() }
        let view = View(
            pages: Array(repeating: .empty, count: plan.shape.pageCount), applied: .zero, opensAt: .zero)
        self.states = [State(pages: view.pages, hash: view.hash)]
    }

    mutating func found(_ what: String) { if self.violation == nil { self.violation = what } }
    mutating func count(_ what: String) { self.counts[what, default: 0] += 1 }

    mutating func mix(_ word: UInt64) {
        self.digest = (self.digest ^ word) &* 0xff51_afd7_ed55_8ccd
        self.digest ^= self.digest >> 29
    }

    var committedIndex: LogIndex { LogIndex(UInt64(self.committed.count)) }
    /// All pages after the last committed entry.
    var pages: [Page] { self.states[self.states.count - 1].pages }

    // MARK: Raft

    /// Election safety: one leader in a term. Leader completeness: it has all that was committed in terms before.
    mutating func elected(_ raft: Raft) {
        self.count("elections")
        self.mix(raft.term.rawValue << 8 | raft.id.rawValue)
        if let other = self.leaders.updateValue(raft.id, forKey: raft.term), other != raft.id {
            self.found("\(other) and \(raft.id) lead in term \(raft.term)")
        }
        let term = raft.term
        guard let last = self.committed.last(where: { $0.term < term })?.entry else { return }
        if raft.term(at: last.index) != last.term {
            self.found("\(raft.id) leads in \(raft.term) without committed entry \(last.index) of \(last.term)")
        }
    }

    /// Log matching: entries of one place and term are the same, and so are those before them.
    mutating func write(_ write: StorageWrite, termBefore: Term?) {
        guard var previous = termBefore else { return }
        for entry in write.entries {
            let place = Place(index: entry.index, term: entry.term)
            if let known = self.written[place] {
                if known.entry != entry || known.previousTerm != previous {
                    self.found("two different entries \(entry.index) of term \(entry.term)")
                }
            } else {
                self.written[place] = (entry, previous)
            }
            previous = entry.term
        }
    }

    /// State machine safety: at one place the same is committed everywhere.
    mutating func committed(_ entries: [Entry], on id: NodeID, term: Term) {
        for entry in entries {
            if entry.index <= self.committedIndex {
                if self.committed[Int(entry.index.rawValue) - 1].entry != entry {
                    self.found("\(id) commits another entry \(entry.index)")
                }
                continue
            }
            guard entry.index == self.committedIndex.next else {
                return self.found("\(id) commits \(entry.index), but \(self.committedIndex.next) is committed nowhere")
            }
            self.append(entry, term: term)
        }
    }

    /// What every voter begins with.
    mutating func begin(with entry: Entry) { self.append(entry, term: entry.term) }

    private mutating func append(_ entry: Entry, term: Term) {
        self.count("entries")
        self.mix(entry.term.rawValue << 32 | entry.index.rawValue)
        self.committed.append((entry, term))
        if let isReadable = self.file?.apply(entry) {
            if !isReadable { self.found("entry \(entry.index) cannot be read") }
            self.mix(self.file?.hash ?? 0)
            if entry.kind == .configuration { self.count("changes of members") }
            return
        }
        var state = self.states[self.states.count - 1]
        if entry.kind == .configuration { self.count("changes of members") }
        if entry.kind == .command {
            let command = Command(entry.data)
            for (number, page) in command.pages {
                state.hash ^= state.pages[number].hash(at: number) ^ page.hash(at: number)
                state.pages[number] = page
            }
            for id in command.transactions {
                self.count("transactions")
                if !self.committedTransactions.insert(id).inserted {
                    self.found("transaction \(id) is committed twice")
                }
                if self.refusedTransactions.contains(id) { self.refuted(id) }
            }
        }
        self.states.append(state)
    }

    mutating func installing(_ snapshot: SnapshotMetadata, on id: NodeID) {
        guard snapshot.index <= self.committedIndex,
            snapshot.index == .zero || self.committed[Int(snapshot.index.rawValue) - 1].entry.term == snapshot.term
        else { return self.found("\(id) installs a copy of what is not committed") }
    }

    // MARK: Databases

    /// A node has applied an entry: it has the pages that all have after it.
    mutating func applied(_ view: View, on id: NodeID) {
        if view.hash != self.states[Int(view.applied.rawValue)].hash {
            self.found("\(id) has other pages after entry \(view.applied)")
        }
    }

    /// A view can be looked at from now on.
    mutating func opened(_ view: View, on id: NodeID) {
        guard view.applied <= self.committedIndex else {
            return self.found("\(id) has applied \(view.applied), which is not committed")
        }
        let pages = self.states[Int(view.applied.rawValue)].pages
        let wrong = pages.indices.filter { pages[$0] != view.pages[$0] }
        if !wrong.isEmpty { self.found("\(id) opens a database at \(view.applied) with wrong pages \(wrong)") }
    }

    /// A node starts: its log has what its file lacks, and all that its file may have (rules 2, 22, 23).
    mutating func started(
        _ id: NodeID, log: SteppedLog, marks: CheckpointMarks, copiedThrough: LogIndex,
        configurations: [(index: LogIndex, configuration: Configuration)]
    ) {
        self.count("starts")
        // What holds no pages, no file needs.
        let cut = self.committed[..<min(Int(log.firstIndex.previous.rawValue), self.committed.count)]
        if cut.dropFirst(Int(marks.done.rawValue)).contains(where: { $0.entry.kind == .command }) {
            self.found("the log of \(id) begins at \(log.firstIndex), but its file ends at \(marks.done)")
        }
        if marks.intent > max(log.lastIndex, copiedThrough) {
            self.found("the file of \(id) may be at \(marks.intent), but its log ends at \(log.lastIndex)")
        }
        if log.lastIndex < marks.done {
            self.found("the log of \(id) ends at \(log.lastIndex), but its file at \(marks.done)")
        }
        guard marks.done <= self.committedIndex else {
            return self.found("the file of \(id) is at \(marks.done), which is not committed")
        }
        let start = max(marks.done, log.firstIndex.previous)
        let expected = self.committed.prefix(Int(start.rawValue)).last { $0.entry.kind == .configuration }
        let newest = configurations.last { $0.index <= start }
        if expected?.entry.index != newest?.index {
            self.found(
                "\(id) knows configuration \(newest?.index.description ?? "none"), not \(expected!.entry.index)")
        }
    }

    // MARK: Clients

    /// A transaction leaves its id in the database if it is committed, and only then.
    mutating func leavesTrail(_ id: UInt64) { self.trail.insert(id) }

    /// What is wrong with the ids that are in a database in which all is that was committed.
    func trailProblem(_ ids: Set<UInt64>) -> String? {
        let lost = self.trail.intersection(self.acknowledgedTransactions).subtracting(ids)
        if let id = lost.min() { return "lacks transaction \(id), of which a client was told that it is committed" }
        let wrong = self.refusedTransactions.intersection(ids)
        return wrong.min().map { "has transaction \($0), of which a client was told that it is not committed" }
    }

    /// A client was told that a transaction is not committed.
    mutating func refused(_ id: UInt64) {
        self.refusedTransactions.insert(id)
        if self.committedTransactions.contains(id) { self.refuted(id) }
    }

    private mutating func refuted(_ id: UInt64) {
        self.found("transaction \(id) is committed, but its client was told that it is not")
    }

    /// A client was told that a transaction is committed.
    mutating func acknowledged(_ id: UInt64) {
        if self.file != nil {
            self.count("transactions")
            self.acknowledgedTransactions.insert(id)
        } else if !self.committedTransactions.contains(id) {
            self.found("transaction \(id) is not committed, but its client was told that it is")
        }
    }
}
