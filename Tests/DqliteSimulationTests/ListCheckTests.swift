import Testing

@testable import DqliteSimulation

/// The check of lists: what it accepts, and what it finds.
@Suite struct ListCheckTests {
    private static let key = ListKey(list: 0, generation: 0)
    private static let other = ListKey(list: 1, generation: 0)

    private static func append(
        _ element: UInt64, _ start: Int, _ end: Int?, to key: ListKey = Self.key
    ) -> ListCheck.Observation {
        ListCheck.Observation(
            steps: [.append(list: key.list, element: element)], results: end.map { _ in [.appended(key)] },
            start: start, end: end)
    }

    private static func read(_ lists: [(ListKey, [UInt64])], _ start: Int, _ end: Int) -> ListCheck.Observation {
        ListCheck.Observation(
            steps: lists.map { .readList($0.0.list) }, results: lists.map { .list($0.0, $0.1) }, start: start, end: end)
    }

    private static func check(_ observations: [ListCheck.Observation], refused: Set<UInt64> = []) -> String? {
        var check = ListCheck(observations, refused: refused)
        return check.violation()
    }

    @Test func acceptsWhatHasAnOrder() {
        #expect(
            Self.check([
                Self.append(1, 0, 10), Self.append(2, 0, 10), Self.append(3, 5, nil),
                Self.read([(Self.key, [2])], 0, 12), Self.read([(Self.key, [2, 1, 3])], 6, 20),
            ]) == nil)
    }

    @Test func findsAReadThatIsStale() {
        #expect(
            Self.check([Self.append(1, 0, 1), Self.read([(Self.key, [1])], 2, 3), Self.read([(Self.key, [])], 4, 5)])
                != nil)
    }

    /// Serializable, but in no order in which what ended first comes first.
    @Test func findsAnOrderAgainstTime() {
        #expect(
            Self.check([
                Self.append(1, 0, 1), Self.append(2, 2, 3, to: Self.other),
                Self.read([(Self.key, []), (Self.other, [2])], 0, 9),
                Self.read([(Self.key, [1]), (Self.other, [2])], 10, 11),
            ]) != nil)
    }

    /// Two readers see two writes in different orders: a long fork.
    @Test func findsALongFork() {
        #expect(
            Self.check([
                Self.append(1, 0, 9), Self.append(2, 0, 9, to: Self.other),
                Self.read([(Self.key, [1]), (Self.other, [])], 0, 9),
                Self.read([(Self.key, []), (Self.other, [2])], 0, 9),
                Self.read([(Self.key, [1]), (Self.other, [2])], 10, 11),
            ]) != nil)
    }

    @Test func findsTwoHistoriesOfOneList() {
        #expect(
            Self.check([
                Self.append(1, 0, 9), Self.append(2, 0, 9), Self.read([(Self.key, [1, 2])], 0, 9),
                Self.read([(Self.key, [2, 1])], 0, 9),
            ]) != nil)
    }

    @Test func findsWhatDidNotHappen() {
        #expect(Self.check([Self.read([(Self.key, [1])], 2, 3)], refused: [1]) != nil)
        #expect(Self.check([Self.read([(Self.key, [1])], 2, 3)]) != nil)
    }

    @Test func findsAReadInTheMiddle() {
        let both = ListCheck.Observation(
            steps: [.append(list: 0, element: 1), .append(list: 0, element: 2)],
            results: [.appended(Self.key), .appended(Self.key)], start: 0, end: 9)
        #expect(
            Self.check([both, Self.read([(Self.key, [1])], 0, 9), Self.read([(Self.key, [1, 2])], 10, 11)]) != nil)
        #expect(Self.check([both, Self.read([(Self.key, [1, 2])], 0, 9)]) == nil)
    }

    /// A list that began anew follows the one before it.
    @Test func findsAReadOfTheOldListAfterTheNew() {
        let next = ListKey(list: 0, generation: 1)
        let roll = ListCheck.Observation(
            steps: [.append(list: 0, element: 2)], results: [.list(Self.key, [1]), .appended(next)], start: 0, end: 3)
        let history = [Self.append(1, 0, 1), roll, Self.read([(next, [2])], 4, 5)]
        #expect(Self.check(history) == nil)
        #expect(Self.check(history + [Self.read([(Self.key, [1])], 6, 7)]) != nil)
    }
}
