/// What a client was told about something that it wanted.
package enum Outcome: String, Hashable, Sendable {
    /// It was done.
    case acknowledged
    /// It was not done, and never will be.
    case refused
    /// It may have been done, or may yet be.
    case unknown
}

/// Something that a client wanted, and what became of it.
package struct Operation<Action: Hashable & Sendable>: Hashable, Sendable {
    /// The client: it wants one thing at a time.
    package var client: Int
    /// When it asked, from the beginning of the run.
    package var began: Duration
    /// When it was told.
    package var ended: Duration
    package var outcome: Outcome
    package var action: Action

    package init(client: Int, began: Duration, ended: Duration, outcome: Outcome, action: Action) {
        self.client = client
        self.began = began
        self.ended = ended
        self.outcome = outcome
        self.action = action
    }

    /// Whether it may have been done.
    package var mayBeDone: Bool { self.outcome != .refused }
}

extension Operation: CustomStringConvertible {
    package var description: String {
        "\(self.began.text)–\(self.ended.text) client \(self.client) \(self.outcome): \(self.action)"
    }
}

extension Duration {
    /// Seconds, to the microsecond.
    package var text: String {
        let (seconds, attoseconds) = self.components
        let micros = String(attoseconds / 1_000_000_000_000)
        return "\(seconds)." + String(repeating: "0", count: max(0, 6 - micros.count)) + micros + "s"
    }
}
