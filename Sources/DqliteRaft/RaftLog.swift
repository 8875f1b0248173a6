/// The log as Raft sees it: the end of it in memory, the rest in storage.
///
/// Everything that is not known to be durable is in memory, and as much of what is durable as the cache may hold. Storage
/// works in the order of the writes it was given; each has a number, and an acknowledgment names a number rather than
/// a place: when a place was cut and filled again, what is said of the older write must not count for the newer one.
struct RaftLog: Sendable {
    private struct Outstanding: Sendable {
        var number: UInt64
        /// The last place that this write makes durable, unless it was cut since.
        var lastIndex: LogIndex
    }

    let reader: any RaftLogReader
    private var tail: EntryWindow
    private(set) var lastIndex: LogIndex
    private(set) var lastTerm: Term
    /// The last place known to be durable.
    private(set) var durableIndex: LogIndex
    /// Bytes of entries that are not known to be durable.
    private(set) var unstableSize = 0
    /// The last place that storage was given.
    private var writtenIndex: LogIndex
    private var cut: LogIndex?
    private var outstanding: [Outstanding] = []

    init(reader: any RaftLogReader) {
        self.reader = reader
        self.lastIndex = reader.lastIndex
        self.lastTerm = reader.term(at: reader.lastIndex) ?? .zero
        self.durableIndex = reader.lastIndex
        self.writtenIndex = reader.lastIndex
        self.tail = EntryWindow(first: reader.lastIndex.next)
    }

    /// The first entry that a peer can be sent.
    /// From here on entries are in memory.
    var firstInMemory: LogIndex { self.tail.first }

    var firstIndex: LogIndex { min(self.reader.firstIndex, self.tail.first) }

    /// The term of an entry, as long as it is known.
    func term(at index: LogIndex) -> Term? {
        if index == .zero { return .zero }
        if index > self.lastIndex { return nil }
        if index == self.lastIndex { return self.lastTerm }
        return self.tail.contains(index) ? self.tail[index].term : self.reader.term(at: index)
    }

    /// Whether a log that ends like this is at least as far as ours (paper 5.4.1).
    func isUpToDate(index: LogIndex, term: Term) -> Bool {
        term > self.lastTerm || (term == self.lastTerm && index >= self.lastIndex)
    }

    /// Entries from a place through another, as many as fit into a number of bytes but at least one, as far as they are
    /// at hand.
    func entries(from index: LogIndex, through last: LogIndex, maximumSize: Int) -> [Entry] {
        guard index <= last, last <= self.lastIndex else { return [] }
        guard index >= self.tail.first else {
            let found = self.reader.entries(
                in: index..<min(self.tail.first, last.next), maximumSize: maximumSize)
            return found.first?.index == index ? found : []
        }
        var size = self.tail[index].size
        var end = index.next
        while end <= last {
            size += self.tail[end].size
            if size > maximumSize { break }
            end = end.next
        }
        return Array(self.tail[index..<end])
    }

    mutating func append(_ entry: Entry) {
        self.tail.append(entry)
        self.unstableSize += entry.size
        self.lastIndex = entry.index
        self.lastTerm = entry.term
    }

    /// Cuts the log before a place.
    mutating func truncate(from index: LogIndex) {
        for place in max(self.durableIndex.next, self.tail.first)..<max(self.tail.end, self.durableIndex.next)
        where place >= index {
            self.unstableSize -= self.tail[place].size
        }
        let lastTerm = self.term(at: index.previous) ?? .zero
        self.tail.truncate(from: index)
        self.lastIndex = index.previous
        self.lastTerm = lastTerm
        self.durableIndex = min(self.durableIndex, self.lastIndex)
        if self.writtenIndex >= index {
            self.writtenIndex = self.lastIndex
            self.cut = min(self.cut ?? index, index)
        }
        for place in self.outstanding.indices {
            self.outstanding[place].lastIndex = min(self.outstanding[place].lastIndex, self.lastIndex)
        }
    }

    /// A snapshot took the place of everything.
    mutating func reset(to index: LogIndex, term: Term) {
        self.tail = EntryWindow(first: index.next)
        self.lastIndex = index
        self.lastTerm = term
        self.durableIndex = index
        self.writtenIndex = index
        self.unstableSize = 0
        self.cut = nil
        for place in self.outstanding.indices { self.outstanding[place].lastIndex = .zero }
    }

    var hasUnwritten: Bool { self.cut != nil || self.writtenIndex < self.lastIndex }

    /// What storage has not been given yet: where to cut, and the entries to append.
    mutating func takeUnwritten(number: UInt64) -> (truncateFrom: LogIndex?, entries: [Entry]) {
        let entries =
            self.writtenIndex < self.lastIndex ? Array(self.tail[self.writtenIndex.next..<self.tail.end]) : []
        defer { self.cut = nil }
        self.writtenIndex = self.lastIndex
        self.outstanding.append(Outstanding(number: number, lastIndex: self.lastIndex))
        return (self.cut, entries)
    }

    /// Everything through the write with this number is durable.
    mutating func persisted(through number: UInt64) {
        var durable = self.durableIndex
        while let first = self.outstanding.first, first.number <= number {
            durable = max(durable, first.lastIndex)
            self.outstanding.removeFirst()
        }
        for place in self.durableIndex.next..<max(durable, self.durableIndex).next {
            self.unstableSize -= self.tail[place].size
        }
        self.durableIndex = durable
    }

    /// Forgets what is durable, oldest first, until the rest fits into a number of bytes.
    mutating func shrinkCache(to maximumSize: Int) {
        while self.tail.size - self.unstableSize > maximumSize, self.tail.first <= self.durableIndex {
            self.tail.removeFirst()
        }
    }
}
