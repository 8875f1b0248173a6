/// The members of a cluster.
public struct Configuration: Hashable, Sendable {
    /// What a member does. The numbers are those of dqlite's Raft, which differ from those that clients see.
    public enum Role: UInt8, Hashable, Sendable {
        /// Gets the log, but has no vote.
        case standBy = 0
        /// Gets the log, votes, and counts for quorums.
        case voter = 1
        /// Gets nothing; it is only known.
        case spare = 2
    }

    /// A member.
    public struct Server: Hashable, Sendable {
        public var id: NodeID
        /// Where it is reached.
        public var address: String
        public var role: Role

        public init(id: NodeID, address: String, role: Role) {
            self.id = id
            self.address = address
            self.role = role
        }
    }

    /// In the order in which they joined.
    public var servers: [Server]

    public init(servers: [Server] = []) { self.servers = servers }

    public subscript(id: NodeID) -> Server? { self.servers.first { $0.id == id } }

    /// The ids of those who vote.
    public var voters: [NodeID] { self.servers.lazy.filter { $0.role == .voter }.map(\.id) }

    /// Whether a node votes.
    public func isVoter(_ id: NodeID) -> Bool { self[id]?.role == .voter }
}
