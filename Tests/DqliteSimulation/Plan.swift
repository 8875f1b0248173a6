package import DqliteLog
package import DqliteRaft
internal import TestSupport

/// A cluster, what is done to it, and how often; drawn from a seed, or made by hand.
///
/// Intervals are averages; those that are nil never end. Counts say that something happens once in so many times.
package struct Plan: Sendable {
    /// How messages fare.
    package struct Network: Sendable {
        package var loss = 50
        package var duplication = 50
        package var lateness = 50
        package var delay: ClosedRange<VirtualTime> = .microseconds(200)...(.milliseconds(4))
        package var lateDelay: ClosedRange<VirtualTime> = .milliseconds(10)...(.milliseconds(300))
        /// Messages of two nodes arrive in the order in which they were sent, as on a connection.
        package var isOrdered = false
        package var partitionInterval: VirtualTime? = .seconds(8)
        package var divisions = Division.allCases + [.halves]
        /// One in so many elections divides the network, before the new leader has said anything; zero: none does.
        package var electionDivisions = 0
        /// Links that come and go.
        package var flapInterval: VirtualTime? = .seconds(20)
    }

    /// How disks fare.
    package struct Storage: Sendable {
        package var step: ClosedRange<VirtualTime> = .microseconds(100)...(.milliseconds(3))
        package var slowness = 100
        package var slowStep: ClosedRange<VirtualTime> = .milliseconds(20)...(.milliseconds(400))
        /// A write or a sync fails.
        package var failureInterval: VirtualTime? = .seconds(40)
        /// A disk is full for a while.
        package var fullInterval: VirtualTime? = .seconds(40)
    }

    /// How processes and machines fare.
    package struct Crashes: Sendable {
        package var interval: VirtualTime? = .seconds(6)
        package var down: ClosedRange<VirtualTime> = .milliseconds(10)...(.seconds(3))
        /// One in so many hits the leader, whatever it is; zero: none does.
        package var leaders = 3
        /// One in so many hits several.
        package var massCrashes = 4
        /// One in so many is a process that ends, while the machine goes on.
        package var kills = 3
        package var pauseInterval: VirtualTime? = .seconds(8)
        package var paused: ClosedRange<VirtualTime> = .milliseconds(50)...(.seconds(2))
        /// How many millionths clocks may run apart from time.
        package var drift = 40_000
    }

    package var voters = 3
    package var others = 1
    package var clients = 5
    package var shape = DatabaseShape()
    /// Whether databases are the engine's, and not models.
    package var usesEngine = false
    /// How long faults last.
    package var duration = VirtualTime.seconds(40)
    /// How long it may take after that until everything is well.
    package var convergence = VirtualTime.seconds(30)
    package var network = Network()
    package var storage = Storage()
    package var crashes = Crashes()
    package var transferInterval: VirtualTime? = .seconds(10)
    package var changeInterval: VirtualTime? = .seconds(6)
    /// One in so many changes takes a vote away.
    package var demotions = 2
    package var checkpointInterval: VirtualTime? = .seconds(1)
    /// Of the engine: pages that the file lacks, above which they are copied there.
    package var checkpointPages = 64
    /// How long clients think.
    package var thinking: ClosedRange<VirtualTime> = .milliseconds(1)...(.milliseconds(80))
    /// How long what clients and nodes say is under way, and how long clients wait for an answer.
    package var clientDelay: ClosedRange<VirtualTime> = .microseconds(100)...(.milliseconds(2))
    package var patience: ClosedRange<VirtualTime> = .milliseconds(500)...(.milliseconds(2500))
    /// Of ten transactions, so many only read.
    package var reads = 5
    package var batchesInFlight = 1
    /// How long entries take to be applied.
    package var applying: ClosedRange<VirtualTime> = .zero...(.milliseconds(1))
    package var slowApplying: ClosedRange<VirtualTime> = .milliseconds(5)...(.milliseconds(200))
    package var raft = Self.raftSettings
    package var log = Self.logConfiguration

    package init() {}

    package static var raftSettings: RaftSettings {
        var settings = RaftSettings()
        settings.tickInterval = .milliseconds(100)
        settings.electionTicks = 5
        settings.maximumMessageSize = 4 << 10
        settings.maximumInflightMessages = 8
        settings.maximumInflightSize = 32 << 10
        settings.maximumUncommittedSize = 64 << 10
        settings.maximumUnstableSize = 64 << 10
        settings.maximumApplyingSize = 16 << 10
        settings.maximumCacheSize = 8 << 10
        settings.catchUpTicks = 50
        return settings
    }

    package static var logConfiguration: LogConfiguration {
        var configuration = LogConfiguration()
        configuration.segmentSize = 32 << 10
        configuration.maximumBatchSize = 64 << 10
        configuration.maximumQueuedSize = 64 << 10
        configuration.recentEntriesSize = 8 << 10
        configuration.maximumLogSize = 256 << 10
        return configuration
    }
}

extension Plan {
    /// A plan in which some things go wrong often, some seldom, and some not at all: what hides behind too many faults of one
    /// kind shows when there are none of it.
    package init(seed: UInt64) {
        var random = Chance(seed: seed)
        self.init()
        self.voters = random.pick([1, 2, 3, 3, 3, 3, 3, 4, 5, 5])
        self.others = random.pick([0, 1, 1, 2])
        self.clients = random.pick([3, 5, 8])
        self.network.loss = random.pick([0, 8, 50, 200])
        self.network.duplication = random.pick([0, 10, 50])
        self.network.lateness = random.pick([0, 6, 30, 100])
        self.network.delay = random.pick([
            .microseconds(100)...(.milliseconds(2)), .microseconds(200)...(.milliseconds(8)),
            .milliseconds(10)...(.milliseconds(40)),
        ])
        self.network.lateDelay = .milliseconds(10)...(.milliseconds(random.pick([60, 300, 1500])))
        self.network.isOrdered = random.once(in: 3)
        self.network.partitionInterval = random.pick([nil, .seconds(2), .seconds(5), .seconds(15)])
        self.network.electionDivisions = random.pick([0, 0, 0, 3])
        self.network.flapInterval = random.pick([nil, nil, .seconds(6), .seconds(20)])
        self.storage.step = .microseconds(50)...(.milliseconds(random.pick([1, 3, 15])))
        self.storage.slowness = random.pick([0, 20, 100])
        self.storage.failureInterval = random.pick([nil, nil, .seconds(10), .seconds(40)])
        self.storage.fullInterval = random.pick([nil, nil, nil, .seconds(20)])
        self.crashes.interval = random.pick([nil, .seconds(1), .seconds(3), .seconds(8)])
        self.crashes.down = .milliseconds(5)...(random.pick([.milliseconds(100), .seconds(2), .seconds(12)]))
        self.crashes.pauseInterval = random.pick([nil, .seconds(2), .seconds(10)])
        self.crashes.paused = .milliseconds(20)...(random.pick([.milliseconds(300), .seconds(1), .seconds(4)]))
        self.crashes.drift = random.pick([0, 10_000, 40_000, 49_000])
        self.transferInterval = random.pick([nil, .seconds(1), .seconds(8)])
        self.changeInterval = random.pick([nil, nil, .milliseconds(300), .seconds(4)])
        self.demotions = random.pick([2, 2, 6])
        self.checkpointInterval = random.pick([.milliseconds(100), .milliseconds(700), .seconds(4)])
        self.thinking = .milliseconds(1)...(.milliseconds(random.pick([10, 80, 300])))
        self.clientDelay = .microseconds(50)...(.milliseconds(random.pick([1, 4, 40])))
        self.patience = random.pick([
            .milliseconds(50)...(.milliseconds(200)), .milliseconds(200)...(.seconds(1)),
            .milliseconds(500)...(.seconds(4)),
        ])
        self.reads = random.pick([2, 5, 8])
        self.batchesInFlight = random.pick([1, 1, 3])
        self.applying = .zero...(.milliseconds(random.pick([0, 2, 10])))
        self.slowApplying = .milliseconds(5)...(.milliseconds(random.pick([50, 1000])))
        self.shape = DatabaseShape(registers: random.pick([2, 6, 20]), lists: random.pick([2, 6, 20]))
        self.raft.tickInterval = .milliseconds(random.pick([20, 50, 100, 100]))
        self.raft.electionTicks = random.pick([3, 5, 10])
        self.raft.heartbeatTicks = random.pick([1, 1, 2])
        self.raft.maximumMessageSize = random.pick([1, 2 << 10, 8 << 10])
        self.raft.maximumInflightMessages = random.pick([1, 4, 16])
        self.raft.maximumCacheSize = random.pick([0, 4 << 10, 32 << 10])
        self.raft.maximumCatchUpSize = random.pick([1, 2 << 10, 8 << 10])
        self.raft.pacesCatchUp = random.once(in: 2)
        self.raft.maximumUnstableSize = random.pick([8 << 10, 64 << 10])
        self.raft.leases = !random.once(in: 5)
        self.log.segmentSize = random.pick([8 << 10, 32 << 10])
        self.log.recentEntriesSize = random.pick([1 << 10, 8 << 10, 32 << 10])
        self.log.maximumLogSize = random.pick([64 << 10, 512 << 10])
        self.checkpointPages = random.pick([8, 64, 4096])
    }

    /// The same cluster with real databases, whose pages are six times as large as those of models.
    package func withEngine() -> Plan {
        var plan = self
        plan.usesEngine = true
        plan.raft.maximumMessageSize *= 8
        plan.raft.maximumInflightSize *= 8
        plan.raft.maximumUncommittedSize *= 8
        plan.raft.maximumUnstableSize *= 8
        plan.raft.maximumApplyingSize *= 8
        plan.raft.maximumCacheSize *= 8
        plan.raft.maximumCatchUpSize *= 8
        plan.log.segmentSize *= 8
        plan.log.maximumBatchSize *= 8
        plan.log.maximumQueuedSize *= 8
        plan.log.recentEntriesSize *= 8
        plan.log.maximumLogSize *= 8
        return plan
    }

    /// The same cluster, and nothing goes wrong.
    mutating func calm() {
        self.network.loss = 0
        self.network.duplication = 0
        self.network.lateness = 0
        self.network.partitionInterval = nil
        self.network.electionDivisions = 0
        self.network.flapInterval = nil
        self.storage.slowness = 0
        self.storage.failureInterval = nil
        self.storage.fullInterval = nil
        self.crashes.interval = nil
        self.crashes.pauseInterval = nil
        self.transferInterval = nil
        self.changeInterval = nil
        self.slowApplying = self.applying
    }
}
