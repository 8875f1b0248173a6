import DqliteLog
import DqliteRaft

/// How far the first of a node's writes is.
struct WriteProgress {
    var isSaving = false
    var hasSaved = false
    var hasCut = false
    /// Entries that the log has accepted.
    var entries = 0
}

/// Something for the log that Raft did not ask for.
struct LogOffer {
    var offer: (inout SteppedLog, _ ticket: UInt64) throws(LogError) -> Bool
    /// It is durable.
    var then: () -> Void
    /// There is no room for it.
    var refused: () -> Void
}

/// Raft's writes and others', in and out of the log.
extension Node {
    /// Bytes of entries in one record.
    private static let batchSize = 32 << 10

    /// Gives the log what there is for it, and lets it work.
    func pumpStorage() {
        guard self.isAlive, !self.isEnding else { return }
        do throws(LogError) {
            if !self.isRetrying {
                while try self.continueWrite() {}
                while try self.continueOffer() {}
            }
        } catch {
            switch error {
            case .noSpace, .notPrepared, .queueFull:
                self.cluster.checks.count("refused by logs")
                self.isRetrying = true
                self.after(.milliseconds(20)) { self.isRetrying = false }
            default: return self.fail()
            }
        }
        if self.underWay[Lane.log.rawValue] == nil, self.storage.log.beginAction() {
            self.work(in: .log) {
                self.storage.log.finishAction()
            } then: {
                self.finished($0)
            }
        }
    }

    /// - Returns: Whether there is more to do now.
    private func continueWrite() throws(LogError) -> Bool {
        guard let write = self.writes.first, !self.progress.isSaving else { return false }
        if let hardState = write.hardState, !self.progress.hasSaved {
            self.progress.isSaving = true
            self.work(in: .term) {
                Result { () throws(LogError) in
                    if self.cluster.defect == .forgetsVotes { return }
                    try self.storage.log.save(hardState)
                }
            } then: { result in
                self.progress.isSaving = false
                self.progress.hasSaved = true
                if case .failure = result { self.fail() }
            }
            return false
        }
        if let index = write.truncateFrom, !self.progress.hasCut {
            if index <= self.storage.lastIndex {
                guard let term = self.storage.term(at: index.previous) else {
                    self.cluster.checks.found("\(self.id) is to cut its log to \(index.previous), which is not there")
                    return false
                }
                let ticket = self.lastTicket + 1
                guard try self.storage.log.cut(to: index.previous, term: term, ticket: ticket) else { return false }
                self.lastTicket = ticket
            }
            self.progress.hasCut = true
        }
        if self.progress.entries < write.entries.count {
            var size = 0
            let batch = write.entries[self.progress.entries...].prefix { entry in
                size += entry.data.count + 16
                return size <= Self.batchSize || size == entry.data.count + 16
            }
            let ticket = self.lastTicket + 1
            guard try self.storage.log.append(Array(batch), ticket: ticket) else { return false }
            self.lastTicket = ticket
            self.progress.entries += batch.count
            return true
        }
        self.writes.removeFirst()
        self.progress = WriteProgress()
        self.accepted.append((write.number, self.lastTicket))
        if self.cluster.defect == .durableWhenAccepted { self.raft.persisted(through: write.number) }
        self.reportPersisted()
        return true
    }

    private func continueOffer() throws(LogError) -> Bool {
        guard let offer = self.offers.first else { return false }
        let ticket = self.lastTicket + 1
        do throws(LogError) {
            guard try offer.offer(&self.storage.log, ticket) else { return false }
            self.lastTicket = ticket
            self.waiting[ticket] = offer.then
        } catch .noSpace, .notPrepared {
            offer.refused()
        }
        self.offers.removeFirst()
        return true
    }

    private func finished(_ outcomes: [SteppedLog.Outcome]) {
        if self.storage.log.failure != nil { return self.fail() }
        for outcome in outcomes {
            guard case .success = outcome.result else { return self.fail() }
            self.finishedTicket = outcome.ticket
            self.waiting.removeValue(forKey: outcome.ticket)?()
        }
        self.reportPersisted()
    }

    private func reportPersisted() {
        while let first = self.accepted.first, first.ticket <= self.finishedTicket {
            self.accepted.removeFirst()
            self.raft.persisted(through: first.number)
        }
    }

    /// Whether everything that Raft asked for is durable.
    var isStorageIdle: Bool { self.writes.isEmpty && self.accepted.isEmpty }
}
