import DqliteEngine
import DqliteLog

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
        // A batch is cut as soon as it is as large as the largest transaction, and has one more in it then.
        log.maximumBatchSize = max(log.maximumBatchSize, 3 * self.storage.maximumTransactionSize)
        return log
    }
}
