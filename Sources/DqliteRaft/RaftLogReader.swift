/// The part of the log that is in storage, as Raft reads it: what is durable and no longer in its memory.
///
/// It shows everything whose write was acknowledged, through the last truncation that was handed out.
public protocol RaftLogReader: Sendable {
    /// The first entry that is there; one past the last snapshot when there is none.
    var firstIndex: LogIndex { get }
    /// The last entry that is there; that of the last snapshot when there is none.
    var lastIndex: LogIndex { get }
    /// The term of an entry, or of the snapshot just before `firstIndex`; nil elsewhere.
    func term(at index: LogIndex) -> Term?
    /// Entries from the start of a range, as many as fit into a number of bytes but at least one. None says that they are
    /// not at hand yet, and to ask again at the next tick.
    func entries(in range: Range<LogIndex>, maximumSize: Int) -> [Entry]
}
