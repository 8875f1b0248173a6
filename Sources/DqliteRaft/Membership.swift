/// The configurations that a log holds, from the last committed one on.
///
/// The configuration in use is the last one appended, committed or not (thesis 4.1); so when an entry is truncated, the one
/// before it is in use again.
struct Membership: Sendable {
    /// A configuration and where it is in the log.
    struct Element: Sendable {
        var index: LogIndex
        var configuration: Configuration
    }

    private(set) var elements: [Element]

    init(_ elements: [Element]) { self.elements = elements }

    /// The last one appended.
    var latest: Configuration { self.elements.last?.configuration ?? Configuration() }
    /// Where it is; zero when there is none.
    var latestIndex: LogIndex { self.elements.last?.index ?? .zero }

    /// The last one at or before a place.
    func newest(through index: LogIndex) -> Element? { self.elements.last { $0.index <= index } }

    mutating func append(_ configuration: Configuration, at index: LogIndex) {
        self.elements.append(Element(index: index, configuration: configuration))
    }

    /// Forgets what was in the entries from a place on.
    mutating func truncate(from index: LogIndex) {
        self.elements.removeAll { $0.index >= index }
    }

    /// Forgets what can never be in use again, now that everything through a place is committed.
    mutating func commit(through index: LogIndex) {
        guard let newest = self.elements.lastIndex(where: { $0.index <= index }), newest > 0 else { return }
        self.elements.removeFirst(newest)
    }

    /// What a snapshot brought replaces everything.
    mutating func reset(to configuration: Configuration, at index: LogIndex) {
        self.elements = [Element(index: index, configuration: configuration)]
    }
}
