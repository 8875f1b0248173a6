/// Messages with entries that a peer has not answered yet, in the order they were sent.
struct Inflights: Sendable {
    private struct Element: Sendable {
        var lastIndex: LogIndex
        var size: Int
    }

    private var elements: [Element] = []
    private var first = 0
    private(set) var size = 0

    var count: Int { self.elements.count - self.first }

    func isFull(_ settings: RaftSettings) -> Bool {
        self.count >= settings.maximumInflightMessages || self.size >= settings.maximumInflightSize
    }

    mutating func add(through lastIndex: LogIndex, size: Int) {
        self.elements.append(Element(lastIndex: lastIndex, size: size))
        self.size += size
    }

    /// The peer has everything through a place.
    mutating func free(through index: LogIndex) {
        while self.first < self.elements.count, self.elements[self.first].lastIndex <= index {
            self.size -= self.elements[self.first].size
            self.first += 1
        }
        if self.first * 2 > self.elements.count {
            self.elements.removeFirst(self.first)
            self.first = 0
        }
    }

    mutating func reset() { self = Inflights() }
}
