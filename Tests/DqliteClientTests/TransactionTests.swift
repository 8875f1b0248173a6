import DqliteProtocol
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteClient

@Suite struct TransactionTests {
    struct Whim: Error {}

    @Test(arguments: bothEncodings)
    func `A transaction is committed when its closure returns`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let value = test.connection.withTransaction { transaction in
            try await transaction.execute("INSERT INTO t VALUES (1)").lastInsertRowID
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect(
            "INSERT INTO t VALUES (1)", .result(ResultResponse(lastInsertRowID: 9, rowsAffected: 1)))
        try await test.expect("COMMIT", done)
        #expect(try await value == 9)
        #expect(try await test.sent().isEmpty)
    }

    @Test func `The modes of a transaction`() async throws {
        for (mode, sql) in [
            (DqliteTransaction.Mode.immediate, "BEGIN IMMEDIATE"), (.deferred, "BEGIN DEFERRED"),
            (.exclusive, "BEGIN EXCLUSIVE"),
        ] {
            let test = try await TestConnection(.protobuf)
            async let value: Void = test.connection.withTransaction(mode) { _ in }
            try await test.expect(sql, done)
            try await test.expect("COMMIT", done)
            try await value
        }
    }

    @Test(arguments: bothEncodings)
    func `A transaction is rolled back when its closure throws`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let task = Task { try await test.connection.withTransaction { _ in throw Whim() } }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("ROLLBACK", done)
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.closureError is Whim && error?.rollbackError == nil && error?.outcome == .notCommitted)
    }

    @Test(arguments: bothEncodings)
    func `A transaction is rolled back when its task is cancelled`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let task = Task {
            try await test.connection.withTransaction { transaction in
                try await transaction.execute("UPDATE t SET x = 1")
            }
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        let update = try await test.next()
        task.cancel()
        #expect(try await test.next().isTakingBack)
        if encoding == .dqlite {
            try await test.answer(update, failure(9, "interrupted"))
            try await test.answer(update, .empty(EmptyResponse()))
        }
        try await test.expect("ROLLBACK", done)
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect((error?.closureError as? DqliteError)?.code == .cancelled && error?.outcome == .notCommitted)
    }

    @Test func `A closure that returns after it was cancelled commits nothing`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task {
            try await test.connection.withTransaction { _ in withUnsafeCurrentTask { $0?.cancel() } }
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("ROLLBACK", done)
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect((error?.closureError as? DqliteError)?.code == .cancelled)
    }

    @Test func `A transaction that is kept runs nothing`() async throws {
        let test = try await TestConnection(.protobuf)
        async let transaction = test.connection.withTransaction { $0 }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("COMMIT", done)
        let kept = try await transaction
        let error = await #expect(throws: DqliteError.self) { try await kept.execute("DELETE FROM t") }
        #expect(error?.code == .transactionEnded && error?.outcome == .notCommitted)
        #expect(try await test.sent().isEmpty)
    }

    @Test func `A transaction that cannot begin`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task { try await test.connection.withTransaction { _ in Issue.record("must not run") } }
        try await test.expect("BEGIN IMMEDIATE", failure(5, "database is locked", .notCommitted))
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.beginError?.server?.extendedResultCode == 5 && error?.outcome == .notCommitted)
        #expect(try await test.sent().isEmpty)
    }

    @Test func `A begin that was given up is rolled back, whatever became of it`() async throws {
        let test = try await TestConnection(.protobuf) { $0.callTimeout = .seconds(1) }
        let task = Task { try await test.connection.withTransaction { _ in Issue.record("must not run") } }
        _ = try await test.next()
        await test.channel.testingEventLoop.advanceTime(by: .seconds(1))
        #expect(try await test.next().isTakingBack)
        await test.channel.testingEventLoop.advanceTime(by: .seconds(1))
        try await test.expect("ROLLBACK", failure(1, "cannot rollback - no transaction is active"))
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.beginError?.code == .deadlineExceeded && error?.rollbackError == nil)
    }

    @Test func `A commit that fails is rolled back`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task { try await test.connection.withTransaction { _ in } }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("COMMIT", failure(787, "FOREIGN KEY constraint failed", .notCommitted))
        try await test.expect("ROLLBACK", done)
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.commitError?.server?.extendedResultCode == 787 && error?.outcome == .notCommitted)
    }

    @Test func `Leadership lost at the commit leaves the outcome open`() async throws {
        let test = try await TestConnection(.dqlite)
        let task = Task { try await test.connection.withTransaction { _ in } }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("COMMIT", failure(10506, "leadership lost"))
        try await test.expect("ROLLBACK", failure(10250, "not leader"))
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.commitError?.code == .leadershipLost && error?.outcome == .unknown)
        #expect(error?.rollbackError?.code == .notLeader)
        try await test.channel.closeFuture.get()
    }

    @Test func `A rollback that fails closes the connection`() async throws {
        let test = try await TestConnection(.dqlite)
        let task = Task { try await test.connection.withTransaction { _ in throw Whim() } }
        try await test.expect("BEGIN IMMEDIATE", done)
        try await test.expect("ROLLBACK", failure(10, "disk I/O error"))
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect(error?.closureError is Whim && error?.rollbackError?.server?.extendedResultCode == 10)
        try await test.channel.closeFuture.get()
    }

    @Test func `The connection is lost in a transaction`() async throws {
        let test = try await TestConnection(.protobuf)
        let task = Task {
            try await test.connection.withTransaction { try await $0.execute("DELETE FROM t") }
        }
        try await test.expect("BEGIN IMMEDIATE", done)
        _ = try await test.next()
        try await test.channel.close()
        let error = await #expect(throws: DqliteTransactionError.self) { try await task.value }
        #expect((error?.closureError as? DqliteError)?.code == .connectionClosed)
        #expect(error?.rollbackError == nil && error?.outcome == .notCommitted)
    }
}
