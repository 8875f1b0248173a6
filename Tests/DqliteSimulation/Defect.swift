import DqliteEngine
import DqliteRaft

/// A breach of one of the rules that the house is built on, planted to see that it is found.
package enum Defect: String, CaseIterable, Sendable {
    // Of Raft: rules 26 to 28.
    case votesBeforeDurable, acknowledgesBeforeDurable, countsEarlierTerms, changesBeforeOwnCommit
    case usesCommittedConfiguration, leaseFromAnswer, leaseJudgedAtTick, leaseAfterTimeoutNow, leaseBeforeApplied
    case votesAfterStart
    /// A disk that says that it has synced, and has not (rule 20).
    case syncsNothing
    /// A write is called durable when the log has accepted it (rules 20 and 26).
    case durableWhenAccepted
    /// Term and vote are not saved (rule 26).
    case forgetsVotes
    /// Batches of a doomed overlay are proposed in a later term (rule 4).
    case overlayOutlivesTerm
    /// Clients are answered when a transaction has ended on the overlay (rule 6).
    case answersBeforeCommit
    /// The overlay is opened before the leader's own first entry is applied (rule 7).
    case overlayBeforeOwnEntry
    /// A checkpoint writes what this node's own log may lose (rule 2).
    case checkpointBeyondDurable
    /// Pages are written before the intent is durable (rule 22).
    case pagesBeforeIntent
    /// Views open before redo has passed the newest intent (rule 22).
    case opensBeforeIntent
    /// A checkpoint is called done before the file was synced (rule 22).
    case doneBeforeSync
    /// The head of the log is cut although files lack entries of it (rule 23).
    case releasesTooMuch
    /// A copy of a database is believed to be complete at the place where it began (rule 25).
    case copyWithoutIntent
    /// A copy of a database is put in place without a durable record of what it is (rule 25).
    case copyWithoutRecord

    /// Those that are quickly found with real databases too.
    package static let ofDatabases: [Defect] = [
        .answersBeforeCommit, .overlayBeforeOwnEntry, .opensBeforeIntent, .doneBeforeSync, .releasesTooMuch,
        .copyWithoutIntent, .copyWithoutRecord,
    ]

    /// What the engine is told to do wrong.
    var ofEngine: EngineDefects {
        switch self {
        case .overlayOutlivesTerm: .ignoresTerm
        case .answersBeforeCommit: .answersAtOnce
        default: []
        }
    }

    /// What Raft is told to do wrong.
    var ofRaft: RaftDefects {
        switch self {
        case .votesBeforeDurable: .votesBeforeDurable
        case .acknowledgesBeforeDurable: .acknowledgesBeforeDurable
        case .countsEarlierTerms: .countsEarlierTerms
        case .changesBeforeOwnCommit: .changesBeforeOwnCommit
        case .usesCommittedConfiguration: .usesCommittedConfiguration
        case .leaseFromAnswer: .leaseFromAnswer
        case .leaseJudgedAtTick: .leaseJudgedAtTick
        case .leaseAfterTimeoutNow: .leaseAfterTimeoutNow
        case .leaseBeforeApplied: .leaseBeforeApplied
        case .votesAfterStart: .votesAfterStart
        default: []
        }
    }
}
