internal import CSQLite
internal import DqliteProtocol

/// Which SQLite the engine can use.
enum SQLiteVersion {
    /// 3.37 is the first with SQLITE_OPEN_EXRESCODE and sqlite3_changes64.
    static let minimum: Int32 = 3_037_000

    /// What the tests of this project have run with. The pager relies on how SQLite uses its WAL, which no document promises.
    static let tested: ClosedRange<Int32> = 3_040_000...3_040_999

    static func check(allowsUntested: Bool) throws(EngineError) {
        try self.check(
            compiled: SQLITE_VERSION_NUMBER, running: sqlite3_libversion_number(),
            isThreadSafe: sqlite3_threadsafe() != 0)
        try self.check(running: sqlite3_libversion_number(), allowsUntested: allowsUntested)
    }

    static func check(running: Int32, allowsUntested: Bool) throws(EngineError) {
        guard !self.tested.contains(running), !allowsUntested else { return }
        throw self.refusal(
            "SQLite \(self.text(running)) is none that was tested (\(self.text(self.tested.lowerBound)) to "
                + "\(self.text(self.tested.upperBound))): use one of those, or allow it (--allow-untested-sqlite)")
    }

    static func check(compiled: Int32, running: Int32, isThreadSafe: Bool) throws(EngineError) {
        if running < self.minimum {
            throw self.refusal("SQLite \(self.text(running)) is too old: \(self.text(self.minimum)) or newer is needed")
        }
        if running < compiled {
            throw self.refusal(
                "SQLite \(self.text(running)) is older than \(self.text(compiled)), which this program was compiled for"
            )
        }
        if !isThreadSafe { throw self.refusal("SQLite \(self.text(running)) was built without support for threads") }
    }

    private static func text(_ version: Int32) -> String {
        "\(version / 1_000_000).\(version / 1000 % 1000).\(version % 1000)"
    }

    private static func refusal(_ message: String) -> EngineError {
        EngineError(code: FailureCode.misuse, message: message)
    }
}
