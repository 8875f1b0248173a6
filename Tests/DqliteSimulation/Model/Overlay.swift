import DqliteRaft

/// Where a leader runs transactions before they are replicated; it belongs to one term (rule 4).
struct Overlay {
    /// Transactions that go into the log together.
    struct Batch {
        var answers: [HeldAnswer] = []
        var pages: [Int: Page] = [:]

        var command: Command {
            Command(
                transactions: self.answers.map(\.request.transaction.id),
                pages: self.pages.keys.sorted().map { ($0, self.pages[$0]!) })
        }
    }

    /// What a client is told once everything that it could have seen is committed (rule 6).
    struct HeldAnswer {
        var request: Request
        var results: [StepResult]
        var version: UInt64
    }

    let term: Term
    private var pages: [Int: Page] = [:]
    /// Transactions since the last cut.
    private var batch = Batch()
    /// Cut, and on its way to be proposed.
    var cut: [Batch] = []
    /// Proposed, and not applied.
    var inFlight: [(index: LogIndex, answers: [HeldAnswer])] = []

    init(term: Term) { self.term = term }

    /// Runs a transaction above the committed view.
    @discardableResult
    mutating func run(_ request: Request, shape: DatabaseShape, view: View) -> HeldAnswer {
        let (results, version) = request.transaction.run(on: shape) {
            self.pages[$0] ?? view.pages[$0]
        } write: {
            self.pages[$0] = $1
            self.batch.pages[$0] = $1
        }
        let answer = HeldAnswer(request: request, results: results, version: version)
        self.batch.answers.append(answer)
        return answer
    }

    var hasUncut: Bool { !self.batch.answers.isEmpty }
    var pendingCount: Int { self.batch.answers.count + self.cut.reduce(0) { $0 + $1.answers.count } }

    /// Ends the batch.
    mutating func cutBatch() {
        self.cut.append(self.batch)
        self.batch = Batch()
    }

    /// Those whose answers were never proposed.
    var unproposed: [HeldAnswer] { self.cut.flatMap(\.answers) + self.batch.answers }
}
