import DqliteEngine
import DqliteLog

/// What the log's errors are for the engine.
extension ProposalRefusal {
    init(_ error: LogError) {
        switch error {
        case .queueFull: self = .queueFull
        case .noSpace, .notPrepared: self = .noSpace(error.description)
        default: self = .failed(error.description)
        }
    }
}

extension ReplicationFailure {
    /// Of a mark.
    init(_ error: LogError) {
        switch error {
        case .noSpace, .notPrepared, .queueFull: self = .noSpace(error.description)
        default: self = .failed(error.description)
        }
    }
}
