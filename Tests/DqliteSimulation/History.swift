/// What clients asked for, and what they were told.
struct History {
    enum Outcome {
        /// It may have happened, or may happen yet.
        case unknown
        case committed([StepResult], version: UInt64)
        case notCommitted
    }

    struct Operation {
        var transaction: Transaction
        var invoked: VirtualTime
        /// nil: never.
        var completed: VirtualTime?
        var outcome = Outcome.unknown
        /// The newest version that anybody had been shown when it was invoked.
        var floor: UInt64
    }

    private(set) var operations: [Operation] = []
    private var newestShown: UInt64 = 0

    /// A transaction begins; its id is its place in the history.
    mutating func invoke(_ transaction: Transaction, at now: VirtualTime) {
        self.operations.append(Operation(transaction: transaction, invoked: now, floor: self.newestShown))
    }

    var nextID: UInt64 { UInt64(self.operations.count) }

    /// - Returns: What is wrong with it: it does not come after all that was known when it was invoked.
    mutating func complete(_ id: UInt64, _ outcome: Outcome, at now: VirtualTime) -> String? {
        let place = Int(id)
        self.operations[place].outcome = outcome
        if case .unknown = outcome { return nil }
        self.operations[place].completed = now
        guard case .committed(_, let version) = outcome else { return nil }
        let operation = self.operations[place]
        self.newestShown = max(self.newestShown, version)
        let isLate = operation.transaction.isReadOnly ? version < operation.floor : version <= operation.floor
        guard isLate else { return nil }
        return "transaction \(id) of \(operation.invoked) to \(now) is at version \(version), but \(operation.floor) was "
            + "known before"
    }
}
