import DqliteLog
import DqliteRaft

/// A node's log, as it writes it and as Raft reads it.
///
/// `@unchecked Sendable`: a simulation has one thread.
final class NodeLog: RaftLogReader, @unchecked Sendable {
    var log: SteppedLog
    /// Whether a read from disk is not done yet.
    var isSlow: () -> Bool = { false }
    /// Told when the log cannot be read.
    var failed: (LogError) -> Void = { _ in }

    init(_ log: SteppedLog) { self.log = log }

    var firstIndex: LogIndex { self.log.firstIndex }
    var lastIndex: LogIndex { self.log.lastIndex }
    func term(at index: LogIndex) -> Term? { self.log.term(of: index) }

    func entries(in range: Range<LogIndex>, maximumSize: Int) -> [Entry] {
        guard range.lowerBound >= self.firstIndex, range.lowerBound <= self.lastIndex else { return [] }
        if self.log.isOnDiskOnly(range.lowerBound), self.isSlow() { return [] }
        do throws(LogError) {
            return try self.log.entries(
                in: range.lowerBound...range.upperBound.previous, maximumSize: maximumSize)
        } catch {
            self.failed(error)
            return []
        }
    }

    /// The configurations that the log knows.
    var configurations: [(index: LogIndex, configuration: Configuration)] {
        self.log.configurations.compactMap { stored in
            (try? Configuration(decoding: stored.data)).map { (stored.index, $0) }
        }
    }
}

extension SteppedLog {
    /// Does all that there is to do at once.
    mutating func finishAll() throws(LogError) {
        while self.beginAction() { _ = self.finishAction() }
        if let failure = self.failure { throw failure }
    }

    /// Offers something until it is accepted, and makes it durable.
    mutating func offerNow(_ offer: (inout SteppedLog) throws(LogError) -> Bool) throws(LogError) {
        while !(try offer(&self)) {
            guard self.beginAction() else { preconditionFailure("the log waits for nothing") }
            _ = self.finishAction()
        }
        try self.finishAll()
    }
}
