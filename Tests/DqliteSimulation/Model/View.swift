import DqliteRaft

/// The committed view of a node: what is in the file, and above it pages of entries that were applied.
struct View {
    private(set) var pages: [Page]
    private var hashes: [UInt64]
    /// Of all pages together.
    private(set) var hash: UInt64
    private(set) var applied: LogIndex
    /// Nobody may look before this is applied: the file may hold pages of entries up to here, or parts of them (rule 22).
    let opensAt: LogIndex
    /// By page, what the file may lack.
    private var unsaved: [[(index: LogIndex, page: Page)]]
    private(set) var unsavedCount = 0

    init(pages: [Page], applied: LogIndex, opensAt: LogIndex) {
        self.pages = pages
        self.hashes = pages.enumerated().map { $1.hash(at: $0) }
        self.hash = self.hashes.reduce(0, ^)
        self.applied = applied
        self.opensAt = opensAt
        self.unsaved = Array(repeating: [], count: pages.count)
    }

    var isOpen: Bool { self.applied >= self.opensAt }

    /// Applies the command of an entry; nil: it has none.
    mutating func apply(_ command: Command?, at index: LogIndex) {
        self.applied = index
        guard let command else { return }
        for (number, page) in command.pages {
            self.pages[number] = page
            self.hash ^= self.hashes[number]
            self.hashes[number] = page.hash(at: number)
            self.hash ^= self.hashes[number]
            self.unsaved[number].append((index, page))
            self.unsavedCount += 1
        }
    }

    /// The newest images up to a place of all pages that the file lacks.
    func images(through index: LogIndex) -> [(number: Int, page: Page)] {
        self.unsaved.enumerated().compactMap { number, versions in
            versions.last { $0.index <= index }.map { (number, $0.page) }
        }
    }

    /// The file has everything through a place.
    mutating func saved(through index: LogIndex) {
        for number in self.unsaved.indices {
            let count = self.unsaved[number].prefix { $0.index <= index }.count
            self.unsaved[number].removeFirst(count)
            self.unsavedCount -= count
        }
    }
}
