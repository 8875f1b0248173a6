public import DqliteRaft

/// How far the file of a database is, as the log knows it.
public struct CheckpointPosition: Hashable, Sendable {
    /// The highest index whose pages a checkpoint may have written into the file.
    public var intent: LogIndex
    /// The index up to which the file is complete and synced.
    public var done: LogIndex

    public init(intent: LogIndex, done: LogIndex) {
        self.intent = intent
        self.done = done
    }
}

/// How far the checkpoints of a database are, and when the next one is due.
struct CheckpointState {
    /// The newest that is durable in the log: up to there pages may be written.
    var intent = LogIndex.zero
    var done = LogIndex.zero
    /// The oldest entry that is applied and that the file may lack. nil: the file has everything.
    var oldestUnsaved: LogIndex?
    /// Whether a thread is at it, or has been asked to.
    var isScheduled = false
    /// After an attempt that came no further.
    var notBefore: Instant?
    /// When the database is checkpointed however little there is.
    var idleDeadline: Instant?
    /// Whether the overlay has frames that the file has by now.
    var wantsRebuild = false
    /// Whether writers wait, because there is too much in memory.
    var holdsWriters = false
    /// Whether a sync has failed: nobody knows what the file holds, and another sync would say that all is well.
    private(set) var isBroken = false

    /// An entry was applied. A checkpoint may have been faster than who says so.
    mutating func applied(_ index: LogIndex, now: Instant, idleLimit: Duration) {
        if self.oldestUnsaved == nil, index > self.done {
            self.oldestUnsaved = index
            self.idleDeadline = now + idleLimit
        }
    }

    /// The file has everything up to `index`.
    mutating func completed(_ index: LogIndex, applied: LogIndex, now: Instant, idleLimit: Duration) {
        self.done = index
        self.oldestUnsaved = applied > index ? index.next : nil
        self.idleDeadline = applied > index ? now + idleLimit : nil
        self.notBefore = nil
    }

    /// A sync has failed: the file is left to the redo of the next start.
    mutating func syncFailed() {
        self.isBroken = true
        self.idleDeadline = nil
    }

    /// Whether to begin one.
    mutating func begin(isDue: Bool, now: Instant) -> Bool {
        let isLate = self.idleDeadline.map { $0 <= now } ?? false
        guard isDue || isLate, !self.isScheduled, !self.isBroken, self.notBefore.map({ $0 <= now }) ?? true else {
            return false
        }
        self.isScheduled = true
        return true
    }
}

/// What an operator may want to know.
public enum EngineEvent: Sendable {
    /// Pages could not be copied into a file; it is tried again.
    case checkpointFailed(database: String, reason: String)
    /// A reader lost its snapshot, because too many pages were kept in memory for it.
    case snapshotGivenUp(database: String, pages: Int)
    /// What was written and not replicated was dropped; who wrote it was told.
    case overlayLost(database: String, reason: String)
    /// The node cannot go on: it must be stopped.
    case failed(EngineError)
}
