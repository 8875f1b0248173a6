import DqliteEngine
import DqliteLog
import DqliteRaft
import NIOCore
import NIOPosix

extension DqliteNodeConfiguration {
    /// What the engine is told, of databases in `directory`.
    func engine(in directory: String) -> EngineConfiguration {
        var engine = EngineConfiguration(directory: directory)
        engine.writeTimeout = self.timeouts.write
        engine.maximumDatabases = self.limits.databases
        engine.runsShortReadsOnCaller = true
        engine.allowsUntestedSQLite = self.allowsUntestedSQLite
        engine.batchesInFlight = self.storage.batchesInFlight
        engine.maximumTransactionSize = self.storage.maximumTransactionSize
        engine.maximumTransactionDuration = self.storage.maximumTransactionDuration
        engine.transactionIdleLimit = self.storage.transactionIdleLimit
        engine.softMemoryLimit = self.storage.softMemoryLimit
        engine.hardMemoryLimit = self.storage.hardMemoryLimit
        engine.checkpointPages = self.storage.checkpointPages
        engine.checkpointIdleLimit = self.storage.checkpointIdleLimit
        return engine
    }

    /// What the log is told.
    var log: LogConfiguration {
        var log = LogConfiguration()
        log.maximumLogSize = self.storage.maximumLogSize
        log.segmentSize = self.storage.logSegmentSize
        // A batch is cut as soon as it is as large as the largest transaction, and has one more in it then.
        log.maximumBatchSize = max(log.maximumBatchSize, 3 * self.storage.maximumTransactionSize)
        return log
    }

    /// Of Raft: two ticks to a heartbeat.
    var raft: RaftSettings {
        var settings = RaftSettings()
        settings.tickInterval = self.consensus.heartbeatInterval / 2
        settings.heartbeatTicks = 2
        settings.electionTicks = Int((self.consensus.electionTimeout / settings.tickInterval).rounded(.up))
        settings.catchUpTicks = Int((Duration.seconds(50) / settings.tickInterval).rounded(.up))
        settings.pacesCatchUp = true
        settings.leases = self.consensus.leases
        settings.maximumEntrySize = min(self.log.maximumBatchSize, Int(Int32.max))
        return settings
    }

    /// Whether the node makes a cluster of one in an empty directory.
    var bootstraps: Bool {
        switch self.start {
        case .automatic: self.id == 1 || self.id == Self.bootstrapID
        case .bootstrap: true
        case .wait, .join: false
        }
    }

    /// The id that old versions of dqlite gave to the node that makes the cluster.
    static let bootstrapID: UInt64 = 0x2dc1_7185_8c31_55be

    var eventLoops: any EventLoopGroup { self.eventLoopGroup ?? MultiThreadedEventLoopGroup.singleton }
}
