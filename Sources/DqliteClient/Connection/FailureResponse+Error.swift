import DqliteProtocol

extension DqliteError {
    /// The error that a Failure of the node means.
    init(_ failure: FailureResponse, of request: OutgoingRequest) {
        let code: Code
        switch failure.code {
        case FailureCode.notLeader, FailureCode.legacyNotLeader: code = .notLeader
        case FailureCode.leadershipLost, FailureCode.legacyLeadershipLost: code = .leadershipLost
        default: code = .sqlite
        }
        let outcome: Outcome
        switch failure.outcome {
        case .committed: outcome = .committed
        case .notCommitted: outcome = .notCommitted
        case .unknown: outcome = .unknown
        default:
            // Nodes of the dqlite encoding do not say. What the disk reported as an error may be on it all the same; the general
            // I/O error is also what becomes of an entry that could not be replicated, with the same doubt about it.
            let isInputOutput = code == .sqlite && failure.code & 0xff == FailureCode.inputOutput
            let isDoubtful = code == .leadershipLost || isInputOutput || request.mayCommitInPart
            outcome = request.mayWrite && isDoubtful ? .unknown : .notCommitted
        }
        self.init(
            code, outcome: outcome, message: failure.message,
            server: ServerInfo(extendedResultCode: failure.code, message: failure.message),
            leaderHint: DqliteServerAddress(failure.leaderAddress))
    }
}
