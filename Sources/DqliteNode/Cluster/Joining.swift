import DqliteProtocol
import DqliteRaft
import Logging
import NIOCore

/// How a node gets into a cluster, or out of it: it asks the leader, as any client could.
struct Joining: Sendable {
    let id: UInt64
    let address: String
    let dial: DqliteNodeConfiguration.Dial
    let eventLoop: any EventLoop
    let logger: Logger

    private static let firstPause = Duration.milliseconds(50)
    private static let longestPause = Duration.seconds(1)

    /// Becomes a member, with a role. Tries until that is so, or the task is cancelled.
    func join(_ addresses: [String], as role: Configuration.Role) async throws {
        try await self.untilDone("The cluster cannot be joined yet; trying again") {
            let leader = try await self.leader(of: addresses)
            defer { leader.close() }
            let servers = try await self.members(leader)
            let own = servers.first { $0.serverID == self.id }
            if own == nil {
                let add = AddRequest(serverID: self.id, address: self.address)
                _ = try await leader.call(add, timeout: .seconds(10), EmptyResponse.self)
            }
            guard (own?.role ?? .spare) != role.serverRole else { return }
            // Who is to vote catches up first, which may take its time.
            let assign = AssignRequest(serverID: self.id, role: role.serverRole)
            _ = try await leader.call(assign, timeout: .seconds(60), EmptyResponse.self)
        }
    }

    /// Is a member no more. Tries until that is so, or the task is cancelled.
    func leave(_ addresses: [String]) async throws {
        try await self.untilDone("The cluster cannot be left yet; trying again") {
            let leader = try await self.leader(of: addresses)
            defer { leader.close() }
            let servers = try await self.members(leader)
            guard servers.contains(where: { $0.serverID == self.id }) else { return }
            let remove = RemoveRequest(serverID: self.id)
            _ = try await leader.call(remove, timeout: .seconds(10), EmptyResponse.self)
        }
    }

    /// The members, as the leader knows them.
    private func members(_ leader: ControlClient) async throws -> [Server] {
        // The format is the revision of the answer: with 1 each member has its role.
        let request = ClusterRequest(format: 1)
        return try await leader.call(request, timeout: .seconds(2), ServersResponse.self, revision: 1).servers
    }

    private func untilDone(_ message: Logger.Message, _ body: () async throws -> Void) async throws {
        var pause = Self.firstPause
        var attempts = 0
        while true {
            try Task.checkCancellation()
            do {
                return try await body()
            } catch {
                attempts += 1
                let level: Logger.Level = attempts % 16 == 2 ? .warning : .debug
                self.logger.log(level: level, message, metadata: ["error": "\(error)"])
                try await Task.sleep(for: pause)
                pause = min(pause * 2, Self.longestPause)
            }
        }
    }

    /// A connection to the leader of the cluster that one of these nodes is in.
    private func leader(of addresses: [String]) async throws -> ControlClient {
        var failure: any Error = ControlClientError.closed
        for address in addresses {
            do {
                let client = try await ControlClient.connect(to: address, dial: self.dial, on: self.eventLoop)
                let leader: ServerResponse
                do {
                    leader = try await client.call(LeaderRequest(), timeout: .seconds(1))
                } catch {
                    client.close()
                    throw error
                }
                if leader.address == address { return client }
                client.close()
                if leader.address.isEmpty { continue }
                return try await ControlClient.connect(to: leader.address, dial: self.dial, on: self.eventLoop)
            } catch {
                failure = error
            }
        }
        throw failure
    }
}
