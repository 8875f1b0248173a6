import TestSupport

/// How long nothing was acknowledged.
package struct FailoverGaps: Hashable, Sendable {
    package var median: Duration
    package var maximum: Duration
    package var count: Int

    /// - Parameters:
    ///   - faults: When each began, in order. Those that begin together count as one.
    ///   - acknowledgments: When writes were acknowledged, in any order.
    ///   - end: When the last fault's time was over.
    /// - Returns: Of the longest pause from each fault to the next. nil: there was no fault.
    package init?(faults: [Duration], acknowledgments: [Duration], end: Duration) {
        let acknowledgments = acknowledgments.sorted()
        var gaps: [Duration] = []
        let faults = Self.apart(faults)
        for (index, began) in faults.enumerated() {
            let ended = index + 1 < faults.count ? faults[index + 1] : end
            // From the last one before the fault.
            let first = acknowledgments.sortedCount(before: began)
            var last = first > 0 ? acknowledgments[first - 1] : began
            var longest = Duration.zero
            for time in acknowledgments[first...] {
                longest = max(longest, time - last)
                last = time
                if time > ended { break }
            }
            if last < ended { longest = max(longest, ended - last) }
            gaps.append(longest)
        }
        guard !gaps.isEmpty else { return nil }
        gaps.sort()
        self.median = gaps[gaps.count / 2]
        self.maximum = gaps.last!
        self.count = gaps.count
    }

    /// The times without those that come within half a second of another.
    package static func apart(_ times: [Duration]) -> [Duration] {
        times.reduce(into: []) { apart, time in
            if apart.last.map({ time - $0 > .milliseconds(500) }) ?? true { apart.append(time) }
        }
    }
}
