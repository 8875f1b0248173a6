import TestSupport

/// How long a client waits that a node was too busy for: a random part of a time that doubles with each refusal.
struct Patience: Sendable {
    var first: Duration
    var longest: Duration

    func wait(afterRefusals refusals: Int, _ random: inout SeededRandom) async throws {
        let longest = min(self.longest, self.first * (1 << min(refusals - 1, 16)))
        guard longest > .zero else { return await Task.yield() }
        try await Task.sleep(for: longest * Double(random.below(1000) + 1) / 1000)
    }
}
