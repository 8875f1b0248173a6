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
    }

    private(set) var operations: [Operation] = []

    /// A transaction begins; its id is its place in the history.
    mutating func invoke(_ transaction: Transaction, at now: VirtualTime) {
        self.operations.append(Operation(transaction: transaction, invoked: now))
    }

    var nextID: UInt64 { UInt64(self.operations.count) }

    mutating func complete(_ id: UInt64, _ outcome: Outcome, at now: VirtualTime) {
        self.operations[Int(id)].outcome = outcome
        if case .unknown = outcome { return }
        self.operations[Int(id)].completed = now
    }
}
