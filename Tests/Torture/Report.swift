import Foundation
import TortureChecks

/// What there is to tell after a run.
struct Report: Sendable {
    var violations: [Violation]
    var workloads: [any Workload]
    var faults: [(at: Duration, fault: Fault)]
    var acknowledgments: [Duration]
    var errors: [String: Int]
    /// How often a leader without room gave up leadership.
    var handovers: Int

    /// The longest pauses between acknowledgments around faults of each kind.
    private var gaps: [String] {
        let end = self.acknowledgments.max() ?? .zero
        let times = FailoverGaps.apart(self.faults.map(\.at))
        var lines: [String] = []
        if let all = FailoverGaps(faults: times, acknowledgments: self.acknowledgments, end: end) {
            lines.append(
                "without acknowledgments after a fault: median \(all.median.text), at most \(all.maximum.text)")
        }
        for kind in Fault.Kind.allCases {
            let gaps = self.faults.filter { $0.fault.kind == kind }.compactMap { fault in
                FailoverGaps(
                    faults: [fault.at], acknowledgments: self.acknowledgments,
                    end: times.first { $0 > fault.at + .milliseconds(500) } ?? end
                )?.maximum
            }.sorted()
            guard let longest = gaps.last else { continue }
            lines.append("  \(kind): \(gaps.count) times, median \(gaps[gaps.count / 2].text), at most \(longest.text)")
        }
        return lines
    }

    var summary: String {
        var lines: [String] = []
        for workload in self.workloads {
            let outcomes = workload.outcomes
            let total = outcomes.values.reduce(0, +)
            lines.append(
                "\(workload.database): \(total) operations, \(outcomes[.acknowledged] ?? 0) acknowledged, "
                    + "\(outcomes[.unknown] ?? 0) unknown, \(outcomes[.refused] ?? 0) refused")
        }
        lines.append("faults: \(self.faults.count)")
        lines += self.gaps
        lines.append("leadership handed over for want of room: \(self.handovers) times")
        for (name, count) in self.errors.sorted(by: { ($1.value, $0.key) < ($0.value, $1.key) }) {
            lines.append("  \(count) × \(name)")
        }
        lines.append("violations: \(self.violations.count)")
        for violation in self.violations.prefix(10) { lines.append("  \(violation)") }
        return lines.joined(separator: "\n")
    }

    /// Writes everything into a file.
    func write(to file: URL) throws {
        var lines = self.violations.map(\.description) + [""]
        lines += self.faults.map { "\($0.at.text) \($0.fault)" }
        for workload in self.workloads {
            lines += ["", workload.database]
            lines += workload.history
        }
        try lines.joined(separator: "\n").write(to: file, atomically: true, encoding: .utf8)
    }
}
