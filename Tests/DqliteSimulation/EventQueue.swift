/// What will happen, by time, and of one time in the order in which it was planned.
struct EventQueue {
    private struct Event {
        let time: VirtualTime
        let order: Int
        let action: () -> Void

        func isBefore(_ other: Self) -> Bool {
            self.time != other.time ? self.time < other.time : self.order < other.order
        }
    }

    private var heap: [Event] = []
    private var order = 0

    mutating func add(at time: VirtualTime, _ action: @escaping () -> Void) {
        self.order += 1
        self.heap.append(Event(time: time, order: self.order, action: action))
        var place = self.heap.count - 1
        while place > 0, self.heap[place].isBefore(self.heap[(place - 1) / 2]) {
            self.heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// Takes the next one, if it is not after a time.
    mutating func next(through end: VirtualTime) -> (time: VirtualTime, action: () -> Void)? {
        guard let first = self.heap.first, first.time <= end else { return nil }
        self.heap.swapAt(0, self.heap.count - 1)
        self.heap.removeLast()
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2]
            where child < self.heap.count && self.heap[child].isBefore(self.heap[least]) {
                least = child
            }
            if least == place { return (first.time, first.action) }
            self.heap.swapAt(place, least)
            place = least
        }
    }
}
