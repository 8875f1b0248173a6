/// Checks that a history of transactions on lists is strictly serializable.
///
/// It does what Elle does for lists that only grow (https://arxiv.org/abs/2003.10554): the longest read of a list tells the order
/// of its values, so who depends on whom is known; if dependencies and time together have no cycle, there is an order of the
/// transactions that explains everything.
package struct ListChecker {
    package typealias History = [Operation<ListTransaction>]

    private struct Read {
        var operation: Int
        var list: Int
        var values: [Int]
        /// How many of its last values are the transaction's own.
        var own: Int
    }

    private let history: History
    private var writers: [Int: Int] = [:]
    private var reads: [Read] = []
    private var orders: [Int: [Int]] = [:]
    private var violations: [Violation] = []

    private init(_ history: History) { self.history = history }

    /// What is wrong with it.
    package static func check(_ history: History) -> [Violation] {
        var checker = ListChecker(history)
        checker.collect()
        checker.checkReads()
        checker.checkTime()
        checker.checkCycles()
        return checker.violations
    }

    private func name(_ operation: Int) -> String { "(\(self.history[operation]))" }

    /// Notes who wrote what, and what was read.
    private mutating func collect() {
        for (index, operation) in self.history.enumerated() {
            for case .append(_, let value) in operation.action.steps {
                precondition(self.writers.updateValue(index, forKey: value) == nil, "\(value) is appended twice")
            }
            guard operation.outcome == .acknowledged else { continue }
            var own: [Int: [Int]] = [:]
            var seen: [Int: [Int]] = [:]
            for step in operation.action.steps {
                switch step {
                case .append(let list, let value): own[list, default: []].append(value)
                case .read(let list, let values?):
                    let mine = own[list] ?? []
                    let isOwnThere = values.suffix(mine.count).elementsEqual(mine)
                    let others = isOwnThere ? Array(values.dropLast(mine.count)) : values
                    if !isOwnThere {
                        self.violations.append(
                            Violation(.inner, "\(self.name(index)) does not see its own \(mine) in \(list)"))
                    } else if let before = seen.updateValue(others, forKey: list), before != others {
                        self.violations.append(
                            Violation(.inner, "\(self.name(index)) sees \(list) change under it"))
                    }
                    self.reads.append(
                        Read(operation: index, list: list, values: values, own: isOwnThere ? mine.count : 0))
                case .read(_, nil): break
                }
            }
        }
        for read in self.reads where read.values.count > self.orders[read.list]?.count ?? 0 {
            self.orders[read.list] = read.values
        }
    }

    /// Checks each read by itself, and against the longest one of its list.
    private mutating func checkReads() {
        var known: Set<[Int]> = []
        for read in self.reads {
            let order = self.orders[read.list] ?? []
            if !order.starts(with: read.values) {
                self.violations.append(
                    Violation(.order, "\(self.name(read.operation)) contradicts \(read.list) = \(order)"))
            }
            guard known.insert([read.list] + read.values).inserted else { continue }
            var seen: Set<Int> = []
            for value in read.values {
                if !seen.insert(value).inserted {
                    self.violations.append(
                        Violation(.duplicate, "\(value) is twice in \(read.list): \(self.name(read.operation))"))
                }
                guard let writer = self.writers[value], self.writes(writer, value, to: read.list) else {
                    self.violations.append(
                        Violation(.phantom, "nobody wrote \(value) to \(read.list): \(self.name(read.operation))"))
                    continue
                }
                if self.history[writer].outcome == .refused {
                    self.violations.append(
                        Violation(.aborted, "\(self.name(writer)) was refused and read by \(self.name(read.operation))")
                    )
                }
            }
            if let last = read.values.dropLast(read.own).last, let writer = self.writers[last],
                writer != read.operation, let appended = self.history[writer].action.appends[read.list],
                appended.last != last
            {
                self.violations.append(
                    Violation(.intermediate, "\(self.name(read.operation)) sees a part of \(self.name(writer))"))
            }
        }
    }

    private func writes(_ operation: Int, _ value: Int, to list: Int) -> Bool {
        self.history[operation].action.steps.contains(.append(list: list, value: value))
    }

    /// Checks that a read sees what had been acknowledged before it began. The graph would find it too, with less to say.
    private mutating func checkTime() {
        var appends: [Int: [(ended: Duration, value: Int)]] = [:]
        for operation in self.history where operation.outcome == .acknowledged {
            for case .append(let list, let value) in operation.action.steps {
                appends[list, default: []].append((operation.ended, value))
            }
        }
        var readsOfList: [Int: [Read]] = [:]
        for read in self.reads { readsOfList[read.list, default: []].append(read) }
        for (list, reads) in readsOfList.sorted(by: { $0.key < $1.key }) {
            var positions: [Int: Int] = [:]
            for (position, value) in (self.orders[list] ?? []).enumerated() { positions[value] = position }
            var pending = (appends[list] ?? []).sorted { $0.ended < $1.ended }[...]
            var required: (count: Int, value: Int)?
            var lost: Set<Int> = []
            for read in reads.sorted(by: { self.history[$0.operation].began < self.history[$1.operation].began }) {
                while let next = pending.first, next.ended < self.history[read.operation].began {
                    pending.removeFirst()
                    guard let position = positions[next.value] else {
                        if lost.insert(next.value).inserted {
                            self.violations.append(
                                Violation(
                                    .lost,
                                    "\(self.name(self.writers[next.value]!)) was acknowledged, and nobody has seen "
                                        + "\(next.value), not \(self.name(read.operation)), which began later"))
                        }
                        continue
                    }
                    if position + 1 > required?.count ?? 0 { required = (position + 1, next.value) }
                }
                if let required, read.values.count < required.count {
                    self.violations.append(
                        Violation(
                            .stale,
                            "\(self.name(read.operation)) began after "
                                + "\(self.name(self.writers[required.value]!)) and does not see \(required.value)"))
                }
            }
        }
    }

    private mutating func checkCycles() {
        var isSeen = Set<Int>()
        for order in self.orders.values {
            for value in order { if let writer = self.writers[value] { isSeen.insert(writer) } }
        }
        // What is not known to be done is not there, unless somebody has seen it.
        func counts(_ operation: Int) -> Bool {
            self.history[operation].outcome == .acknowledged || isSeen.contains(operation)
        }
        var graph = DependencyGraph(count: self.history.count)
        var unseen: [Int: Set<Int>] = [:]
        for (value, writer) in self.writers where counts(writer) {
            for case .append(let list, value) in self.history[writer].action.steps
            where self.orders[list]?.contains(value) != true {
                unseen[list, default: []].insert(writer)
            }
        }
        for (list, order) in self.orders {
            for (first, second) in zip(order, order.dropFirst()) {
                guard let first = self.writers[first], let second = self.writers[second] else { continue }
                graph.add(first, second, .overwrites)
            }
            guard let last = order.last.flatMap({ self.writers[$0] }) else { continue }
            for writer in unseen[list] ?? [] { graph.add(last, writer, .overwrites) }
        }
        for read in self.reads {
            let others = read.values.dropLast(read.own)
            if let last = others.last, let writer = self.writers[last] { graph.add(writer, read.operation, .reads) }
            let order = self.orders[read.list] ?? []
            if others.count < order.count {
                if let writer = self.writers[order[others.count]] { graph.add(read.operation, writer, .missed) }
            } else {
                for writer in unseen[read.list] ?? [] { graph.add(read.operation, writer, .missed) }
            }
        }
        self.addTime(to: &graph, counts)
        for cycle in graph.cycles() {
            let steps = cycle.map { "\(self.name($0.from)) \($0.kind.rawValue)" }
            self.violations.append(
                Violation(.cycle, steps.joined(separator: "\n    ") + "\n    \(self.name(cycle[0].from))"))
        }
    }

    /// Adds that what had ended when something else began comes before it: not all pairs, but such that all follow.
    private func addTime(to graph: inout DependencyGraph, _ counts: (Int) -> Bool) {
        var events: [(time: Duration, isEnd: Bool, operation: Int)] = []
        for (index, operation) in self.history.enumerated() where counts(index) {
            events.append((operation.began, false, index))
            if operation.outcome == .acknowledged { events.append((operation.ended, true, index)) }
        }
        events.sort { ($0.time, $0.isEnd ? 1 : 0) < ($1.time, $1.isEnd ? 1 : 0) }
        var frontier: Set<Int> = []
        for event in events {
            if event.isEnd {
                let began = self.history[event.operation].began
                frontier = frontier.filter { self.history[$0].ended >= began }
                frontier.insert(event.operation)
            } else {
                for earlier in frontier { graph.add(earlier, event.operation, .precedes) }
            }
        }
    }
}
