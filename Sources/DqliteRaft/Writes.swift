/// The numbers of the writes that storage was given.
struct Writes: Sendable {
    /// The last number given out, and the last one that is durable.
    var last: UInt64 = 0
    var durable: UInt64 = 0
    /// Term and vote as they were given to storage, and in which write.
    var hardState: HardState
    var hardStateNumber: UInt64 = 0

    init(hardState: HardState) { self.hardState = hardState }
}

/// Committed entries on their way into the state machine.
struct Applying: Sendable {
    /// The last entry that was handed over.
    var handed: LogIndex
    /// The last one that is applied.
    var applied: LogIndex
    /// What is handed over and not applied: the last place of each batch, and its bytes.
    private var batches: [(last: LogIndex, size: Int)] = []
    private(set) var size = 0

    init(handed: LogIndex) {
        self.handed = handed
        self.applied = handed
    }

    mutating func hand(_ entries: [Entry]) {
        guard let last = entries.last else { return }
        let size = entries.reduce(0) { $0 + $1.size }
        self.batches.append((last.index, size))
        self.size += size
        self.handed = last.index
    }

    mutating func applied(through index: LogIndex) {
        self.applied = max(self.applied, min(index, self.handed))
        while let first = self.batches.first, first.last <= self.applied {
            self.size -= first.size
            self.batches.removeFirst()
        }
    }

    /// The state machine was replaced.
    mutating func reset(to index: LogIndex) { self = Applying(handed: index) }
}
