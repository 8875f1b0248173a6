/// Defects that tests plant, to see that they are found. A real engine has none.
package struct EngineDefects: OptionSet, Sendable {
    package let rawValue: Int

    package init(rawValue: Int) { self.rawValue = rawValue }

    /// Batches are offered although their overlay is of another term than the one that this node leads in.
    package static let ignoresTerm = EngineDefects(rawValue: 1)
    /// Answers do not wait until what they show is committed.
    package static let answersAtOnce = EngineDefects(rawValue: 2)
    /// What sqlite3_stmt_readonly calls reading runs on the committed view.
    package static let trustsReadOnly = EngineDefects(rawValue: 4)
    /// All sessions write on one connection.
    package static let sharesWriter = EngineDefects(rawValue: 8)
}
