import DqliteRaft

/// A disk that remembers what was made durable, and that a crash may interrupt.
///
/// `@unchecked Sendable`: a test uses it on one thread only.
final class TestStorage: RaftLogReader, @unchecked Sendable {
    var hardState = HardState()
    private(set) var entries: [Entry] = []
    /// What the log begins after.
    private(set) var snapshot = SnapshotMetadata(
        index: .zero, term: .zero, configuration: Configuration(), configurationIndex: .zero)
    /// Writes that were asked for and are not durable.
    private(set) var pending: [StorageWrite] = []

    /// A log whose only entry is a configuration; none for a node that waits to be added.
    init(_ configuration: Configuration?) {
        guard let configuration else { return }
        self.hardState.term = Term(1)
        self.entries = [
            Entry(index: LogIndex(1), term: Term(1), kind: .configuration, data: configuration.encoded())
        ]
    }

    /// A log with entries of given terms after the first.
    convenience init(_ configuration: Configuration, terms: [UInt64]) {
        self.init(configuration)
        for (place, term) in terms.enumerated() {
            let index = LogIndex(UInt64(place) + 2)
            self.entries.append(Entry(index: index, term: Term(term), data: Array("\(index)".utf8)))
        }
        self.hardState.term = Term(terms.last ?? 1)
    }

    var firstIndex: LogIndex { self.snapshot.index.next }
    var lastIndex: LogIndex { self.snapshot.index.advanced(by: self.entries.count) }

    subscript(index: LogIndex) -> Entry? {
        guard index > self.snapshot.index, index <= self.lastIndex else { return nil }
        return self.entries[self.snapshot.index.distance(to: index) - 1]
    }

    func term(at index: LogIndex) -> Term? {
        index == self.snapshot.index ? self.snapshot.term : self[index]?.term
    }

    func entries(in range: Range<LogIndex>, maximumSize: Int) -> [Entry] {
        var found: [Entry] = []
        var size = 0
        for index in range {
            guard let entry = self[index] else { break }
            size += entry.data.count + 16
            if size > maximumSize, !found.isEmpty { break }
            found.append(entry)
        }
        return found
    }

    func submit(_ write: StorageWrite) { self.pending.append(write) }

    /// Makes the oldest write durable; nil when there is none.
    func performFirst() -> UInt64? {
        guard !self.pending.isEmpty else { return nil }
        let write = self.pending.removeFirst()
        if let hardState = write.hardState { self.hardState = hardState }
        if let index = write.truncateFrom { self.truncate(from: index) }
        for entry in write.entries {
            precondition(entry.index == self.lastIndex.next, "a gap before \(entry.index)")
            self.entries.append(entry)
        }
        return write.number
    }

    private func truncate(from index: LogIndex) {
        precondition(index > self.snapshot.index, "cut into the snapshot")
        self.entries.removeLast(max(0, index.distance(to: self.lastIndex) + 1))
    }

    /// A crash: of the writes under way the first ones are done, or part of the last of them.
    func crash(after count: Int) {
        for _ in 0..<min(count, self.pending.count) { _ = self.performFirst() }
        if let hardState = self.pending.first?.hardState, count % 2 == 1 { self.hardState = hardState }
        self.pending = []
    }

    /// Drops the log through a place, which the state machine has.
    func compact(through index: LogIndex) {
        guard index > self.snapshot.index, let entry = self[index] else { return }
        let newest = self.configurations(through: index).last
        self.entries.removeFirst(self.snapshot.index.distance(to: index))
        self.snapshot = SnapshotMetadata(
            index: index, term: entry.term, configuration: newest?.configuration ?? Configuration(),
            configurationIndex: newest?.index ?? .zero)
    }

    func install(_ snapshot: SnapshotMetadata) {
        precondition(self.pending.isEmpty, "a snapshot overtakes writes")
        self.entries = []
        self.snapshot = snapshot
    }

    /// All configurations of the log through a place, and that of the snapshot.
    func configurations(through last: LogIndex) -> [(index: LogIndex, configuration: Configuration)] {
        var found: [(index: LogIndex, configuration: Configuration)] = []
        if self.snapshot.index > .zero {
            found.append((self.snapshot.configurationIndex, self.snapshot.configuration))
        }
        for entry in self.entries where entry.kind == .configuration && entry.index <= last {
            if let configuration = try? Configuration(decoding: entry.data) {
                found.append((entry.index, configuration))
            }
        }
        return found
    }
}

extension Configuration {
    /// So many voters, with ids from 1.
    static func voters(_ count: Int) -> Configuration {
        Configuration(
            servers: (1...count).map { Server(id: NodeID(UInt64($0)), address: "node-\($0)", role: .voter) })
    }
}
