import DqliteProtocol
public import Logging
public import NIOCore
public import NIOPosix
import Synchronization

/// A connection to one node, with one open database.
///
/// Statements run in the order in which they are given. With the protobuf encoding a connection is a session on a channel
/// that it may share with others, see ``openSession(database:)``; with the dqlite encoding it has a channel to itself.
///
/// ```swift
/// try await DqliteConnection.withConnection(to: .hostname("127.0.0.1", port: 9001), database: "library", logger: logger) {
///     connection in
///     try await connection.execute("INSERT INTO authors (name) VALUES (\(name))")
/// }
/// ```
/// A connection stays open until ``close()`` is called.
///
/// Cancelling the task that waits for a statement lets it go on at once; the node is told to stop. A write that was sent
/// may have been made all the same: ``DqliteError/outcome-swift.property`` is then `unknown`.
public final class DqliteConnection: DqliteQueryable {
    let link: ConnectionLink
    let sessionID: UInt64
    let databaseID: UInt32
    let address: DqliteServerAddress
    let database: String
    let configuration: DqliteConnectionConfiguration
    let eventLoopGroup: any EventLoopGroup
    let logger: Logger
    let transactionPlace = TransactionPlace()
    private let isClosed = Atomic(false)

    init(
        link: ConnectionLink, sessionID: UInt64, databaseID: UInt32, address: DqliteServerAddress, database: String,
        configuration: DqliteConnectionConfiguration, eventLoopGroup: any EventLoopGroup, logger: Logger
    ) {
        self.link = link
        self.sessionID = sessionID
        self.databaseID = databaseID
        self.address = address
        self.database = database
        self.configuration = configuration
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
    }

    /// Connects to a node and opens a database.
    ///
    /// - Parameters:
    ///   - address: Where the node listens.
    ///   - database: Name of the database. It exists from its first transaction; opening creates nothing.
    ///   - configuration: How the connection behaves.
    ///   - eventLoopGroup: Where it runs.
    ///   - logger: Where it logs, at the levels trace and debug.
    /// - Throws: ``DqliteError``.
    public static func connect(
        to address: DqliteServerAddress, database: String,
        configuration: DqliteConnectionConfiguration = DqliteConnectionConfiguration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteConnection {
        if let problem = configuration.problem {
            throw DqliteError(.invalidConfiguration, message: problem, file: file, line: line)
        }
        let deadline = NIODeadline.now() + TimeAmount(configuration.connectTimeout)
        do throws(DqliteError) {
            let link = try await ConnectionLink.connect(
                to: address, configuration: configuration, eventLoopGroup: eventLoopGroup, logger: logger)
            return try await self.open(
                on: link, address: address, database: database, configuration: configuration,
                eventLoopGroup: eventLoopGroup, logger: logger, deadline: deadline)
        } catch {
            throw error.at(file: file, line: line)
        }
    }

    /// Connects to a node and opens no database: for ``leader(options:file:line:)``, ``cluster(options:file:line:)`` and
    /// ``dump(_:options:file:line:)`` with a name, which every node answers. Only the leader opens databases; statements fail here.
    ///
    /// - Throws: ``DqliteError``.
    public static func connect(
        to address: DqliteServerAddress,
        configuration: DqliteConnectionConfiguration = DqliteConnectionConfiguration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteConnection {
        if let problem = configuration.problem {
            throw DqliteError(.invalidConfiguration, message: problem, file: file, line: line)
        }
        do throws(DqliteError) {
            let link = try await ConnectionLink.connect(
                to: address, configuration: configuration, eventLoopGroup: eventLoopGroup, logger: logger)
            return DqliteConnection(
                link: link, sessionID: link.makeSession(), databaseID: 0, address: address, database: "",
                configuration: configuration, eventLoopGroup: eventLoopGroup, logger: logger)
        } catch {
            throw error.at(file: file, line: line)
        }
    }

    /// Begins a session on a channel by opening a database; session 0 if it is to be stateless. Closes the channel if that fails and nobody else uses it.
    static func open(
        on link: ConnectionLink, address: DqliteServerAddress, database: String,
        configuration: DqliteConnectionConfiguration, eventLoopGroup: any EventLoopGroup, logger: Logger,
        deadline: NIODeadline, isStateless: Bool = false
    ) async throws(DqliteError) -> DqliteConnection {
        let number = link.makeSession()
        let sessionID = isStateless ? 0 : number
        let requester = Requester(link: link, configuration: configuration, sessionID: sessionID)
        do throws(DqliteError) {
            let response = try await requester.call(
                OpenRequest(name: database), as: Request.Body.open, for: DatabaseResponse.self, deadline: deadline)
            return DqliteConnection(
                link: link, sessionID: sessionID, databaseID: response.databaseID, address: address,
                database: database, configuration: configuration, eventLoopGroup: eventLoopGroup, logger: logger)
        } catch {
            guard link.endSession() else {
                // A session begins with its first request, whatever becomes of that, and others keep the channel open.
                requester.post(CloseSessionRequest(), as: Request.Body.closeSession, for: EmptyResponse.self)
                throw error
            }
            link.close(DqliteError(.connectionClosed, message: "the database could not be opened"))
            guard error.code == .connectionClosed, link.encoding == .protobuf else { throw error }
            throw DqliteError(
                .connectionClosed,
                message: "the node closed the connection before it answered: nodes of C dqlite do that, which speak "
                    + "the dqlite encoding only", underlyingError: error)
        }
    }

    /// Connects, lets `body` use the connection, and closes it.
    @discardableResult
    public static func withConnection<Value>(
        to address: DqliteServerAddress, database: String,
        configuration: DqliteConnectionConfiguration = DqliteConnectionConfiguration(),
        eventLoopGroup: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        file: String = #fileID, line: Int = #line, _ body: (DqliteConnection) async throws -> Value
    ) async throws -> Value {
        let connection = try await Self.connect(
            to: address, database: database, configuration: configuration, eventLoopGroup: eventLoopGroup,
            logger: logger, file: file, line: line)
        let result: Value
        do {
            result = try await body(connection)
        } catch {
            await connection.close()
            throw error
        }
        await connection.close()
        return result
    }

    /// Another session beside this one: with its own transaction and its own order of statements. It has to be closed by itself.
    ///
    /// With the protobuf encoding it shares the channel of this one; with the dqlite encoding it has one of its own.
    ///
    /// - Parameter database: Name of its database; nil: that of this connection.
    public func openSession(
        database: String? = nil, file: String = #fileID, line: Int = #line
    ) async throws(DqliteError) -> DqliteConnection {
        let database = database ?? self.database
        do throws(DqliteError) {
            try self.checkOpen()
            guard self.configuration.encoding == .protobuf else {
                return try await Self.connect(
                    to: self.address, database: database, configuration: self.configuration,
                    eventLoopGroup: self.eventLoopGroup, logger: self.logger)
            }
            return try await Self.open(
                on: self.link, address: self.address, database: database, configuration: self.configuration,
                eventLoopGroup: self.eventLoopGroup, logger: self.logger,
                deadline: self.link.now + TimeAmount(self.configuration.connectTimeout))
        } catch {
            throw error.at(file: file, line: line)
        }
    }

    /// Closes the connection: rolls back its transaction, forgets its statements and fails what still waits. Returns when it is
    /// closed, also if the task is cancelled. Closing again does nothing.
    public func close() async {
        guard !self.isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        if self.link.endSession() {
            self.link.close(DqliteError(.connectionClosed, message: "the connection was closed"))
            try? await self.link.channel.closeFuture.get()
        } else {
            // Others use the channel. If the session cannot be ended it ends with the channel.
            _ = try? await self.requester.call(
                CloseSessionRequest(), as: Request.Body.closeSession, for: EmptyResponse.self,
                ignoringCancellation: true)
        }
    }

    /// Closes the connection and does not wait for it.
    func drop() {
        guard !self.isClosed.exchange(true, ordering: .acquiringAndReleasing) else { return }
        if self.link.endSession() {
            self.link.close(DqliteError(.connectionClosed, message: "the connection was closed"))
        } else if self.sessionID != 0 {
            self.requester.post(CloseSessionRequest(), as: Request.Body.closeSession, for: EmptyResponse.self)
        }
    }

    // MARK: Statements

    public func query(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence {
        try await self.query(query, options: options, in: self.transactionPlace.current, file: file, line: line)
    }

    public func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        try await self.execute(query, options: options, in: self.transactionPlace.current, file: file, line: line)
    }

    func query(
        _ query: DqliteQuery, options: DqliteCallOptions, in transaction: TransactionState?,
        lease: LeaderConnection.Lease? = nil, deadline: NIODeadline? = nil, file: String, line: Int
    ) async throws(DqliteError) -> DqliteRowSequence {
        do throws(DqliteError) {
            try self.checkOpen()
            return try await self.run(query.sql, in: transaction) { () async throws(DqliteError) in
                let parameters = try query.bindings.protocolValues()
                let message = QuerySQLRequest(
                    databaseID: UInt64(self.databaseID), sql: query.sql, parameters: parameters)
                return try await self.requester(inTransaction: transaction != nil).rows(
                    message, as: Request.Body.querySQL, revision: parameters.revision, options: options,
                    deadline: deadline,
                    origin: RowOrigin(
                        sql: query.sql, transaction: transaction, lease: lease, file: file, line: line))
            }
        } catch {
            throw error.at(file: file, line: line, sql: query.sql)
        }
    }

    func execute(
        _ query: DqliteQuery, options: DqliteCallOptions, in transaction: TransactionState?, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        do throws(DqliteError) {
            return try await self.run(query.sql, in: transaction) { () async throws(DqliteError) in
                try await self.send(
                    query, options: options, inTransaction: transaction != nil, file: file, line: line)
            }
        } catch {
            throw error.at(file: file, line: line, sql: query.sql)
        }
    }

    /// Runs a statement, in a transaction if there is one.
    func run<Value>(
        _ sql: String, in transaction: TransactionState?, _ body: () async throws(DqliteError) -> Value
    ) async throws(DqliteError) -> Value {
        guard let transaction else { return try await body() }
        return try await transaction.run(sql, body)
    }

    /// Sends statements without asking whether a transaction is open.
    func send(
        _ query: DqliteQuery, options: DqliteCallOptions, inTransaction: Bool = false,
        ignoringCancellation: Bool = false, file: String, line: Int
    ) async throws(DqliteError) -> DqliteExecuteResult {
        do throws(DqliteError) {
            try self.checkOpen()
            let parameters = try query.bindings.protocolValues()
            let message = ExecSQLRequest(
                databaseID: UInt64(self.databaseID), sql: query.sql, parameters: parameters)
            let response = try await self.requester(inTransaction: inTransaction).call(
                message, as: Request.Body.execSQL, for: ResultResponse.self, revision: parameters.revision,
                options: options, ignoringCancellation: ignoringCancellation)
            return DqliteExecuteResult(response)
        } catch {
            throw error.at(file: file, line: line, sql: query.sql)
        }
    }

    // MARK: Requests

    var requester: Requester { self.requester(inTransaction: false) }

    func requester(inTransaction: Bool) -> Requester {
        Requester(
            link: self.link, configuration: self.configuration, sessionID: self.sessionID,
            inTransaction: inTransaction)
    }

    func checkOpen() throws(DqliteError) {
        if self.isClosed.load(ordering: .acquiring) {
            throw DqliteError(.connectionClosed, message: "the connection was closed")
        }
    }
}

extension DqliteExecuteResult {
    init(_ response: ResultResponse) {
        self.init(
            lastInsertRowID: response.lastInsertRowID, changes: Int64(clamping: response.rowsAffected))
    }
}
