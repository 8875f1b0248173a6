internal import DqliteProtocol

/// Why an overlay was thrown away, with all on it that was not proposed.
enum OverlayLoss: Equatable, Sendable {
    /// Another node leads, or none.
    case leadershipLost
    /// There was no room for a batch in the log. Says where.
    case noSpace(String)
    /// The log, or the pager, has failed. Says how.
    case failed(String)

    init(_ refusal: ProposalRefusal) {
        switch refusal {
        case .notLeader, .queueFull: self = .leadershipLost
        case .noSpace(let text): self = .noSpace(text)
        case .failed(let text): self = .failed(text)
        }
    }

    init(_ failure: ReplicationFailure) {
        switch failure {
        case .leadershipLost: self = .leadershipLost
        case .noSpace(let text): self = .noSpace(text)
        case .failed(let text): self = .failed(text)
        }
    }

    /// For a person.
    var text: String {
        switch self {
        case .leadershipLost: "leadership lost"
        case .noSpace(let text), .failed(let text): text
        }
    }

    /// The failure of what was on it.
    func error(outcome: WriteOutcome) -> EngineError {
        let ending =
            switch outcome {
            case .unknown: "it is not known here whether the write is committed"
            case .committed: "what the request wrote first is committed, and what it wrote last is not"
            default: "nothing was committed"
            }
        switch self {
        case .leadershipLost:
            return EngineError(
                code: FailureCode.leadershipLost, message: "leadership lost: \(ending); ask the new leader",
                outcome: outcome)
        case .noSpace(let text):
            return EngineError(
                code: FailureCode.full, message: "\(text): \(ending); reads go on, and writes do when there is room",
                outcome: outcome)
        case .failed(let text):
            return EngineError(
                code: FailureCode.inputOutput, message: "the node has failed: \(text): \(ending)", outcome: outcome)
        }
    }
}

/// What became of what an answer shows.
enum CommitOutcome: Equatable, Sendable {
    case committed
    /// It was never proposed, and never will be.
    case dropped(OverlayLoss)
    /// It was proposed; nobody here will learn what became of it.
    case unknown(OverlayLoss)
}
