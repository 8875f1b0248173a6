import DqliteProtocol
import Testing

@testable import DqliteEngine

/// Requests that belong to a transaction.
@Suite("Requests that need their transaction")
struct EngineMembershipTests {
    private func member(_ session: TestSession, _ message: some RequestMessage) throws -> CollectingSink.End {
        try session.start(message, requiresTransaction: true).waitForEnd()
    }

    private func refusal(_ session: TestSession, _ message: some RequestMessage) throws -> EngineError {
        guard case .failure(let error) = try self.member(session, message) else {
            throw EngineError(code: 999, message: "was run")
        }
        return error
    }

    @Test("nothing of a transaction runs outside of it", arguments: [WireEncoding.dqlite, .protobuf])
    func outside(encoding: WireEncoding) throws {
        let engine = try TestEngine()
        let session = try engine.session("test", encoding)
        try session.exec("CREATE TABLE t (a UNIQUE)")
        let insert = try session.prepare("INSERT INTO t VALUES (?)").statementID
        let select = try session.prepare("SELECT a FROM t").statementID
        let messages: [any RequestMessage] = [
            ExecSQLRequest(sql: "INSERT INTO t VALUES (1)"), QuerySQLRequest(sql: "INSERT INTO t VALUES (1)"),
            ExecRequest(statementID: insert, parameters: [.integer(1)]), QueryRequest(statementID: select),
            PrepareRequest(sql: "SELECT 1"), ExecSQLRequest(sql: "PRAGMA foreign_keys = OFF"),
        ]
        func areRefused() throws {
            for message in messages {
                let error = try self.refusal(session, message)
                #expect(error.code == FailureCode.abortRollback)
                #expect(error.outcome == .notCommitted)
            }
            #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(0)]])
            #expect(try session.query("PRAGMA foreign_keys").rows == [[.integer(1)]])
        }
        try areRefused()
        try session.exec("BEGIN")
        for message in messages {
            guard case .failure(let error) = try self.member(session, message) else { continue }
            #expect(error.code == 2067)
        }
        try session.exec("ROLLBACK; PRAGMA foreign_keys = ON")
        try areRefused()
        // To give a statement back needs no transaction.
        #expect(try self.member(session, FinalizeRequest(statementID: insert)) == .empty)
    }

    @Test("what follows a transaction that SQLite has rolled back is told why")
    func afterRollback() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        try session.exec("CREATE TABLE t (a PRIMARY KEY); BEGIN; INSERT INTO t VALUES (10)")
        let first = try self.refusal(session, ExecSQLRequest(sql: "INSERT OR ROLLBACK INTO t VALUES (10)"))
        #expect(first.code == 1555)
        for _ in 0..<2 {
            let second = try self.refusal(session, ExecSQLRequest(sql: "INSERT INTO t VALUES (11)"))
            #expect(second.code == FailureCode.abortRollback)
            #expect(second.message.contains("UNIQUE constraint failed"))
        }
        #expect(try self.refusal(session, ExecSQLRequest(sql: "COMMIT")).code == FailureCode.abortRollback)
        #expect(try session.query("SELECT count(*) FROM t").rows == [[.integer(0)]])
        // The reason is that of one transaction.
        try session.exec("BEGIN; COMMIT")
        let last = try self.refusal(session, ExecSQLRequest(sql: "INSERT INTO t VALUES (11)"))
        #expect(!last.message.contains("UNIQUE"))
    }

    @Test("of several statements none runs after the one that ends the transaction")
    func betweenStatements() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf)
        try session.exec("CREATE TABLE t (a); BEGIN")
        let sql = "INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)"
        let error = try self.refusal(session, ExecSQLRequest(sql: sql))
        #expect(error.code == FailureCode.abortRollback)
        #expect(error.outcome == .committed)
        try session.exec("BEGIN")
        let end = try self.member(session, ExecSQLRequest(sql: "INSERT INTO t VALUES (3); COMMIT ; -- the end"))
        guard case .result = end else { throw EngineError(code: 999, message: "\(end)") }
        #expect(try session.query("SELECT a FROM t").rows == [[.integer(1)], [.integer(3)]])
    }

    @Test("without a session there is no transaction")
    func stateless() throws {
        let engine = try TestEngine()
        let session = try engine.session("test", .protobuf, isStateless: true)
        let error = try self.refusal(session, ExecSQLRequest(sql: "CREATE TABLE t (a)"))
        #expect(error.code == FailureCode.abortRollback)
        #expect(!engine.hasFile("test"))
    }
}
