import DqliteRaft
public import NIOCore

/// What a ``DqliteNode`` is told when it is made.
public struct DqliteNodeConfiguration: Sendable {
    /// Raft id of the node. Never zero. A directory belongs to one id for ever.
    public var id: UInt64 = 1
    /// What a node does that is in no cluster yet. In a directory that knows of a cluster it means nothing.
    public var start = Start.automatic
    /// Where the node listens. A name is resolved; port 0 takes one that is free. Addresses that other machines can reach
    /// need ``allowsInsecureAddress``.
    public var address: NodeAddress
    /// Where clients and other nodes reach this one. nil: the host of ``address``, and the port that was bound.
    public var advertisedAddress: NodeAddress?
    /// Directory of everything that the node keeps. It is created when it is missing, one level deep.
    public var dataDirectory: String
    /// Allows to listen, without TLS, on an address that other machines can reach. The node logs a warning then: who
    /// reaches the port can do everything.
    public var allowsInsecureAddress = false
    /// Takes a version of SQLite that the project was not tested with. Every node tests its SQLite when it starts, anyway.
    public var allowsUntestedSQLite = false
    /// Directory, of the same file system, that gets the files of the log that are not needed any more. nil: they are removed.
    public var logArchive: String?
    /// Number of the failure domain that the node is in, as Describe reports it.
    public var failureDomain: UInt64 = 0
    /// What the node takes from its clients at most.
    public var limits = Limits()
    /// How long the node waits for others.
    public var timeouts = Timeouts()
    /// What the databases and the log of the node may use.
    public var storage = Storage()
    /// How long members wait for each other.
    public var consensus = Consensus()
    /// Connects to other nodes: given an address as it is in the cluster's configuration, and the loop that the connection must
    /// be on. nil: by TCP. With ``acceptedChannelInitializer`` it is where TLS, or a tunnel, goes.
    public var dial: Dial?
    /// Told of every connection that is accepted, before the node has it: to add handlers in front of the node's.
    public var acceptedChannelInitializer: (@Sendable (any Channel) throws -> Void)?
    /// The loops that serve connections. nil: those that NIO shares by all of the process, as many as there are processors.
    ///
    /// Fewer make a node faster that has the machine for itself, as the `dqlite` program does with half of them: what comes at
    /// the same time for one loop shares system calls, and the databases and the log have threads of their own.
    public var eventLoopGroup: (any EventLoopGroup)?
    /// Whether nodes may open their streams in the C form. For tests: a C node answers heartbeats by the end of its log, of which
    /// nobody has compared the last entries, and Raft here would count them.
    var takesCForm = false
    /// The forms of the streams to nodes with these ids, whatever form those use. For tests.
    var peerForms: [UInt64: PeerForm] = [:]

    /// The configuration of a node at `address` with its data in `dataDirectory`; the rest by its defaults.
    public init(address: NodeAddress, dataDirectory: String) {
        self.address = address
        self.dataDirectory = dataDirectory
    }

    /// See ``dial``.
    public typealias Dial = @Sendable (_ address: String, _ eventLoop: any EventLoop) -> EventLoopFuture<any Channel>

    /// What a node does that is in no cluster yet.
    public enum Start: Sendable, Hashable {
        /// Id 1 (and dqlite's bootstrap id, 0x2dc171858c3155be) does as ``bootstrap``; any other as ``wait``.
        case automatic
        /// Makes a cluster of one.
        case bootstrap
        /// Waits to be added by a client.
        case wait
        /// Adds itself to the cluster of the nodes at these addresses, any of which may answer, and takes a role there.
        case join([NodeAddress], role: Role = .voter)
    }

    /// What a member does in its cluster.
    public enum Role: String, Sendable, Hashable, CaseIterable {
        /// Has all data, votes, and may lead.
        case voter
        /// Has all data and no vote.
        case standby
        /// Has nothing; it is only known.
        case spare
    }

    /// How long members wait for each other. All members of a cluster must have the same times: leases depend on it.
    ///
    /// A follower that has heard nothing for ``electionTimeout`` to twice that (each time another random wait, so that
    /// not all try at once) asks for votes. With the defaults a cluster has a new leader about a second after it lost the old one,
    /// and a leader that is held up for half a second, as happens on a machine with too much to do, loses nothing.
    public struct Consensus: Sendable, Hashable {
        /// Between two signs of life of a leader: at least 10 ms.
        public var heartbeatInterval = Duration.milliseconds(100)
        /// At least four times ``heartbeatInterval``.
        public var electionTimeout = Duration.milliseconds(800)
        /// For a write to be committed. Then the leader gives up leadership, and its clients are told that the outcome of what they
        /// wrote is unknown.
        public var commitTimeout = Duration.seconds(5)
        /// Whether a leader answers reads without asking the others, as long as none of them can have elected another one. Needs
        /// clocks that run alike within ten per cent.
        public var leases = true

        /// The defaults.
        public init() {}
    }

    /// What a node takes from its clients at most. Where nothing else is said, what exceeds a limit is answered with Failure 5
    /// (SQLITE_BUSY) and was not carried out.
    public struct Limits: Sendable, Hashable {
        /// Connections at a time. One more is accepted and closed at once.
        public var connections = 1024
        /// Bytes of a request and of an answer, and of each part of a result. A larger request closes the connection; a larger
        /// answer becomes Failure 18 (SQLITE_TOOBIG), except that the answer to Dump has no limit here on the dqlite encoding. The
        /// protobuf encoding allows 64 MiB at most.
        public var frameSize = 64 << 20
        /// Requests that wait on a connection of the dqlite encoding while one runs. At the limit the node stops
        /// reading from the connection until one is done.
        public var queuedRequests = 16
        /// Requests of one connection of the protobuf encoding that are not answered yet.
        public var requestsPerConnection = 1024
        /// Bytes of requests of one connection of the protobuf encoding that are not answered yet. On one of the dqlite
        /// encoding: of those that wait, at which the node stops reading until one is done.
        public var requestBytesPerConnection = 128 << 20
        /// Bytes of requests that have arrived in part, on the whole node. Connections above it with more than 64 KiB are
        /// closed after their Failure.
        public var partialRequestBytes = 1 << 30
        /// Sessions of one connection of the protobuf encoding.
        public var sessionsPerConnection = 256
        /// Requests of session 0 of one connection that run at the same time; more wait.
        public var statelessRequestsPerConnection = 8
        /// Bytes of answers that wait on a connection until its reader takes them. Results pause there. Other answers
        /// pass, up to four times as much: then the node stops reading requests from the connection.
        public var pendingBytesPerConnection = 256 << 10
        /// Dumps that the node makes at a time: each holds a whole database in memory until its reader has taken it.
        public var dumps = 2
        /// Databases, on the whole node.
        public var databases = 1024

        /// The defaults.
        public init() {}
    }

    /// How long a node waits for others.
    public struct Timeouts: Sendable, Hashable {
        /// For the first 8 bytes of a connection; then it is closed.
        public var handshake = Duration.seconds(10)
        /// For the turn to write to a database, while others write; then Failure 5 (SQLITE_BUSY).
        public var write = Duration.seconds(5)
        /// For running requests when the node shuts down; then they are interrupted. Cancelling the task of ``DqliteNode/run()``
        /// interrupts them at once.
        public var shutdown = Duration.seconds(10)

        /// The defaults.
        public init() {}
    }

    /// What the databases and the log of a node may use. What is said of a database holds for each of them. Where nothing
    /// else is said, numbers are at least 1, and durations longer than zero and at most 100 years.
    public struct Storage: Sendable, Hashable {
        /// Batches of a database that are replicated at a time. More than one pays when that takes milliseconds.
        public var batchesInFlight = 1
        /// Bytes of pages that a transaction may change: from 64 KiB to 1 GiB. A larger one fails with SQLITE_FULL (13).
        public var maximumTransactionSize = 64 << 20
        /// How long a transaction may be open. Then it is rolled back, and its next request fails with SQLITE_ABORT_ROLLBACK
        /// (516). What runs as a transaction of its own is bounded by the timeout of its request only.
        public var maximumTransactionDuration = Duration.seconds(600)
        /// How long a transaction may wait for the next request. Then it is rolled back, as above.
        public var transactionIdleLimit = Duration.seconds(60)
        /// Bytes of pages of a database in memory, above which those that its file has are dropped, though readers need them:
        /// they are read from the file. At most ``hardMemoryLimit``.
        public var softMemoryLimit = 48 << 20
        /// Bytes of pages of a database in memory, above which writers wait for pages to be copied into the file, and the oldest
        /// reader that keeps them from it is given up: it fails with SQLITE_ABORT_ROLLBACK (516). At least twice
        /// ``maximumTransactionSize``. It is no limit of the node: with many databases that are written to, all of them count.
        public var hardMemoryLimit = 256 << 20
        /// Pages of 4 KiB, at most 2^30, that are committed and not in the file of a database yet, above which they are copied
        /// there.
        public var checkpointPages = 4096
        /// Time after which committed pages are copied into the file however few they are, so that a database that is idle does
        /// not keep the log from being truncated.
        public var checkpointIdleLimit = Duration.seconds(30)
        /// Bytes of the log, at least 128 MiB, above which it is truncated although other members of the cluster still wait
        /// for its entries. Those that a database file lacks are kept, however many.
        public var maximumLogSize = 1 << 30
        /// Bytes of a file of the log, from 1 MiB to 1 GiB, and at most half of ``maximumLogSize``. Their space is taken from the
        /// disk ahead: a log that is nearly empty has two.
        public var logSegmentSize = 64 << 20

        /// The defaults.
        public init() {}
    }
}

extension DqliteNodeConfiguration {
    /// - Throws: ``DqliteNodeError`` naming the first setting that cannot be.
    func validate() throws(DqliteNodeError) {
        guard self.id != 0 else { throw DqliteNodeError(.invalidConfiguration, "id is zero") }
        guard (0...65535).contains(self.address.port) else {
            throw DqliteNodeError(.invalidConfiguration, "port \(self.address.port) does not exist")
        }
        guard !self.address.host.isEmpty, !self.address.host.utf8.contains(0) else {
            throw DqliteNodeError(.invalidConfiguration, "the address has no host")
        }
        guard !self.dataDirectory.isEmpty, !self.dataDirectory.utf8.contains(0) else {
            throw DqliteNodeError(.invalidConfiguration, "the data directory has no name")
        }
        if let advertised = self.advertisedAddress {
            guard !advertised.host.isEmpty, !advertised.host.utf8.contains(0), (1...65535).contains(advertised.port)
            else {
                throw DqliteNodeError(.invalidConfiguration, "\(advertised) cannot be advertised")
            }
        }
        let limits: [(String, Int, ClosedRange<Int>)] = [
            ("limits.connections", self.limits.connections, 1...Int.max),
            ("limits.frameSize", self.limits.frameSize, 4096...64 << 20),
            ("limits.queuedRequests", self.limits.queuedRequests, 1...Int.max),
            ("limits.requestsPerConnection", self.limits.requestsPerConnection, 1...Int.max),
            ("limits.requestBytesPerConnection", self.limits.requestBytesPerConnection, 4096...Int.max),
            ("limits.partialRequestBytes", self.limits.partialRequestBytes, 4096...Int.max),
            ("limits.sessionsPerConnection", self.limits.sessionsPerConnection, 1...Int.max),
            ("limits.statelessRequestsPerConnection", self.limits.statelessRequestsPerConnection, 1...Int.max),
            ("limits.pendingBytesPerConnection", self.limits.pendingBytesPerConnection, 4096...Int.max / 8),
            ("limits.dumps", self.limits.dumps, 1...Int.max),
            ("limits.databases", self.limits.databases, 1...Int.max),
            ("storage.batchesInFlight", self.storage.batchesInFlight, 1...Int.max),
            ("storage.maximumTransactionSize", self.storage.maximumTransactionSize, 64 << 10...1 << 30),
            // A transaction lies in memory twice, on its way from one view to the other.
            (
                "storage.hardMemoryLimit", self.storage.hardMemoryLimit,
                2 * max(1, min(self.storage.maximumTransactionSize, 1 << 30))...Int.max / 4
            ),
            ("storage.softMemoryLimit", self.storage.softMemoryLimit, 1...max(1, self.storage.hardMemoryLimit)),
            ("storage.checkpointPages", self.storage.checkpointPages, 1...1 << 30),
            ("storage.maximumLogSize", self.storage.maximumLogSize, 128 << 20...Int.max),
            (
                "storage.logSegmentSize", self.storage.logSegmentSize,
                1 << 20...max(1 << 20, min(1 << 30, self.storage.maximumLogSize / 2))
            ),
        ]
        for (name, value, range) in limits where !range.contains(value) {
            let bound = value < range.lowerBound ? "below \(range.lowerBound)" : "above \(range.upperBound)"
            throw DqliteNodeError(.invalidConfiguration, "\(name) is \(value), \(bound)")
        }
        guard self.consensus.heartbeatInterval >= .milliseconds(10) else {
            throw DqliteNodeError(.invalidConfiguration, "consensus.heartbeatInterval is less than 10 ms")
        }
        guard self.consensus.electionTimeout >= self.consensus.heartbeatInterval * 4 else {
            throw DqliteNodeError(
                .invalidConfiguration, "consensus.electionTimeout is less than four times consensus.heartbeatInterval")
        }
        guard self.consensus.commitTimeout > .zero else {
            throw DqliteNodeError(.invalidConfiguration, "consensus.commitTimeout is \(self.consensus.commitTimeout)")
        }
        if case .join(let addresses, _) = self.start, addresses.isEmpty {
            throw DqliteNodeError(.invalidConfiguration, "there is no address of a cluster to join")
        }
        let timeouts: [(String, Duration)] = [
            ("timeouts.handshake", self.timeouts.handshake), ("timeouts.write", self.timeouts.write),
            ("timeouts.shutdown", self.timeouts.shutdown),
        ]
        for (name, value) in timeouts where value < .zero {
            throw DqliteNodeError(.invalidConfiguration, "\(name) is negative")
        }
        let bounds: [(String, Duration)] = [
            ("storage.maximumTransactionDuration", self.storage.maximumTransactionDuration),
            ("storage.transactionIdleLimit", self.storage.transactionIdleLimit),
            ("storage.checkpointIdleLimit", self.storage.checkpointIdleLimit),
        ]
        for (name, value) in bounds where value <= .zero || value > .seconds(100 * 366 * 24 * 3600) {
            throw DqliteNodeError(.invalidConfiguration, "\(name) is \(value)")
        }
    }
}

extension DqliteNodeConfiguration.Role {
    var server: Configuration.Role {
        switch self {
        case .voter: .voter
        case .standby: .standBy
        case .spare: .spare
        }
    }
}
