/// What went wrong on a connection, or with a statement.
///
/// ``description`` says little, so that it can be logged; ``debugDescription`` says all there is, the node's message with
/// pieces of SQL and of data included.
public struct DqliteError: Error, Sendable, CustomStringConvertible, CustomDebugStringConvertible {
    /// What went wrong.
    public struct Code: Hashable, Sendable, CustomStringConvertible {
        enum Base: String, Hashable, Sendable {
            case cancelled, deadlineExceeded, connectFailed, connectionClosed, notLeader, leadershipLost, sqlite
            case protocolViolation, decoding, invalidQuery, invalidConfiguration, tooManyRequests, rowTooLarge
            case transactionEnded, transactionInProgress, resultNotRead
            case noLeader, clientIsShutDown
        }

        let base: Base

        public var description: String { self.base.rawValue }

        /// The task that waited was cancelled. What was sent before is taken back as far as possible.
        public static var cancelled: Code { Code(base: .cancelled) }
        /// The answer did not come in time. What was sent before is taken back as far as possible.
        public static var deadlineExceeded: Code { Code(base: .deadlineExceeded) }
        /// There is no connection to be had at the address.
        public static var connectFailed: Code { Code(base: .connectFailed) }
        /// The connection is closed, by whichever side, or the session or the statement is.
        public static var connectionClosed: Code { Code(base: .connectionClosed) }
        /// The node does not lead the cluster: ask another.
        public static var notLeader: Code { Code(base: .notLeader) }
        /// The node ceased to lead the cluster while it carried out the statement.
        public static var leadershipLost: Code { Code(base: .leadershipLost) }
        /// The node refused the statement, mostly with an error of SQLite: see ``DqliteError/server``.
        public static var sqlite: Code { Code(base: .sqlite) }
        /// The node sent what the protocol does not allow. The connection is closed.
        public static var protocolViolation: Code { Code(base: .protocolViolation) }
        /// A row does not hold what was asked for; the underlying error is a ``DqliteDecodingError``.
        public static var decoding: Code { Code(base: .decoding) }
        /// The statement cannot be sent: a value that SQLite, or the encoding, cannot carry.
        public static var invalidQuery: Code { Code(base: .invalidQuery) }
        /// The configuration contradicts itself.
        public static var invalidConfiguration: Code { Code(base: .invalidConfiguration) }
        /// More requests wait for this connection than its configuration allows.
        public static var tooManyRequests: Code { Code(base: .tooManyRequests) }
        /// The transaction was used after its closure had returned, or after a failure that made SQLite roll it back.
        public static var transactionEnded: Code { Code(base: .transactionEnded) }
        /// The connection has a transaction already: another one needs another connection or session.
        public static var transactionInProgress: Code { Code(base: .transactionInProgress) }
        /// The task reads a larger result on the same connection, behind which the request would wait for ever.
        public static var resultNotRead: Code { Code(base: .resultNotRead) }
        /// A client found no node that leads the cluster before the time was over.
        public static var noLeader: Code { Code(base: .noLeader) }
        /// The client does not run any more.
        public static var clientIsShutDown: Code { Code(base: .clientIsShutDown) }
        /// A row is larger than the configuration allows.
        public static var rowTooLarge: Code { Code(base: .rowTooLarge) }
    }

    /// What became of the write that failed.
    public enum Outcome: Hashable, Sendable {
        /// Nothing was changed, and nothing will be.
        case notCommitted
        /// The change is committed; what failed came after it.
        case committed
        /// The change may be committed, now or later: it had been sent and no answer came.
        case unknown
    }

    /// What the node said.
    public struct ServerInfo: Hashable, Sendable {
        /// Extended result code of SQLite, or one of dqlite's own. The low byte tells the class.
        public var extendedResultCode: UInt64
        /// The node's message.
        public var message: String

        public init(extendedResultCode: UInt64, message: String) {
            self.extendedResultCode = extendedResultCode
            self.message = message
        }

        /// SQLite's primary result code: 19 for every violated constraint, 5 for every kind of busy.
        public var resultCode: UInt8 { UInt8(truncatingIfNeeded: self.extendedResultCode) }
    }

    // A reference, so that an error is one word in results and existentials; copied when it is changed.
    private final class Backing: Sendable {
        let code: Code
        let outcome: Outcome
        let message: String?
        let server: ServerInfo?
        let leaderHint: DqliteServerAddress?
        let underlyingError: (any Error)?
        let sql: String?
        let file: String
        let line: Int

        init(
            code: Code, outcome: Outcome, message: String?, server: ServerInfo?, leaderHint: DqliteServerAddress?,
            underlyingError: (any Error)?, sql: String?, file: String, line: Int
        ) {
            self.code = code
            self.outcome = outcome
            self.message = message
            self.server = server
            self.leaderHint = leaderHint
            self.underlyingError = underlyingError
            self.sql = sql
            self.file = file
            self.line = line
        }
    }

    private var backing: Backing

    public init(
        _ code: Code, outcome: Outcome = .notCommitted, message: String? = nil, server: ServerInfo? = nil,
        leaderHint: DqliteServerAddress? = nil, underlyingError: (any Error)? = nil, sql: String? = nil,
        file: String = #fileID, line: Int = #line
    ) {
        self.backing = Backing(
            code: code, outcome: outcome, message: message, server: server, leaderHint: leaderHint,
            underlyingError: underlyingError, sql: sql, file: file, line: line)
    }

    /// What went wrong.
    public var code: Code { self.backing.code }
    /// What became of the write, if it was one. Of a query the client does not know whether it writes.
    public var outcome: Outcome { self.backing.outcome }
    /// What went wrong, for a person.
    public var message: String? { self.backing.message }
    /// What the node said, when it was the node that refused.
    public var server: ServerInfo? { self.backing.server }
    /// Who leads, when the node said so.
    public var leaderHint: DqliteServerAddress? { self.backing.leaderHint }
    /// The error behind this one.
    public var underlyingError: (any Error)? { self.backing.underlyingError }
    /// The SQL of the statement that failed, without its values.
    public var sql: String? { self.backing.sql }
    /// Where the program asked for what failed.
    public var file: String { self.backing.file }
    /// Where the program asked for what failed.
    public var line: Int { self.backing.line }

    /// Code, result code and place: no SQL, no data.
    public var description: String {
        var text = "DqliteError(\(self.code)"
        if let server = self.server { text += " \(server.extendedResultCode)" }
        if self.outcome != .notCommitted { text += ", outcome: \(self.outcome)" }
        return text + " at \(self.file):\(self.line))"
    }

    /// All there is.
    public var debugDescription: String {
        var text = "DqliteError(code: \(self.code), outcome: \(self.outcome)"
        if let message = self.message { text += ", message: \(message)" }
        if let server = self.server {
            text += ", server: \(server.extendedResultCode) \(String(reflecting: server.message))"
        }
        if let leader = self.leaderHint { text += ", leader: \(leader)" }
        if let sql = self.sql { text += ", sql: \(String(reflecting: sql))" }
        if let error = self.underlyingError { text += ", underlying: \(String(reflecting: error))" }
        return text + ", at: \(self.file):\(self.line))"
    }

    /// The same error, said to come from another place and to belong to a statement.
    func at(file: String, line: Int, sql: String? = nil) -> DqliteError {
        DqliteError(
            self.code, outcome: self.outcome, message: self.message, server: self.server, leaderHint: self.leaderHint,
            underlyingError: self.underlyingError, sql: sql ?? self.sql, file: file, line: line)
    }

    /// The same error about a request that may have been a write and was sent.
    func with(outcome: Outcome) -> DqliteError {
        DqliteError(
            self.code, outcome: outcome, message: self.message, server: self.server, leaderHint: self.leaderHint,
            underlyingError: self.underlyingError, sql: self.sql, file: self.file, line: self.line)
    }
}
