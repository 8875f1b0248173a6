/// Entries without a gap, taken off in front and appended and cut behind.
struct EntryWindow: Sendable {
    private var elements: [Entry] = []
    private var head = 0
    /// The place of the first one, or where the next one goes when there is none.
    private(set) var first: LogIndex
    /// Bytes of all of them.
    private(set) var size = 0

    init(first: LogIndex) { self.first = first }

    var isEmpty: Bool { self.head == self.elements.count }
    var count: Int { self.elements.count - self.head }
    /// One past the last place.
    var end: LogIndex { self.first.advanced(by: self.count) }

    func contains(_ index: LogIndex) -> Bool { index >= self.first && index < self.end }

    subscript(index: LogIndex) -> Entry { self.elements[self.head + self.first.distance(to: index)] }

    subscript(range: Range<LogIndex>) -> ArraySlice<Entry> {
        let start = self.head + self.first.distance(to: range.lowerBound)
        return self.elements[start..<start + range.lowerBound.distance(to: range.upperBound)]
    }

    mutating func append(_ entry: Entry) {
        self.size += entry.size
        self.elements.append(entry)
    }

    mutating func removeFirst() {
        self.size -= self.elements[self.head].size
        self.elements[self.head].data = []
        self.head += 1
        self.first = self.first.next
        if self.head > 64, self.head * 2 > self.elements.count {
            self.elements.removeFirst(self.head)
            self.head = 0
        }
    }

    /// Leaves what is before a place; that may be before the first.
    mutating func truncate(from index: LogIndex) {
        while !self.isEmpty, self.end > index {
            self.size -= self.elements.removeLast().size
        }
        if index < self.first { self.first = index }
    }
}

extension Entry {
    /// What limits count an entry as: its data and what describes it.
    var size: Int { self.data.count + 16 }
}
