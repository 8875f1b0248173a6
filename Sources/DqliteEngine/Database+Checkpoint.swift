internal import CReplicaPager
internal import CSQLite
internal import DqliteProtocol
internal import DqliteRaft
internal import Synchronization

/// How committed pages get into the file, and out of memory.
extension Database {
    private var policy: EngineConfiguration { self.parts.configuration }

    /// An entry was applied: sees whether it is time to copy pages into the file.
    ///
    /// - Parameter alarm: When the clock is to be set to; nil: it is set.
    func applied(alarm: Instant?) {
        let statistics = self.pager.statistics
        let now = self.parts.clock.now
        let isAboveBound = Int(statistics.page_buffers) * 4096 >= self.policy.hardMemoryLimit
        // Those that a reader keeps in memory although the file has them count no more.
        let frames = Int(statistics.committed_frames) - Int(statistics.backfilled_frames)
        let isDue = frames >= self.policy.checkpointPages || isAboveBound
        let (begins, pause) = self.state.withLock { state -> (Bool, Instant?) in
            if state.checkpoint.isBroken { return (false, nil) }
            if Int(statistics.overlay_frames) >= 2 * self.policy.checkpointPages {
                state.checkpoint.wantsRebuild = true
            }
            let begins = state.checkpoint.begin(isDue: isDue, now: now)
            if isAboveBound, state.checkpoint.isScheduled || self.isFarAboveBound(statistics) {
                state.checkpoint.holdsWriters = true
                if !state.checkpoint.isScheduled { return (false, now + Self.pause) }
            }
            return (begins, nil)
        }
        if begins { self.scheduleCheckpoint() }
        if let alarm { self.callAgain(at: alarm) }
        if let pause { self.callAgain(at: pause) }
    }

    /// Writers do not add to what cannot be copied into the file yet, for whatever reason.
    private func isFarAboveBound(_ statistics: rp_statistics) -> Bool {
        Int(statistics.page_buffers) * 4096 >= 2 * self.policy.hardMemoryLimit
    }

    /// Between two attempts of which the first came no further.
    private static let pause = Duration.milliseconds(100)

    func checkpointAlarm(now: Instant) {
        let (begins, alarm) = self.state.withLock { state -> (Bool, Instant?) in
            let begins = state.checkpoint.begin(isDue: state.checkpoint.holdsWriters, now: now)
            guard !begins, let deadline = state.checkpoint.idleDeadline, !state.checkpoint.isScheduled else {
                return (begins, nil)
            }
            return (begins, max(deadline, state.checkpoint.notBefore ?? deadline))
        }
        if begins { self.scheduleCheckpoint() }
        if let alarm { self.callAgain(at: alarm) }
    }

    private func scheduleCheckpoint() {
        if !self.parts.checkpointPool.submit(CheckpointJob(self), isOptional: false) {
            self.state.withLock { state in
                state.checkpoint.isScheduled = false
                state.checkpoint.holdsWriters = false
            }
        }
    }

    /// Copies what it can into the file, and frees what memory that makes free.
    func checkpoint() {
        let hasProgressed = self.copyPages()
        // With everything in the file and no reader in the way the WAL begins anew, and with it all memory is free.
        if self.pager.statistics.committed_frames > 0 { _ = self.pager.reset(waitingAtMost: 2000) }
        var statistics = self.pager.statistics
        if Int(statistics.page_buffers) * 4096 > self.policy.softMemoryLimit {
            self.pager.shed()
            statistics = self.pager.statistics
        }
        let isAboveBound = Int(statistics.page_buffers) * 4096 > self.policy.hardMemoryLimit
        // Unless it is the log that keeps pages from being copied.
        if isAboveBound, !hasProgressed,
            self.parts.replicator.durableIndex >= self.state.withLock({ $0.appliedIndex })
        {
            self.giveUpOldestSnapshot(Int(statistics.page_buffers))
        }
        let now = self.parts.clock.now
        let alarm = self.state.withLock { state -> Instant? in
            state.checkpoint.isScheduled = false
            // Who waits to be stopped must not wait for a checkpoint.
            state.checkpoint.holdsWriters = self.isFarAboveBound(statistics) && !state.checkpoint.isBroken
            if statistics.overlay_frames > 0 { state.checkpoint.wantsRebuild = true }
            if !hasProgressed { state.checkpoint.notBefore = now + (isAboveBound ? Self.pause / 10 : Self.pause) }
            if state.checkpoint.holdsWriters { return now + Self.pause }
            return state.checkpoint.idleDeadline.map { max($0, state.checkpoint.notBefore ?? $0) }
        }
        if let alarm { self.callAgain(at: alarm) }
        self.lane.wake()
        self.quiet.withLock { self.quiet.broadcast() }
    }

    /// - Returns: Whether the file has come further.
    private func copyPages() -> Bool {
        // Peers may commit what this node's own disk does not have yet; a file ahead of its log could not be redone.
        let (begun, target) = self.pager.beginBackfill(limit: self.parts.replicator.durableIndex.rawValue)
        guard begun.value == SQLITE_OK else { return false }
        let index = LogIndex(target)
        do throws(ReplicationFailure) {
            // An attempt that failed has said so already, and the room that a record takes may be the last.
            if index > self.state.withLock({ $0.checkpoint.intent }) {
                try self.parts.marks.pass { () throws(ReplicationFailure) in
                    try self.parts.replicator.beginCheckpoint(of: self.name, through: index)
                }
                self.state.withLock { $0.checkpoint.intent = index }
            }
        } catch {
            self.pager.endBackfill(isComplete: false)
            self.reportCheckpoint(OverlayLoss(error).text)
            return false
        }
        let result = self.pager.runBackfill()
        guard result.value == SQLITE_OK else {
            self.pager.endBackfill(isComplete: false)
            let text = "the file \(self.path) cannot be written: \(result.text)"
            if result.isFailedSync {
                // Nobody knows what the file holds now. The log does, and redo repairs it; but not in this process.
                self.state.withLock { $0.checkpoint.syncFailed() }
                self.parts.events(.failed(EngineError(code: UInt64(result.value), message: text)))
            } else {
                self.reportCheckpoint(text)
            }
            return false
        }
        do throws(ReplicationFailure) {
            try self.parts.marks.pass { () throws(ReplicationFailure) in
                try self.parts.replicator.endCheckpoint(of: self.name, at: index)
            }
        } catch {
            self.pager.endBackfill(isComplete: false)
            self.reportCheckpoint(OverlayLoss(error).text)
            return false
        }
        self.pager.endBackfill(isComplete: true)
        self.state.withLock { state in
            state.checkpoint.completed(
                index, applied: state.appliedIndex, now: self.parts.clock.now,
                idleLimit: self.policy.checkpointIdleLimit)
        }
        self.checkpointed()
        return true
    }

    private func reportCheckpoint(_ reason: String) {
        self.parts.events(.checkpointFailed(database: self.name, reason: reason))
    }

    /// Ends the snapshot that has been open for longest: it keeps pages from being copied into the file.
    private func giveUpOldestSnapshot(_ pages: Int) {
        let now = self.parts.clock.now
        let oldest = self.sessions().compactMap { session in session.snapshotStart.map { (session, $0) } }
            .min { $0.1 < $1.1 }
        // What has only just begun is not in the way.
        guard let (session, start) = oldest, start + Self.pause <= now else { return }
        self.parts.events(.snapshotGivenUp(database: self.name, pages: pages))
        session.giveUp(because: .snapshotTooOld(self.policy.hardMemoryLimit), isAnyway: true)
    }
}

/// Copies pages of one database on a thread that may wait for the disk.
private final class CheckpointJob: Job {
    private let database: Database

    init(_ database: Database) { self.database = database }

    func runJob() { self.database.checkpoint() }
}
