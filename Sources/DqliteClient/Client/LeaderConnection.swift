import DqliteProtocol
import Logging
import NIOCore
import Synchronization

/// The connections to the node that leads, as long as it does.
///
/// With the protobuf encoding there is one, on which requests without a session share session 0. With the dqlite encoding a request
/// takes one of those that nobody uses, or makes another.
final class LeaderConnection: Sendable {
    private struct State {
        /// Requests that are under way, rows that are being read included.
        var users = 0
        var isRetired = false
        /// Connections that nobody uses, of the dqlite encoding.
        var idle: [DqliteConnection] = []
        /// All channels, so that they can be closed.
        var links: [ObjectIdentifier: ConnectionLink] = [:]
    }

    /// A connection for a request. Whoever lets go of it gives it back.
    final class Lease: Sendable {
        let leader: LeaderConnection
        let connection: DqliteConnection

        init(leader: LeaderConnection, connection: DqliteConnection) {
            self.leader = leader
            self.connection = connection
        }

        deinit { self.leader.giveBack(self.connection) }
    }

    let address: DqliteServerAddress
    private let dialer: Dialer
    private let database: String
    /// Session 0 with the protobuf encoding; the first idle connection with the dqlite encoding.
    private let first: DqliteConnection
    private let state = Mutex(State())

    /// - Parameter link: By which the leader was found. It is closed if this fails.
    init(
        on link: ConnectionLink, address: DqliteServerAddress, database: String, dialer: Dialer
    ) async throws(DqliteError) {
        self.address = address
        self.database = database
        self.dialer = dialer
        self.first = try await DqliteConnection.open(
            on: link, address: address, database: database, configuration: dialer.configuration,
            eventLoopGroup: dialer.eventLoopGroup, logger: dialer.logger,
            deadline: link.now + TimeAmount(dialer.configuration.connectTimeout),
            isStateless: link.encoding == .protobuf)
        if link.encoding == .dqlite { self.state.withLock { $0.idle = [self.first] } }
        self.note(link)
    }

    /// Completes when the channel on which the leader was found is closed.
    var closeFuture: EventLoopFuture<Void> { self.first.link.channel.closeFuture }

    /// Whether requests are under way.
    var isBusy: Bool { self.state.withLock { $0.users > 0 } }

    /// A connection for one request that needs no session.
    func lease() async throws(DqliteError) -> Lease {
        let shared = self.first.link.encoding == .protobuf ? self.first : nil
        let (idle, isRetired) = self.state.withLock { state -> (DqliteConnection?, Bool) in
            if state.isRetired { return (nil, true) }
            let connection = shared ?? state.idle.popLast()
            if connection != nil { state.users += 1 }
            return (connection, false)
        }
        if isRetired { throw Self.retired }
        if let idle { return Lease(leader: self, connection: idle) }
        let connection = try await self.connect()
        self.state.withLock { $0.users += 1 }
        return Lease(leader: self, connection: connection)
    }

    /// A session of its own, which has to be closed.
    func openSession() async throws(DqliteError) -> DqliteConnection {
        guard self.first.link.encoding == .protobuf else { return try await self.connect() }
        if self.state.withLock({ $0.isRetired }) { throw Self.retired }
        return try await self.first.openSession()
    }

    private func connect() async throws(DqliteError) -> DqliteConnection {
        if self.state.withLock({ $0.isRetired }) { throw Self.retired }
        let link = try await self.dialer.connect(to: self.address)
        self.note(link)
        return try await DqliteConnection.open(
            on: link, address: self.address, database: self.database, configuration: self.dialer.configuration,
            eventLoopGroup: self.dialer.eventLoopGroup, logger: self.dialer.logger,
            deadline: link.now + TimeAmount(self.dialer.configuration.connectTimeout))
    }

    private static var retired: DqliteError {
        DqliteError(.connectionClosed, message: "the connection to the leader was given up")
    }

    private func giveBack(_ connection: DqliteConnection) {
        let isKept = self.state.withLock { state -> Bool in
            state.users -= 1
            guard connection.link.encoding == .dqlite else { return !state.isRetired || state.users > 0 }
            guard !state.isRetired else { return false }
            guard connection.link.channel.isActive, state.idle.count < self.dialer.maximumIdleConnections else {
                return false
            }
            state.idle.append(connection)
            return true
        }
        if !isKept { connection.drop() }
    }

    private func note(_ link: ConnectionLink) {
        let id = ObjectIdentifier(link)
        self.state.withLock { $0.links[id] = link }
        link.channel.closeFuture.whenComplete { [weak self] _ in
            guard let self else { return }
            self.state.withLock { state in
                state.links[id] = nil
                state.idle.removeAll { $0.link === link }
            }
        }
    }

    /// It does not lead any more: no more requests; those that are under way are waited for.
    func retire() {
        let unused = self.state.withLock { state -> [DqliteConnection] in
            guard !state.isRetired else { return [] }
            state.isRetired = true
            defer { state.idle = [] }
            return state.idle + (state.users == 0 && self.first.link.encoding == .protobuf ? [self.first] : [])
        }
        for connection in unused { connection.drop() }
    }

    /// Nothing is to be expected of it any more: what is under way fails.
    func close(_ error: DqliteError) {
        self.retire()
        for link in self.state.withLock({ Array($0.links.values) }) { link.close(error) }
    }

    // MARK: Questions

    /// Asks the node whether it still leads.
    ///
    /// - Throws: ``DqliteError`` when it does not answer in time.
    func isLeading(timeout: Duration) async throws(DqliteError) -> Bool {
        guard self.first.link.encoding == .dqlite else {
            return try await self.dialer.leader(on: self.first.link, timeout: timeout) == self.address
        }
        // Behind what is under way it would wait.
        let link = try await self.dialer.connect(to: self.address)
        defer { link.close(DqliteError(.connectionClosed)) }
        return try await self.dialer.leader(on: link, timeout: timeout) == self.address
    }

    /// The addresses of the cluster's nodes, by the leader.
    func addresses(timeout: Duration) async throws(DqliteError) -> [DqliteServerAddress] {
        let lease = try await self.lease()
        let servers = try await lease.connection.cluster(options: .init(timeout: timeout))
        return servers.compactMap { DqliteServerAddress($0.address) }
    }
}
