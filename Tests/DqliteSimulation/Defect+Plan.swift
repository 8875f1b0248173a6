import DqliteLog
import DqliteRaft

/// Lives that bring defects to light: what is needed for that happens often, and what hides it does not happen.
extension Defect {
    /// The plan of a seed.
    package func plan(seed: UInt64) -> Plan {
        switch self {
        case .votesBeforeDurable, .acknowledgesBeforeDurable, .durableWhenAccepted, .forgetsVotes:
            Self.weakPower
        case .countsEarlierTerms: Self.unrest
        case .changesBeforeOwnCommit: Self.discord
        case .usesCommittedConfiguration: Self.churn
        case .leaseFromAnswer: Self.lateAnswers
        case .leaseJudgedAtTick: Self.pauses
        case .leaseAfterTimeoutNow: Self.handovers
        case .votesAfterStart: Self.fastStarts
        case .checkpointBeyondDurable: Self.slowDisks
        case .copyWithoutRecord: Self.slowCopies
        case .copyWithoutIntent, .opensBeforeIntent, .pagesBeforeIntent: Self.copies
        default: Plan(seed: seed)
        }
    }

    /// A small cluster with short times, in which nothing goes wrong.
    private static var quick: Plan {
        var plan = Plan()
        plan.calm()
        plan.others = 0
        plan.duration = .seconds(20)
        plan.shape = DatabaseShape(registers: 2, lists: 4)
        plan.thinking = .milliseconds(1)...(.milliseconds(10))
        plan.raft.tickInterval = .milliseconds(20)
        plan.clientDelay = .microseconds(50)...(.microseconds(500))
        plan.patience = .milliseconds(30)...(.milliseconds(90))
        plan.network.delay = .milliseconds(2)...(.milliseconds(16))
        plan.crashes.massCrashes = 4
        plan.crashes.kills = 0
        return plan
    }

    /// Disks are slow, and power fails often and shortly.
    private static var weakPower: Plan {
        var plan = Self.quick
        plan.network.lateness = 15
        plan.network.lateDelay = .milliseconds(20)...(.milliseconds(120))
        plan.storage.step = .milliseconds(5)...(.milliseconds(60))
        plan.crashes.interval = .milliseconds(400)
        plan.crashes.down = .milliseconds(1)...(.milliseconds(60))
        plan.network.partitionInterval = .milliseconds(1200)
        plan.transferInterval = .milliseconds(300)
        return plan
    }

    /// No leader leads for long, and every entry goes alone.
    private static var unrest: Plan {
        var plan = Self.quick
        plan.raft.maximumMessageSize = 1
        plan.raft.maximumInflightMessages = 1
        plan.crashes.interval = .milliseconds(500)
        plan.crashes.down = .milliseconds(5)...(.milliseconds(120))
        plan.network.partitionInterval = .milliseconds(400)
        plan.crashes.pauseInterval = .milliseconds(800)
        plan.crashes.paused = .milliseconds(40)...(.milliseconds(500))
        plan.network.delay = .milliseconds(4)...(.milliseconds(24))
        plan.batchesInFlight = 10
        plan.reads = 0
        return plan
    }

    /// Members come and go while the network falls apart.
    private static var churn: Plan {
        var plan = Self.quick
        plan.voters = 4
        plan.storage.step = .milliseconds(1)...(.milliseconds(30))
        plan.network.loss = 5
        plan.network.lateness = 8
        plan.network.lateDelay = .milliseconds(40)...(.milliseconds(200))
        plan.network.divisions = [.halves, .halves, .halves, .leader, .bridge, .none]
        plan.thinking = .milliseconds(20)...(.milliseconds(150))
        plan.crashes.interval = .milliseconds(600)
        plan.crashes.down = .milliseconds(5)...(.milliseconds(500))
        plan.network.partitionInterval = .milliseconds(250)
        plan.network.electionDivisions = 2
        plan.transferInterval = .milliseconds(600)
        plan.demotions = 8
        plan.changeInterval = .milliseconds(6)
        return plan
    }

    /// Answers come late, and heartbeats are rare.
    private static var lateAnswers: Plan {
        var plan = Self.quick
        plan.raft.heartbeatTicks = 3
        plan.network.delay = .milliseconds(1)...(.milliseconds(6))
        plan.network.lateness = 6
        plan.network.lateDelay = .milliseconds(160)...(.milliseconds(500))
        plan.network.partitionInterval = .milliseconds(500)
        plan.network.divisions = [.leader, .none]
        // Few messages, or a late one of the old leader keeps the others from an election.
        plan.thinking = .milliseconds(1)...(.milliseconds(60))
        plan.reads = 9
        return plan
    }

    /// Nodes stand still for a while.
    private static var pauses: Plan {
        var plan = Self.quick
        plan.crashes.pauseInterval = .milliseconds(160)
        plan.crashes.paused = .milliseconds(120)...(.milliseconds(500))
        plan.reads = 7
        plan.clients = 8
        return plan
    }

    /// Leadership is handed over all the time, and messages are lost.
    private static var handovers: Plan {
        var plan = Self.quick
        plan.network.delay = .milliseconds(1)...(.milliseconds(6))
        plan.network.loss = 4
        plan.network.partitionInterval = .milliseconds(200)
        plan.transferInterval = .milliseconds(80)
        plan.reads = 6
        plan.clients = 8
        return plan
    }

    /// Power fails for moments, while the leader does not reach all.
    private static var fastStarts: Plan {
        var plan = Self.quick
        plan.raft.heartbeatTicks = 3
        plan.network.delay = .microseconds(300)...(.milliseconds(2))
        plan.network.partitionInterval = .milliseconds(500)
        plan.network.divisions = [.pair, .pair, .none]
        plan.crashes.interval = .milliseconds(120)
        plan.crashes.leaders = 0
        plan.crashes.massCrashes = 0
        plan.crashes.down = .milliseconds(1)...(.milliseconds(5))
        // Few writes, or who does not hear the leader has too little to become one.
        plan.thinking = .milliseconds(1)...(.milliseconds(60))
        plan.reads = 9
        plan.clients = 4
        return plan
    }

    /// Others are faster than the disk of one, and its log is behind what is committed. Of five voters two need not have voted, so
    /// that the new term comes to them with its first entries.
    private static var slowDisks: Plan {
        var plan = Self.quick
        plan.voters = 5
        plan.network.delay = .milliseconds(1)...(.milliseconds(4))
        plan.checkpointInterval = .milliseconds(10)
        plan.storage.step = .milliseconds(1)...(.milliseconds(8))
        plan.storage.slowness = 5
        plan.storage.slowStep = .milliseconds(100)...(.milliseconds(800))
        plan.crashes.interval = .milliseconds(200)
        plan.crashes.down = .milliseconds(5)...(.milliseconds(100))
        plan.transferInterval = .milliseconds(200)
        return plan
    }

    /// Of four voters now these two and now those reach each other, and each leader wants other members.
    private static var discord: Plan {
        var plan = Self.quick
        plan.voters = 4
        plan.network.divisions = [.even, .even, .leader, .leader, .none]
        plan.network.electionDivisions = 2
        plan.network.partitionInterval = .milliseconds(250)
        plan.thinking = .milliseconds(20)...(.milliseconds(150))
        plan.demotions = 80
        plan.changeInterval = .milliseconds(2)
        return plan
    }

    /// Members are away for so long that the log does not reach back to them, and power fails while files are written.
    private static var copies: Plan {
        var plan = Self.quick
        plan.shape = DatabaseShape(registers: 8, lists: 8)
        plan.log.segmentSize = 8 << 10
        plan.log.maximumLogSize = 64 << 10
        plan.checkpointInterval = .milliseconds(40)
        plan.crashes.interval = .milliseconds(300)
        plan.crashes.down = .milliseconds(5)...(.seconds(1))
        plan.applying = .zero...(.milliseconds(5))
        return plan
    }

    /// The same, and power fails while copies are put in place.
    private static var slowCopies: Plan {
        var plan = Self.copies
        plan.storage.step = .milliseconds(2)...(.milliseconds(40))
        return plan
    }
}
