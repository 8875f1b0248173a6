/// Pauses that grow, less something by chance, so that those who failed together do not come back together.
struct Backoff: Sendable {
    private let policy: DqliteClientConfiguration.RetryPolicy
    private var base: Duration

    init(_ policy: DqliteClientConfiguration.RetryPolicy) {
        self.policy = policy
        self.base = policy.initialBackoff
    }

    /// The next pause: between a half and the whole of what it would be.
    mutating func next(using random: inout some RandomNumberGenerator) -> Duration {
        defer { self.base = min(self.policy.maximumBackoff, self.base * self.policy.backoffMultiplier) }
        return Self.jittered(self.base, using: &random)
    }

    /// Between a half and the whole of it.
    static func jittered(_ duration: Duration, using random: inout some RandomNumberGenerator) -> Duration {
        duration * Double.random(in: 0.5...1, using: &random)
    }
}
