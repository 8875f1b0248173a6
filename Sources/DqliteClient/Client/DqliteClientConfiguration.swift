/// How a client finds the leader of a cluster, and what it does when there is none.
public struct DqliteClientConfiguration: Hashable, Sendable {
    /// How long the client waits before it tries something again.
    public struct RetryPolicy: Hashable, Sendable {
        /// The first time.
        public var initialBackoff: Duration = .milliseconds(50)
        /// At most.
        public var maximumBackoff: Duration = .seconds(1)
        /// By how much it grows each time. Up to a half of it is taken off, by chance.
        public var backoffMultiplier = 2.0

        /// The defaults.
        public init() {}
    }

    /// Where nodes of the cluster may be found. Others are learned from the leader.
    public var seeds: [DqliteServerAddress]
    /// Name of the database. It exists from its first transaction; opening creates nothing.
    public var database: String
    /// How the connections behave. Their `callTimeout` and `connectTimeout` are those of the client.
    public var connection = DqliteConnectionConfiguration()
    /// How long a call may take, with all that is tried for it. Calls can say otherwise, see ``DqliteCallOptions``.
    public var callTimeout: Duration = .seconds(5)
    /// How long a node may take to accept a connection, and how long to say who leads. It holds up nobody who asks others.
    public var probeTimeout: Duration = .milliseconds(500)
    /// How often nodes are asked who leads while nobody does. Up to a half of it is taken off, by chance.
    public var pollInterval: Duration = .milliseconds(50)
    /// How long the leader may leave requests without an answer until it is asked whether it lives, and how long to answer that.
    /// Then its connections are given up.
    public var livenessTimeout: Duration = .seconds(1)
    /// Pauses between attempts.
    public var retry = RetryPolicy()
    /// Connections that are kept for later, with the dqlite encoding. The protobuf encoding needs one.
    public var maximumIdleConnections = 16

    /// The defaults, for a database of the cluster that has nodes at these addresses.
    public init(seeds: [DqliteServerAddress], database: String) {
        self.seeds = seeds
        self.database = database
    }

    /// What contradicts itself; nil when nothing does.
    var problem: String? {
        if self.seeds.isEmpty { return "there are no seeds" }
        let durations: [(String, Duration)] = [
            ("callTimeout", self.callTimeout), ("probeTimeout", self.probeTimeout),
            ("pollInterval", self.pollInterval), ("livenessTimeout", self.livenessTimeout),
            ("retry.initialBackoff", self.retry.initialBackoff),
        ]
        for (name, duration) in durations where duration <= .zero { return "\(name) is not positive" }
        if self.retry.maximumBackoff < self.retry.initialBackoff {
            return "retry.maximumBackoff is below the initial one"
        }
        if !(self.retry.backoffMultiplier >= 1) { return "retry.backoffMultiplier is below 1" }
        if self.maximumIdleConnections < 0 { return "maximumIdleConnections is negative" }
        return self.connection.problem
    }
}
