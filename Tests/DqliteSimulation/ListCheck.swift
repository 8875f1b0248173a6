import TestSupport
import TortureChecks

/// Whether transactions that append to lists and read them are strictly serializable, found out from what clients saw alone: as
/// in Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations" (2020).
///
/// Each element is appended once, so a list tells in which order its versions came. From that follows which transaction must
/// come before which: who wrote a version before who wrote the next one, or read it; who read it before who wrote the next;
/// and who ended before who began. If these form a circle, there is no order that explains them.
struct ListCheck {
    /// A transaction, with the times between which it happened.
    struct Observation {
        var steps: [Step]
        /// nil: nobody knows whether it happened, or what it saw.
        var results: [StepResult]?
        var start: Int
        /// nil: it may happen at any time.
        var end: Int?
    }

    private struct Append {
        var writer: Int
        /// Whether the same transaction appended another element to the list right after it.
        var isIntermediate: Bool
    }

    private let observations: [Observation]
    private let refused: Set<UInt64>
    private var appends: [UInt64: Append] = [:]
    /// The longest version of each list that was seen.
    private var longest: [ListKey: [UInt64]] = [:]
    private var problem: String?

    /// - Parameter refused: Elements of transactions that did not happen.
    init(_ observations: [Observation], refused: Set<UInt64>) {
        self.observations = observations
        self.refused = refused
    }

    /// What is wrong; nil: nothing.
    mutating func violation() -> String? {
        self.findAppends()
        self.findVersions()
        if let problem = self.problem { return problem }
        self.checkReads()
        if let problem = self.problem { return problem }
        return self.findCircle()
    }

    private mutating func found(_ problem: String) { if self.problem == nil { self.problem = problem } }

    private mutating func findAppends() {
        for (writer, observation) in self.observations.enumerated() {
            var last: [Int: UInt64] = [:]
            for case .append(let list, let element) in observation.steps {
                self.appends[element] = Append(writer: writer, isIntermediate: false)
                if let previous = last.updateValue(element, forKey: list) {
                    self.appends[previous]?.isIntermediate = true
                }
            }
        }
    }

    /// All that was seen of a list is a beginning of the longest.
    private mutating func findVersions() {
        for observation in self.observations {
            for case .list(let key, let elements) in observation.results ?? [] {
                let known = self.longest[key] ?? []
                let (short, long) = known.count <= elements.count ? (known, elements) : (elements, known)
                if !long.starts(with: short) { self.found("list \(key) was seen as \(short) and as \(long)") }
                self.longest[key] = long
            }
        }
        for (key, elements) in self.longest.sorted(by: { $0.key < $1.key }) {
            if Set(elements).count < elements.count { self.found("list \(key) has an element twice: \(elements)") }
            for element in elements {
                if self.refused.contains(element) {
                    self.found("list \(key) has \(element) of a transaction that did not happen")
                } else if self.appends[element] == nil {
                    self.found("list \(key) has \(element), which nobody appended")
                }
            }
        }
    }

    /// A transaction sees its own appends, and of others all or nothing.
    private mutating func checkReads() {
        for (reader, observation) in self.observations.enumerated() {
            guard let results = observation.results else { continue }
            var own: [Int: [UInt64]] = [:]
            for (step, result) in zip(observation.steps, Self.aligned(results)) {
                if case .append(let list, let element) = step { own[list, default: []].append(element) }
                guard case .list(let key, let elements) = result else { continue }
                let mine = own[key.list] ?? []
                if case .readList = step, !elements.suffix(mine.count).elementsEqual(mine.suffix(elements.count)) {
                    self.found("a transaction that appended \(mine) read \(elements)")
                }
                if let last = elements.last, let append = self.appends[last], append.writer != reader,
                    append.isIntermediate
                {
                    self.found("list \(key) was read up to \(last), in the middle of a transaction")
                }
            }
        }
    }

    /// An append that began a new list says first what the old one was: one result a step is left.
    static func aligned(_ results: [StepResult]) -> [StepResult] {
        results.indices.filter { place in
            guard case .list(let old, _) = results[place], place + 1 < results.count,
                case .appended(let new) = results[place + 1]
            else { return true }
            return !(old.list == new.list && old.generation < new.generation)
        }.map { results[$0] }
    }

    // MARK: The order

    private mutating func findCircle() -> String? {
        let count = self.observations.count
        // Behind the transactions, one node for each end: it comes after all that ended by then, and before all that began later.
        let ends = self.observations.indices.filter { self.observations[$0].end != nil }
            .sorted { self.observations[$0].end! < self.observations[$1].end! }
        var graph = DependencyGraph(count: count + ends.count)
        for (place, transaction) in ends.enumerated() {
            graph.add(transaction, count + place, .precedes)
            if place + 1 < ends.count { graph.add(count + place, count + place + 1, .precedes) }
        }
        let endTimes = ends.map { self.observations[$0].end! }
        for (transaction, observation) in self.observations.enumerated() {
            let before = endTimes.sortedCount(before: observation.start)
            if before > 0 { graph.add(count + before - 1, transaction, .precedes) }
        }
        self.addDependencies(to: &graph)
        return graph.cycles().first.map { circle in
            "no order explains transactions "
                + circle.map(\.from).filter { $0 < count }.map { self.describe($0) }.joined(separator: ", then ")
        }
    }

    private func addDependencies(to graph: inout DependencyGraph) {
        for (key, elements) in self.longest {
            var writers = elements.compactMap { self.appends[$0]?.writer }
            if let writer = self.beginner(after: key) { writers.append(writer) }
            for (one, next) in zip(writers, writers.dropFirst()) { graph.add(one, next, .overwrites) }
        }
        for (reader, observation) in self.observations.enumerated() {
            for case .list(let key, let elements) in observation.results ?? [] {
                if let last = elements.last, let writer = self.appends[last]?.writer {
                    graph.add(writer, reader, .reads)
                }
                let all = self.longest[key] ?? []
                let next =
                    elements.count < all.count
                    ? self.appends[all[elements.count]]?.writer : self.beginner(after: key)
                if let next { graph.add(reader, next, .missed) }
            }
        }
    }

    /// Who began the list that followed one.
    private func beginner(after key: ListKey) -> Int? {
        let next = ListKey(list: key.list, generation: key.generation + 1)
        return self.longest[next]?.first.flatMap { self.appends[$0]?.writer }
    }

    private func describe(_ transaction: Int) -> String {
        let observation = self.observations[transaction]
        let results = observation.results.map { "\($0)" } ?? "unknown"
        return "\(observation.steps) → \(results) (\(observation.start)–\(observation.end.map(String.init) ?? "…"))"
    }
}
