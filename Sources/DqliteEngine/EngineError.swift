public import DqliteProtocol

/// Why a request was not carried out.
public struct EngineError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An extended result code of SQLite, or one of dqlite's own from 1000 on. 0 is dqlite's code for "empty statement".
    public var code: UInt64
    /// What failed and what to do, for a person.
    public var message: String
    /// What became of the write, if it was one.
    public var outcome: WriteOutcome

    public init(code: UInt64, message: String, outcome: WriteOutcome = .notCommitted) {
        self.code = code
        self.message = message
        self.outcome = outcome
    }

    public var description: String { "\(self.message) (\(self.code))" }
}
