import DqliteProtocol
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteClient

/// Transactions that end otherwise than by the client's COMMIT.
@Suite struct TransactionEndTests {
    struct Whim: Error {}

    @Test func `Requests of a transaction say so`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task {
            try await test.connection.withTransaction { transaction in
                try await transaction.execute("DELETE FROM t")
                _ = try await transaction.query("SELECT 1").collect()
                try await transaction.withPreparedStatement("DELETE FROM s") { _ = try await $0.execute() }
                throw Whim()
            }
        }
        func next(_ isInTransaction: Bool, _ body: Response.Body) async throws -> ReceivedRequest {
            let request = try await test.next()
            #expect(request.isInTransaction == isInTransaction, "\(request.body)")
            try await test.answer(request, body)
            return request
        }
        #expect(try await next(false, done).sql == "BEGIN IMMEDIATE")
        #expect(try await next(true, done).sql == "DELETE FROM t")
        #expect(try await next(true, part([1])).sql == "SELECT 1")
        _ = try await next(false, .statement(StatementResponse(statementID: 3)))
        #expect(try await next(true, done).body == .exec(ExecRequest(statementID: 3)))
        #expect(try await next(false, .empty(EmptyResponse())).body == .finalize(FinalizeRequest(statementID: 3)))
        #expect(try await next(false, done).sql == "ROLLBACK")
        await #expect(throws: DqliteTransactionError.self) { try await task.value }

        async let after = test.connection.execute("DELETE FROM t")
        _ = try await next(false, done)
        _ = try await after
    }

    @Test func `COMMIT says that it belongs to a transaction, and what a prepared statement does too`() async throws {
        let test = try await TestConnection(.protobuf)
        let preparing = Task { try await test.connection.prepare("DELETE FROM s") }
        try await test.expect("DELETE FROM s", .statement(StatementResponse(statementID: 3)))
        let statement = try await preparing.value
        async let value: Void = test.connection.withTransaction { _ in _ = try await statement.execute() }
        for isInTransaction in [false, true, true] {
            let request = try await test.next()
            #expect(request.isInTransaction == isInTransaction)
            try await test.answer(request, done)
        }
        try await value
    }

    @Test(arguments: bothEncodings)
    func `After a failure that rolled back nothing more is sent, and nothing committed`(
        _ encoding: WireEncoding
    ) async throws {
        let codes: [UInt64] = encoding == .dqlite ? [516, 4, 7, 9, 10, 778, 11, 13] : [516]
        for code in codes {
            let test = try await TestConnection(encoding)
            let task = Task {
                try await test.connection.withTransaction { transaction in
                    await #expect(throws: DqliteError.self) {
                        try await transaction.execute("INSERT INTO t VALUES (1)")
                    }
                    let error = await #expect(throws: DqliteError.self) {
                        try await transaction.execute("INSERT INTO t VALUES (2)")
                    }
                    #expect(error?.code == .transactionEnded && error?.outcome == .notCommitted)
                    let query = await #expect(throws: DqliteError.self) { try await transaction.query("SELECT 1") }
                    #expect(query?.code == .transactionEnded)
                }
            }
            try await test.expect("BEGIN IMMEDIATE", done)
            try await test.expect("INSERT INTO t VALUES (1)", failure(code, "it is over", .notCommitted))
            try await test.expect("ROLLBACK", failure(1, "cannot rollback - no transaction is active"))
            let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
            #expect(error?.commitError?.code == .transactionEnded && error?.outcome == .notCommitted, "\(code)")
            #expect(error?.rollbackError == nil)
            #expect((error?.commitError?.underlyingError as? DqliteError)?.server?.extendedResultCode == code)
            #expect(try await test.sent().isEmpty)
        }
    }

    @Test func `A violated constraint ends a transaction in the dqlite encoding when the SQL says ROLLBACK`()
        async throws
    {
        for (sql, ends) in [("INSERT OR ROLLBACK INTO t VALUES (1)", true), ("INSERT INTO t VALUES (1)", false)] {
            let test = try await TestConnection(.dqlite)
            let task = Task {
                try await test.connection.withTransaction { transaction in
                    _ = try? await transaction.execute(DqliteQuery(unsafeSQL: sql))
                }
            }
            try await test.expect("BEGIN IMMEDIATE", done)
            try await test.expect(sql, failure(2067, "UNIQUE constraint failed"))
            try await test.expect(ends ? "ROLLBACK" : "COMMIT", done)
            if ends {
                let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
                #expect(error?.outcome == .notCommitted)
            } else {
                try await task.value
            }
        }
    }

    @Test func `A failure in the rows ends a transaction too`() async throws {
        let test = try await TestConnection(.dqlite)
        let task = Task {
            try await test.connection.withTransaction { transaction in
                _ = try? await transaction.query("SELECT n FROM t").collect()
            }
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        let query = try await test.next()
        try await test.answer(query, part([1], more: true))
        try await test.answer(query, failure(10, "disk I/O error"))
        try await test.expect("ROLLBACK", done)
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.commitError?.code == .transactionEnded)
    }

    @Test func `What a refused COMMIT says`() async throws {
        for (encoding, sql, code, outcome) in [
            (WireEncoding.protobuf, "DELETE FROM t", UInt64(516), DqliteError.Outcome.notCommitted),
            (.protobuf, "COMMIT", 516, .unknown), (.protobuf, "DELETE FROM t", 1, .unknown),
            (.dqlite, "DELETE FROM t", 1, .unknown),
        ] {
            let test = try await TestConnection(encoding)
            let task = Task {
                try await test.connection.withTransaction { _ = try await $0.execute(DqliteQuery(unsafeSQL: sql)) }
            }
            try await test.expect("BEGIN IMMEDIATE", done)
            try await test.expect(sql, done)
            try await test.expect("COMMIT", failure(code, "refused", .notCommitted))
            try await test.expect("ROLLBACK", failure(1, "whatever the words are"))
            let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
            #expect(error?.outcome == outcome && error?.rollbackError == nil, "\(encoding) \(sql) \(code)")
        }
    }

    @Test func `A closure that throws after the transaction ended unnoticed`() async throws {
        for (encoding, outcome) in [(WireEncoding.dqlite, DqliteError.Outcome.unknown), (.protobuf, .notCommitted)] {
            let test = try await TestConnection(encoding)
            let task = Task {
                try await test.connection.withTransaction { transaction in
                    // A trigger says RAISE(ROLLBACK), and what comes after it is committed by itself.
                    _ = try? await transaction.execute("INSERT INTO t VALUES (1)")
                    throw Whim()
                }
            }
            try await test.expect("BEGIN IMMEDIATE", done)
            try await test.expect("INSERT INTO t VALUES (1)", failure(1811, "no", .notCommitted))
            try await test.expect("ROLLBACK", failure(1, "cannot rollback"))
            let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
            #expect(error?.closureError is Whim && error?.outcome == outcome, "\(encoding)")
        }
    }

    @Test func `What was on its way in the dqlite encoding when the transaction ended may be committed`() async throws {
        let test = try await TestConnection(.dqlite)
        let task = Task {
            try await test.connection.withTransaction { transaction in
                await withTaskGroup(of: Void.self) { group in
                    for number in 1...2 {
                        group.addTask { _ = try? await transaction.execute("INSERT INTO t VALUES (\(number))") }
                    }
                }
            }
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        let first = try await test.next()
        // Both were given before the first is answered.
        while test.connection.transactionPlace.current?.runningCount != 2 { await Task.yield() }
        try await test.answer(first, failure(13, "database or disk is full"))
        try await test.answer(try await test.next(), done)
        try await test.expect("ROLLBACK", failure(1, "no transaction"))
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.outcome == .unknown)
    }

    @Test(arguments: bothEncodings)
    func `A connection has one transaction at a time`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let value: Void = test.connection.withTransaction { _ in
            let error = await #expect(throws: DqliteTransactionError.self) {
                try await test.connection.withTransaction { _ in Issue.record("must not run") }
            }
            #expect(error?.beginError?.code == .transactionInProgress && error?.outcome == .notCommitted)
            #expect(error?.rollbackError == nil)
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("COMMIT", done)
        try await value
        async let again: Void = test.connection.withTransaction { _ in }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("COMMIT", done)
        try await again
    }

    @Test(arguments: bothEncodings)
    func `A BEGIN that was not sent is not rolled back`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await test.connection.withTransaction { _ in Issue.record("must not run") }
        }
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.beginError?.code == .cancelled)
        #expect(try await test.sent().isEmpty)
    }

    @Test func `A COMMIT that was sent is waited for`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task { try await test.connection.withTransaction { _ in } }
        try await test.expect("BEGIN IMMEDIATE", done)
        let commit = try await test.next()
        task.cancel()
        try await test.answer(commit, done)
        try await task.value
        #expect(try await test.sent().isEmpty)
    }
}
