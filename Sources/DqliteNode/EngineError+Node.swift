import DqliteEngine
import DqliteProtocol

/// The failures that the node itself answers with. Nearly all of them happen before anything is carried out.
extension EngineError {
    static func refused(_ code: UInt64, _ message: String) -> EngineError {
        EngineError(code: code, message: message, outcome: .notCommitted)
    }

    /// A request, a revision or a format that the node does not know, or one that is damaged.
    static func malformed(_ message: String) -> EngineError { .refused(FailureCode.malformedRequest, message) }
    /// Something is not free, or a limit is reached.
    static func busy(_ message: String) -> EngineError { .refused(FailureCode.busy, message) }
    static func interrupted(_ message: String) -> EngineError { .refused(FailureCode.interrupted, message) }
    static func unsupported(_ message: String) -> EngineError { .refused(FailureCode.error, message) }

    static var tooManyPartialRequests: EngineError {
        .busy("the node has too many bytes of requests that have arrived in part: try again later")
    }
    static var notLeader: EngineError { .refused(FailureCode.notLeader, "not leader") }
    static var leadershipLost: EngineError {
        EngineError(
            code: FailureCode.leadershipLost,
            message: "leadership lost: it is not known here whether the change is made; ask the new leader",
            outcome: .unknown)
    }
    static var isReceiving: EngineError {
        .refused(FailureCode.cannotOpen, "the node is receiving a copy of the databases: ask another node")
    }
    static var noDatabase: EngineError { .refused(FailureCode.notFound, "no database opened") }
    static var databaseIsOpen: EngineError { .busy("a database for this connection is already open") }
    static var unknownRequest: EngineError { .malformed("unrecognized request type") }
    static var isShuttingDown: EngineError { .refused(FailureCode.abort, "the node is shutting down") }

    /// As it travels.
    var response: FailureResponse {
        FailureResponse(code: self.code, message: self.message, outcome: self.outcome)
    }
}
