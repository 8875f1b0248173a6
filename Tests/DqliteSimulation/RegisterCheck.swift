/// Whether operations on one register are linearizable, when every value is written once: the zones of Gibbons and Korach,
/// "Testing Shared Memories" (1997), section 4.2.
///
/// Operations on one value must follow each other at once. Between the first end and the last start of them (a forward zone) no
/// other value can have its place as a whole; if all of them overlap (a backward zone), there is a point for them all.
struct RegisterCheck {
    private struct Cluster {
        var write: (start: Int, end: Int)?
        var wasRead = false
        var firstEnd = Int.max
        var lastStart = Int.min
    }

    private var clusters: [UInt64: Cluster] = [:]

    /// Zero is what is there before all.
    init() { self.clusters[0] = Cluster(write: (Int.min, Int.min), firstEnd: Int.min, lastStart: Int.min) }

    /// - Parameter end: nil if it never ended, and may happen at any time.
    mutating func write(_ value: UInt64, start: Int, end: Int?) {
        self.clusters[value, default: Cluster()].write = (start, end ?? .max)
        self.extend(value, start: start, end: end ?? .max)
    }

    mutating func read(_ value: UInt64, start: Int, end: Int) {
        // Writes that never ended count only if they were seen.
        self.clusters[value, default: Cluster()].wasRead = true
        self.extend(value, start: start, end: end)
    }

    private mutating func extend(_ value: UInt64, start: Int, end: Int) {
        self.clusters[value]!.firstEnd = min(self.clusters[value]!.firstEnd, end)
        self.clusters[value]!.lastStart = max(self.clusters[value]!.lastStart, start)
    }

    /// What is wrong; nil: nothing.
    func violation() -> String? {
        var forward: [(low: Int, high: Int, value: UInt64)] = []
        var backward: [(low: Int, high: Int, value: UInt64)] = []
        for (value, cluster) in self.clusters.sorted(by: { $0.key < $1.key }) {
            guard let write = cluster.write else { return "\(value) was read, but never written" }
            if write.end == .max, !cluster.wasRead { continue }
            if cluster.firstEnd < write.start { return "\(value) was read before it was written" }
            if cluster.firstEnd < cluster.lastStart {
                forward.append((cluster.firstEnd, cluster.lastStart, value))
            } else {
                backward.append((cluster.lastStart, cluster.firstEnd, value))
            }
        }
        forward.sort { ($0.low, $0.high) < ($1.low, $1.high) }
        for (one, other) in zip(forward, forward.dropFirst()) where other.low < one.high {
            return "\(one.value) and \(other.value) overlap: each must come before the other"
        }
        for zone in backward {
            // The last forward zone that begins before it, as forward zones do not overlap.
            var low = 0
            var high = forward.count
            while low < high {
                let middle = (low + high) / 2
                if forward[middle].low < zone.low { low = middle + 1 } else { high = middle }
            }
            if low > 0, zone.high < forward[low - 1].high {
                return "\(zone.value) was written and gone while \(forward[low - 1].value) was there"
            }
        }
        return nil
    }
}
