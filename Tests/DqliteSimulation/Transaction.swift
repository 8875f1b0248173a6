/// A step of a transaction.
enum Step: Hashable, Sendable {
    case append(list: Int, element: UInt64)
    case readList(Int)
    case write(register: Int, value: UInt64)
    case readRegister(Int)

    var isWrite: Bool {
        switch self {
        case .append, .write: true
        case .readList, .readRegister: false
        }
    }
}

/// A list of one generation: when a page is full, its list begins anew.
struct ListKey: Hashable, Comparable, Sendable {
    var list: Int
    var generation: UInt64

    static func < (one: Self, other: Self) -> Bool {
        (one.list, one.generation) < (other.list, other.generation)
    }
}

/// What a step has seen.
enum StepResult: Hashable, Sendable {
    case appended(ListKey)
    case list(ListKey, [UInt64])
    case written
    case register(UInt64)
}

/// What clients ask for: steps that happen at once, or not at all.
struct Transaction: Sendable {
    /// Capacity of a list's page.
    static let listCapacity = Page.wordCount - 2

    var id: UInt64
    var steps: [Step]

    var isReadOnly: Bool { !self.steps.contains { $0.isWrite } }

    /// Runs it on pages.
    ///
    /// - Parameters:
    ///   - read: The newest content of a page.
    ///   - write: Takes the new content of a page.
    /// - Returns: What each step saw, and the version of the database that it left or found.
    func run(
        on shape: DatabaseShape, read: (Int) -> Page, write: (Int, Page) -> Void
    ) -> (results: [StepResult], version: UInt64) {
        var results: [StepResult] = []
        for step in self.steps {
            switch step {
            case .append(let list, let element):
                let number = shape.page(ofList: list)
                var page = read(number)
                if page.words[1] == UInt64(Self.listCapacity) {
                    results.append(Self.list(list, page))
                    page = Page(words: [page.words[0] + 1] + [UInt64](repeating: 0, count: Page.wordCount - 1))
                }
                page.words[2 + Int(page.words[1])] = element
                page.words[1] += 1
                write(number, page)
                results.append(.appended(ListKey(list: list, generation: page.words[0])))
            case .readList(let list): results.append(Self.list(list, read(shape.page(ofList: list))))
            case .write(let register, let value):
                var page = read(shape.page(ofRegister: register))
                page.words[0] = value
                page.words[1] += 1
                // All of the page depends on the value, so that a torn page is seen.
                for place in 2..<Page.wordCount { page.words[place] = value &* UInt64(place) }
                write(shape.page(ofRegister: register), page)
                results.append(.written)
            case .readRegister(let register):
                results.append(.register(read(shape.page(ofRegister: register)).words[0]))
            }
        }
        var first = read(0)
        if !self.isReadOnly {
            first.words[0] += 1
            first.words[1] = (first.words[1] ^ self.id) &* 0x9e37_79b9_7f4a_7c15
            write(0, first)
        }
        return (results, first.words[0])
    }

    private static func list(_ list: Int, _ page: Page) -> StepResult {
        // A page that is no list is seen by who compares pages.
        let count = min(Int(truncatingIfNeeded: page.words[1] & 0xffff), Self.listCapacity)
        return .list(ListKey(list: list, generation: page.words[0]), Array(page.words[2..<2 + count]))
    }
}
