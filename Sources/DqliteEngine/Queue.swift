/// First in, first out, in one piece of memory.
struct Queue<Element> {
    private var elements: [Element?] = Array(repeating: nil, count: 16)
    private var head = 0
    private(set) var count = 0

    var isEmpty: Bool { self.count == 0 }

    var first: Element? { self.isEmpty ? nil : self.elements[self.head] }

    /// The elements, first to last.
    subscript(index: Int) -> Element {
        precondition(index >= 0 && index < self.count, "index beyond the end of a queue")
        return self.elements[(self.head + index) & (self.elements.count - 1)]!
    }

    mutating func append(_ element: Element) {
        if self.count == self.elements.count {
            // The capacity is a power of two, so that a mask finds the place.
            var larger: [Element?] = Array(repeating: nil, count: self.count * 2)
            for index in 0..<self.count { larger[index] = self[index] }
            self.elements = larger
            self.head = 0
        }
        self.elements[(self.head + self.count) & (self.elements.count - 1)] = element
        self.count += 1
    }

    mutating func popFirst() -> Element? {
        guard self.count > 0 else { return nil }
        let element = self.elements[self.head]
        self.elements[self.head] = nil
        self.head = (self.head + 1) & (self.elements.count - 1)
        self.count -= 1
        return element
    }

    /// Takes out what fulfils the condition; the others keep their order.
    mutating func removeAll(where isUnwanted: (Element) -> Bool) {
        var kept = Queue()
        while let element = self.popFirst() {
            if !isUnwanted(element) { kept.append(element) }
        }
        self = kept
    }
}
