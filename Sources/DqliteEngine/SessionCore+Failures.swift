internal import CSQLite
internal import DqliteProtocol

extension SessionCore {
    /// The failure that SQLite's result code stands for. To be called before anything else is done on the connection.
    func failure(_ code: ResultCode, _ session: EngineSession) -> EngineError {
        if code.primary == SQLITE_INTERRUPT { return self.stopped(session) }
        if UInt64(code.value) == FailureCode.notLeader {
            return self.database.lastLoss.error(
                outcome: self.execution?.hasCommitted ?? false ? .unknown : .notCommitted)
        }
        var error = EngineError(code: UInt64(code.value), message: self.message(of: code))
        if let execution = self.execution {
            if execution.wasInTransaction, !self.isInTransaction {
                error.message += "; the transaction was rolled back"
            }
            error.outcome = execution.hasCommitted ? .committed : .notCommitted
        }
        return error
    }

    private func message(of code: ResultCode) -> String {
        if code.primary == SQLITE_AUTH, let refusal = self.connection?.authorizer.refusal { return refusal }
        if UInt64(code.value) == FailureCode.busySnapshot { return Self.snapshotIsStale.message }
        if code.primary == SQLITE_FULL, self.connection?.takeLimitHit() ?? false {
            return
                "the transaction is too large: it changes more than \(self.configuration.maximumTransactionSize) bytes "
                + "of pages, which is the limit"
        }
        // What the engine itself has noticed the connection has no text for.
        guard let connection = self.connection, sqlite3_extended_errcode(connection.handle) == code.value else {
            return String(cString: sqlite3_errstr(code.value))
        }
        return connection.message
    }

    /// The failure of an operation that was told to end.
    func stopped(_ session: EngineSession) -> EngineError {
        let reason = session.stopReason ?? .interrupted
        var error = EngineError(reason)
        guard let execution = self.execution else { return error }
        if execution.hasCommitted { error.outcome = .committed }
        let isInAutocommit = self.connection?.isInAutocommit ?? true
        guard let ended = execution.ended else {
            if execution.wasInTransaction, isInAutocommit { error.message += "; the transaction was rolled back" }
            return error
        }
        // Only the end of the result was not taken.
        if execution.hasCommitted {
            error.code = FailureCode.interrupted
            error.message += "; the statement was complete and is committed"
        } else if ended.traits.contains(.writes), !isInAutocommit, !self.rollsBack(reason) {
            // It will be committed with its transaction, or not.
            error.outcome = .unspecified
            error.message += "; the statement was complete, its changes are part of the transaction"
        }
        return error
    }

    static var snapshotIsStale: EngineError {
        EngineError(
            code: FailureCode.busySnapshot,
            message: """
                another transaction committed since this one first read; start it with BEGIN IMMEDIATE, or run it again
                """)
    }

    static var emptyStatement: EngineError {
        EngineError(code: FailureCode.emptyStatement, message: "empty statement")
    }

    static var nonemptyTail: EngineError { EngineError(code: FailureCode.error, message: "nonempty statement tail") }

    static func unknownStatement(_ number: UInt32) -> EngineError {
        EngineError(code: FailureCode.notFound, message: "no statement with the given id (\(number))")
    }

    static func tooManyParameters(_ count: Int, for statement: Int) -> EngineError {
        EngineError(
            code: FailureCode.range,
            message: "column index out of range: \(count) parameters for a statement that takes \(statement)")
    }
}
