import DqliteRaft
import TestSupport

/// Who does not reach whom.
package enum Division: CaseIterable, Sendable {
    case none
    /// Some directions between two nodes are blocked.
    case directions
    /// The leader is cut off, in one direction or both.
    case leader
    /// The leader and another node do not reach each other.
    case pair
    /// Two halves that share one node.
    case bridge
    /// Two parts, of any size.
    case halves
    /// Two parts, as equal as can be.
    case even
}

/// Which nodes reach which, and how long it takes.
struct Network {
    /// A link that comes and goes.
    private struct Flap {
        var from: Int
        var to: Int
        var up: VirtualTime
        var down: VirtualTime
        var end: VirtualTime
    }

    private let count: Int
    /// By sender and receiver.
    private var blocked: [Bool]
    private var flaps: [Flap] = []
    /// When the last message of a sender to a receiver arrives.
    private var lastArrival: [VirtualTime]

    init(count: Int) {
        self.count = count
        self.blocked = Array(repeating: false, count: count * count)
        self.lastArrival = Array(repeating: .zero, count: count * count)
    }

    func isOpen(from: Int, to: Int, at now: VirtualTime) -> Bool {
        if self.blocked[from * self.count + to] { return false }
        return !self.flaps.contains { flap in
            flap.from == from && flap.to == to && now < flap.end
                && now.microseconds % (flap.up + flap.down).microseconds >= flap.up.microseconds
        }
    }

    /// When the copies of a message arrive.
    mutating func arrivals(
        from: Int, to: Int, at now: VirtualTime, plan: Plan.Network, random: inout Chance
    ) -> [VirtualTime] {
        guard self.isOpen(from: from, to: to, at: now), !random.happens(onceIn: plan.loss) else { return [] }
        let copies = !plan.isOrdered && random.happens(onceIn: plan.duplication) ? 2 : 1
        return (0..<copies).map { _ in
            let delay = random.happens(onceIn: plan.lateness) ? plan.lateDelay : plan.delay
            var arrival = now + random.time(in: delay)
            if plan.isOrdered {
                arrival = max(arrival, self.lastArrival[from * self.count + to])
                self.lastArrival[from * self.count + to] = arrival
            }
            return arrival
        }
    }

    /// Everything reaches everything.
    mutating func heal() {
        self.blocked = Array(repeating: false, count: self.count * self.count)
        self.flaps = []
    }

    mutating func block(from: Int, to: Int) { self.blocked[from * self.count + to] = true }

    /// Divides the network, or heals it.
    ///
    /// - Parameter leader: Whom it may be all about.
    mutating func divide(_ division: Division, around leader: Int?, random: inout Chance) {
        self.blocked = Array(repeating: false, count: self.count * self.count)
        let all = 0..<self.count
        switch division {
        case .none: break
        case .directions:
            for from in all { for to in all where random.once(in: 4) { self.block(from: from, to: to) } }
        case .leader:
            // It hears nobody, or nobody hears it, or both.
            guard let leader else { return }
            let directions = random.below(3)
            for other in all {
                if directions != 0 { self.block(from: leader, to: other) }
                if directions != 1 { self.block(from: other, to: leader) }
            }
        case .pair:
            guard let leader else { return }
            let other = random.below(self.count)
            self.block(from: leader, to: other)
            self.block(from: other, to: leader)
        case .bridge:
            let bridge = random.below(self.count)
            self.separate(all.map { _ in random.once(in: 2) }) { $0 != bridge }
        case .halves: self.separate(all.map { _ in random.once(in: 2) }) { _ in true }
        case .even: self.separate(all.map { $0 < self.count / 2 }.shuffled(using: &random)) { _ in true }
        }
    }

    private mutating func separate(_ sides: [Bool], _ isOf: (Int) -> Bool) {
        for from in sides.indices where isOf(from) {
            for to in sides.indices where isOf(to) && sides[from] != sides[to] { self.block(from: from, to: to) }
        }
    }

    /// Lets a link, in one direction or both, come and go.
    mutating func flap(at now: VirtualTime, random: inout Chance) {
        self.flaps.removeAll { $0.end <= now }
        let (one, other) = (random.below(self.count), random.below(self.count))
        let up = random.time(in: .milliseconds(20)...(.seconds(1)))
        let down = random.time(in: .milliseconds(20)...(.seconds(1)))
        let end = now + random.time(in: .seconds(1)...(.seconds(15)))
        self.flaps.append(Flap(from: one, to: other, up: up, down: down, end: end))
        if random.once(in: 2) { self.flaps.append(Flap(from: other, to: one, up: up, down: down, end: end)) }
    }
}
