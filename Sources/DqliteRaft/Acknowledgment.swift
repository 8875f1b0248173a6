/// What a follower has to tell the leader of its term.
///
/// Entries are acknowledged once they are durable; what is durable then is told in one message, however many messages
/// brought it.
struct Acknowledgment: Sendable {
    /// The last place known to match the leader's log.
    var verified = LogIndex.zero
    /// The last place that was acknowledged.
    var acknowledged = LogIndex.zero
    /// The newest round that the leader sent, and the newest that was repeated to it.
    var round: UInt64 = 0
    var repeatedRound: UInt64 = 0
    /// The leader waits for an answer, even if there is nothing new in it.
    var isDue = false

    /// The place to acknowledge now, if an answer is to be sent.
    mutating func take(durable: LogIndex) -> LogIndex? {
        let index = min(self.verified, durable)
        guard self.isDue || index > self.acknowledged || self.round > self.repeatedRound else { return nil }
        self.isDue = false
        self.acknowledged = max(self.acknowledged, index)
        self.repeatedRound = self.round
        return index
    }
}
