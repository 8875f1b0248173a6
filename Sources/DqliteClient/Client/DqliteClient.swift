public import Logging
public import NIOCore
public import NIOPosix

/// A client of a cluster: it finds the leader, and finds the next one when that is lost.
///
/// ```swift
/// let client = DqliteClient(configuration: .init(seeds: seeds, database: "library.db"), logger: logger)
/// try await client.execute("INSERT INTO authors (name) VALUES (\(name))")
/// ```
/// ``run()`` has to run meanwhile, as a service or in a task group; ``withClient(configuration:eventLoopGroup:logger:_:)`` sees to it.
///
/// What certainly was not committed is tried again until the time of the call is over: when a node refuses because it does not
/// lead or shuts down, cannot be reached, or lost the leadership and says that nothing was changed; and statements that only read, whatever
/// becomes of them. A write whose outcome is not known is never tried again: ``DqliteError/outcome-swift.property`` is `unknown`.
public final class DqliteClient: DqliteQueryable {
    let configuration: DqliteClientConfiguration
    let dialer: Dialer
    let board: LeaderBoard
    let logger: Logger

    /// A client that has not begun.
    ///
    /// - Parameters:
    ///   - configuration: How to find the cluster. One that contradicts itself makes every call fail.
    ///   - eventLoopGroup: Where its connections run.
    ///   - logger: Where it logs, at the levels trace and debug.
    public convenience init(
        configuration: DqliteClientConfiguration,
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger
    ) {
        self.init(
            configuration: configuration,
            dialer: Dialer(configuration, eventLoopGroup: eventLoopGroup, logger: logger), logger: logger)
    }

    init(configuration: DqliteClientConfiguration, dialer: Dialer, logger: Logger) {
        self.configuration = configuration
        self.dialer = dialer
        self.board = LeaderBoard(eventLoop: dialer.eventLoopGroup.next())
        self.logger = logger
    }

    /// Runs a client as long as `body` uses it.
    public static func withClient<Value: Sendable>(
        configuration: DqliteClientConfiguration,
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        _ body: (DqliteClient) async throws -> Value
    ) async throws -> Value {
        let client = DqliteClient(configuration: configuration, eventLoopGroup: eventLoopGroup, logger: logger)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await client.run() }
            defer { group.cancelAll() }
            return try await body(client)
        }
    }

    // MARK: Statements

    /// Runs a statement and returns its rows as they arrive. It is not tried again once its first rows are here.
    public func query(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence {
        try await self.attempt(query, options, file, line) {
            (lease, deadline) async throws(DqliteError) in
            try await lease.connection.query(
                query, options: options, in: nil, lease: lease, deadline: deadline, file: file, line: line)
        }
    }

    public func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        try await self.attempt(query, options, file, line) {
            (lease, deadline) async throws(DqliteError) in
            var options = options
            options.timeout = .nanoseconds(max(1_000_000, (deadline - self.now).nanoseconds))
            return try await lease.connection.execute(query, options: options, in: nil, file: file, line: line)
        }
    }

    private func attempt<Value>(
        _ query: DqliteQuery, _ options: DqliteCallOptions, _ file: String, _ line: Int,
        _ body: (LeaderConnection.Lease, NIODeadline) async throws(DqliteError) -> Value
    ) async throws(DqliteError) -> Value {
        do throws(DqliteError) {
            var attempts = try self.begin(options)
            let isHarmless = SQLScanner.onlyReads(query.sql)
            while true {
                let leader = try await self.board.leader(until: attempts.deadline)
                do throws(DqliteError) {
                    let lease = try await self.lease(leader)
                    return try await body(lease, attempts.deadline)
                } catch {
                    self.note(error, leader)
                    guard let pause = attempts.pause(after: error, isHarmless: isHarmless, now: self.now) else {
                        throw isHarmless ? error.with(outcome: .notCommitted) : error
                    }
                    await self.board.eventLoop.wait(for: pause)
                }
            }
        } catch {
            throw error.at(file: file, line: line, sql: query.sql)
        }
    }

    private func lease(_ leader: LeaderConnection) async throws(DqliteError) -> LeaderConnection.Lease {
        do throws(DqliteError) {
            return try await leader.lease()
        } catch {
            throw Self.whileConnecting(error)
        }
    }

    /// Nothing was sent: a node that is silent is like one that is not there.
    private static func whileConnecting(_ error: DqliteError) -> DqliteError {
        guard error.code == .deadlineExceeded else { return error.with(outcome: .notCommitted) }
        return DqliteError(.connectFailed, message: error.message, underlyingError: error)
    }

    // MARK: Sessions

    /// Lets `body` use a session with the leader: its requests run in order, and TEMP objects, PRAGMAs and prepared statements are
    /// its own. It ends with the leader: what fails in it then is not tried again.
    public func withConnection<Value>(
        options: DqliteCallOptions = .defaults, file: String = #fileID, line: Int = #line,
        _ body: (DqliteConnection) async throws -> Value
    ) async throws -> Value {
        let leader: LeaderConnection
        let connection: DqliteConnection
        do throws(DqliteError) {
            var attempts = try self.begin(options)
            (leader, connection) = try await self.openSession(&attempts)
        } catch {
            throw error.at(file: file, line: line)
        }
        do {
            let value = try await body(connection)
            await connection.close()
            return value
        } catch {
            if let error = error as? DqliteError { self.noteLeadership(error, leader) }
            await connection.close()
            throw error
        }
    }

    /// Runs `body` in a transaction on a session of its own, see ``DqliteConnection/withTransaction(_:options:file:line:_:)``. What
    /// comes before `body` is tried again if need be; `body` runs once at most.
    @discardableResult
    public func withTransaction<Value>(
        _ mode: DqliteTransaction.Mode = .immediate, options: DqliteCallOptions = .defaults, file: String = #fileID,
        line: Int = #line, _ body: (DqliteTransaction) async throws -> Value
    ) async throws(DqliteTransactionError) -> Value {
        var attempts: Attempts
        do throws(DqliteError) {
            attempts = try self.begin(options)
        } catch {
            throw DqliteTransactionError(beginError: error.at(file: file, line: line), file: file, line: line)
        }
        while true {
            let leader: LeaderConnection
            let connection: DqliteConnection
            do throws(DqliteError) {
                (leader, connection) = try await self.openSession(&attempts)
            } catch {
                throw DqliteTransactionError(beginError: error.at(file: file, line: line), file: file, line: line)
            }
            do throws(DqliteTransactionError) {
                let value = try await connection.withTransaction(
                    mode, options: options, file: file, line: line, body)
                await connection.close()
                return value
            } catch {
                for error in [error.beginError, error.closureError as? DqliteError, error.commitError] {
                    if let error { self.noteLeadership(error, leader) }
                }
                await connection.close()
                // BEGIN changes nothing.
                guard let reason = error.beginError,
                    let pause = attempts.pause(after: reason, isHarmless: true, now: self.now)
                else { throw error }
                await self.board.eventLoop.wait(for: pause)
            }
        }
    }

    private func openSession(
        _ attempts: inout Attempts
    ) async throws(DqliteError) -> (LeaderConnection, DqliteConnection) {
        while true {
            let leader = try await self.board.leader(until: attempts.deadline)
            do throws(DqliteError) {
                return (leader, try await leader.openSession())
            } catch {
                let error = Self.whileConnecting(error)
                self.note(error, leader)
                guard let pause = attempts.pause(after: error, isHarmless: true, now: self.now) else { throw error }
                await self.board.eventLoop.wait(for: pause)
            }
        }
    }

    // MARK: Time, and what failures say of the leader

    private var now: NIODeadline { self.board.eventLoop.now }

    private func begin(_ options: DqliteCallOptions) throws(DqliteError) -> Attempts {
        if let problem = self.configuration.problem { throw DqliteError(.invalidConfiguration, message: problem) }
        let timeout = options.timeout ?? self.configuration.callTimeout
        return Attempts(until: self.now + TimeAmount(timeout), policy: self.configuration.retry)
    }

    private func note(_ error: DqliteError, _ leader: LeaderConnection) {
        guard error.isAboutLeader else { return }
        self.board.note(error)
        self.board.giveUp(leader, hint: error.leaderHint)
    }

    /// What the program closed says nothing about the leader.
    private func noteLeadership(_ error: DqliteError, _ leader: LeaderConnection) {
        if error.code != .connectionClosed { self.note(error, leader) }
    }
}
