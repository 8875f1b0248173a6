internal import DqliteRaft

/// Which entries the log holds, of which terms, and where they are.
struct EntryMap: Sendable {
    /// A record of entries. Not every record has one: those that follow are found by reading on.
    struct Location: Sendable {
        let first: LogIndex
        let segment: UInt64
        let offset: Int
    }

    /// Locations lie at least this far apart, so that their count depends on the size of the log only.
    static let spacing = 64 << 10

    /// The entry before the first one.
    private(set) var previousIndex: LogIndex
    private(set) var previousTerm: Term
    private(set) var lastIndex: LogIndex
    /// Where each term begins.
    private var terms: [(first: LogIndex, term: Term)] = []
    private var locations: [Location] = []
    /// Behind a cut lie entries that no longer count: reading on does not lead over them.
    private var needsLocation = true

    init(previousIndex: LogIndex, previousTerm: Term) {
        self.previousIndex = previousIndex
        self.previousTerm = previousTerm
        self.lastIndex = previousIndex
    }

    var lastTerm: Term { self.terms.last?.term ?? self.previousTerm }

    /// The term of an entry, or of the one before the first. nil: it is not in the log.
    func term(of index: LogIndex) -> Term? {
        guard index != self.previousIndex else { return self.previousTerm }
        guard index > self.previousIndex, index <= self.lastIndex else { return nil }
        return self.terms[self.terms.partition { $0.first > index } - 1].term
    }

    /// Appends the entries of one record. They follow the last one, and their terms do not fall.
    mutating func append(_ entries: [Entry], segment: UInt64, offset: Int) {
        if self.needsLocation || self.locations.last!.segment != segment
            || offset - self.locations.last!.offset >= Self.spacing
        {
            self.locations.append(Location(first: entries[0].index, segment: segment, offset: offset))
            self.needsLocation = false
        }
        for entry in entries where self.terms.isEmpty || entry.term > self.lastTerm {
            self.terms.append((entry.index, entry.term))
        }
        self.lastIndex = entries[entries.count - 1].index
    }

    /// Drops all entries behind one; all entries, when the log does not hold that one.
    mutating func cut(to index: LogIndex, term: Term) {
        guard self.term(of: index) == term else {
            self = EntryMap(previousIndex: index, previousTerm: term)
            return
        }
        self.lastIndex = index
        self.terms.removeLast(self.terms.count - self.terms.partition { $0.first > index })
        self.locations.removeLast(self.locations.count - self.locations.partition { $0.first > index })
        self.needsLocation = true
    }

    /// Drops the entries that lie in segments before this one.
    mutating func dropHead(before segment: UInt64) {
        let count = self.locations.partition { $0.segment >= segment }
        guard count > 0 else { return }
        let first = count < self.locations.count ? self.locations[count].first : self.lastIndex.next
        self.previousTerm = self.term(of: first.previous)!
        self.previousIndex = first.previous
        self.locations.removeFirst(count)
        // The run that holds the first entry goes on from before it.
        self.terms.removeFirst(max(0, self.terms.partition { $0.first > first } - 1))
        if self.lastIndex == self.previousIndex { self.terms.removeAll() }
        if self.locations.isEmpty { self.needsLocation = true }
    }

    /// Where to begin to read for an entry that is in the log, and the location after it.
    func location(of index: LogIndex) -> (Location, next: Location?) {
        let after = self.locations.partition { $0.first > index }
        return (self.locations[after - 1], after < self.locations.count ? self.locations[after] : nil)
    }
}

extension Array {
    /// How many elements come before those for which `belongsAfter` holds; the array is sorted by that.
    fileprivate func partition(_ belongsAfter: (Element) -> Bool) -> Int {
        var low = 0
        var high = self.count
        while low < high {
            let middle = (low + high) / 2
            if belongsAfter(self[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }
}

/// The last entries of the log, in memory: all that are not on disk yet, and of the others as many as there is room for.
struct RecentEntries: Sendable {
    private var entries: [Entry] = []
    private var start = 0
    private var size = 0
    let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Index of the first one. nil: there is none.
    var first: LogIndex? { self.start < self.entries.count ? self.entries[self.start].index : nil }

    mutating func append(_ entries: [Entry]) {
        self.entries += entries
        self.size = entries.reduce(self.size) { $0 + Self.size(of: $1) }
    }

    mutating func cut(to index: LogIndex) {
        while self.start < self.entries.count, self.entries[self.entries.count - 1].index > index {
            self.size -= Self.size(of: self.entries.removeLast())
        }
    }

    /// Drops the oldest of those that are on disk, as far as there are too many.
    mutating func trim(durable: LogIndex) {
        while self.size > self.limit, self.start < self.entries.count, self.entries[self.start].index <= durable {
            self.size -= Self.size(of: self.entries[self.start])
            self.entries[self.start].data = []
            self.start += 1
        }
        if self.start > 64, self.start > self.entries.count / 2 {
            self.entries.removeFirst(self.start)
            self.start = 0
        }
    }

    /// Entries of a range that begins with one that is here: as many as fit, but at least one.
    func entries(in range: ClosedRange<LogIndex>, maximumSize: Int) -> [Entry] {
        let from = self.start + Int(range.lowerBound.rawValue - self.entries[self.start].index.rawValue)
        var size = 0
        let fitting = self.entries[from...].prefix { entry in
            size += Self.size(of: entry)
            return entry.index <= range.upperBound && (size <= maximumSize || entry.index == range.lowerBound)
        }
        return Array(fitting)
    }

    private static func size(of entry: Entry) -> Int { entry.data.count + 64 }
}
