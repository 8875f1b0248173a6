import DqliteProtocol
import Logging
import NIOCore

/// How a client reaches nodes. Tests have a way of their own.
struct Dialer: Sendable {
    typealias Connect = @Sendable (DqliteServerAddress) async throws(DqliteError) -> ConnectionLink

    let configuration: DqliteConnectionConfiguration
    let maximumIdleConnections: Int
    let eventLoopGroup: any EventLoopGroup
    let logger: Logger
    private let replacement: Connect?

    init(
        _ configuration: DqliteClientConfiguration, eventLoopGroup: any EventLoopGroup, logger: Logger,
        replacement: Connect? = nil
    ) {
        self.configuration = configuration.connectionConfiguration
        self.maximumIdleConnections = configuration.maximumIdleConnections
        self.eventLoopGroup = eventLoopGroup
        self.logger = logger
        self.replacement = replacement
    }

    func connect(to address: DqliteServerAddress) async throws(DqliteError) -> ConnectionLink {
        if let replacement = self.replacement { return try await replacement(address) }
        return try await ConnectionLink.connect(
            to: address, configuration: self.configuration, eventLoopGroup: self.eventLoopGroup, logger: self.logger)
    }

    /// Who leads, by the node at the other end; nil: it does not know.
    func leader(on link: ConnectionLink, timeout: Duration) async throws(DqliteError) -> DqliteServerAddress? {
        let requester = Requester(link: link, configuration: self.configuration, sessionID: 0)
        let response = try await requester.call(
            LeaderRequest(), as: Request.Body.leader, for: ServerResponse.self, deadline: link.now + TimeAmount(timeout)
        )
        return DqliteServerAddress(response.address)
    }
}

extension DqliteClientConfiguration {
    /// That of the connections.
    var connectionConfiguration: DqliteConnectionConfiguration {
        var configuration = self.connection
        configuration.connectTimeout = self.probeTimeout
        configuration.callTimeout = self.callTimeout
        return configuration
    }
}
