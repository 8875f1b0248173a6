/// Asked by SQLite every so many steps of its machine whether a statement may go on.
///
/// It belongs to a connection; all but the flag is used by the thread that uses the connection.
final class Progress {
    /// Steps of SQLite's machine from one question to the next: some 10 to 20 µs.
    static let interval: Int32 = 1000

    /// Says that the session which uses the connection shall stop.
    var stopFlag: StopFlag
    private var used = 0
    private var budget: Int?
    /// Whether a statement was ended because it took longer than it may here.
    private(set) var wasCutShort = false

    init(stopFlag: StopFlag) { self.stopFlag = stopFlag }

    /// From now on a statement may take this many questions; nil: as many as it likes.
    ///
    /// - Parameter isContinued: Whether what it has taken before counts too.
    func begin(budget: Int?, isContinued: Bool = false) {
        if !isContinued { self.used = 0 }
        self.budget = budget
        self.wasCutShort = false
    }

    /// Whether half of the budget is used: between two rows it is time to go on elsewhere.
    var isRunningLow: Bool { self.budget.map { !self.isWithin($0) } ?? false }

    /// Whether the statement is short enough for whom this many questions are the budget.
    func isWithin(_ budget: Int) -> Bool { 2 * self.used < budget }

    private func count() -> Bool {
        self.used += 1
        guard let budget = self.budget else { return true }
        if self.used < budget { return true }
        self.wasCutShort = true
        return false
    }

    func goesOn() -> Bool { !self.stopFlag.isSet && self.count() }
}
