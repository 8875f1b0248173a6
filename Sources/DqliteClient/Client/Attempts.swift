import DqliteProtocol
import NIOCore

extension DqliteError {
    /// Whether it says that the node does not lead, or is not there, or not for long.
    var isAboutLeader: Bool {
        switch self.code {
        case .notLeader, .leadershipLost, .connectFailed, .connectionClosed, .protocolViolation: true
        // That is what a node answers that shuts down. Otherwise nodes have no use for the code.
        case .sqlite: self.server?.extendedResultCode == FailureCode.abort
        default: false
        }
    }
}

/// How long a call goes on trying, and after what.
struct Attempts: Sendable {
    let deadline: NIODeadline
    private var backoff: Backoff
    private var random = SystemRandomNumberGenerator()

    init(until deadline: NIODeadline, policy: DqliteClientConfiguration.RetryPolicy) {
        self.deadline = deadline
        self.backoff = Backoff(policy)
    }

    /// How long to wait until it is tried again; nil: it must not be, or there is no time left.
    ///
    /// - Parameter isHarmless: Whether doing it twice changes nothing.
    mutating func pause(after error: DqliteError, isHarmless: Bool, now: NIODeadline) -> Duration? {
        guard error.isAboutLeader, isHarmless || error.outcome == .notCommitted else { return nil }
        let pause = self.backoff.next(using: &self.random)
        return now + TimeAmount(pause) < self.deadline ? pause : nil
    }
}
