import DqliteLog
import DqliteRaft
import Synchronization

/// How far this node's own log vouches for what Raft has committed: not for entries that are to be cut off.
final class DurableLimit: Sendable {
    private let value = Atomic<UInt64>(.max)

    var index: LogIndex {
        get { LogIndex(self.value.load(ordering: .acquiring)) }
        set { self.value.store(newValue.rawValue, ordering: .releasing) }
    }

    static let none = LogIndex(.max)
}

/// Raft's view of the durable log: what it asks to be written, and what of that is done.
struct RaftStorage {
    private let log: Log
    /// Writes that were given to the log, in order, and which of them are done.
    private var outstanding: [(number: UInt64, isDone: Bool)] = []
    /// Writes that found no room, or that nobody could wait for, in order.
    private var stalled: [StorageWrite] = [] {
        didSet {
            self.durableLimit.index = self.stalled.compactMap { $0.truncateFrom?.previous }.min() ?? DurableLimit.none
        }
    }
    /// Called on the log's thread when the entries of a write are durable, or the log has failed.
    var completion: @Sendable (UInt64, LogError?) -> Void = { _, _ in }

    /// Longest batch that the log is given at once.
    private static let maximumBatchSize = 32 << 20

    /// What waits to be cut off is not this log's any more, though it is still durable there.
    let durableLimit = DurableLimit()

    init(log: Log) { self.log = log }

    /// Whether something waits to be written.
    var isStalled: Bool { !self.stalled.isEmpty }

    /// Begins a write, after those before it.
    ///
    /// - Parameter mayWait: Whether it may wait for the disk; otherwise a write that has to is left to ``proceed()``.
    /// - Returns: The number through which all writes are done already; nil: that is told later.
    /// - Throws: The log has failed.
    mutating func perform(_ write: StorageWrite, mayWait: Bool) throws(LogError) -> UInt64? {
        self.outstanding.append((write.number, false))
        self.stalled.append(write)
        guard self.stalled.count == 1, mayWait || self.isPrompt(write) else { return nil }
        return try self.proceed()
    }

    /// Whether the log accepts it without a wait.
    private func isPrompt(_ write: StorageWrite) -> Bool {
        write.hardState == nil && write.truncateFrom == nil
            && self.log.hasRoom(for: write.entries.reduce(0) { $0 + $1.data.count + 16 })
    }

    /// Goes on with what found no room.
    mutating func proceed() throws(LogError) -> UInt64? {
        while var write = self.stalled.first {
            if let hardState = write.hardState {
                try self.log.save(hardState)
                write.hardState = nil
            }
            if let index = write.truncateFrom {
                guard try self.attempt({ () throws(LogError) in try self.log.truncateTail(after: index.previous) })
                else { return self.keep(write) }
                write.truncateFrom = nil
            }
            if write.entries.isEmpty {
                self.stalled.removeFirst()
                self.markDone(write.number)
                continue
            }
            while !write.entries.isEmpty {
                var size = 0
                let count = max(
                    1,
                    write.entries.prefix { entry in
                        size += entry.data.count
                        return size <= Self.maximumBatchSize
                    }.count)
                let isLast = count == write.entries.count
                let (number, completion) = (write.number, self.completion)
                let batch = isLast ? write.entries : Array(write.entries[..<count])
                let isAccepted = try self.attempt { () throws(LogError) in
                    try self.log.append(batch) { result in
                        if case .failure(let error) = result { return completion(number, error) }
                        if isLast { completion(number, nil) }
                    }
                }
                guard isAccepted else { return self.keep(write) }
                write.entries.removeFirst(count)
            }
            self.stalled.removeFirst()
        }
        return self.takeDone()
    }

    private mutating func keep(_ write: StorageWrite) -> UInt64? {
        self.stalled[0] = write
        return self.takeDone()
    }

    /// - Returns: false: there is no room for it now.
    private func attempt(_ body: () throws(LogError) -> Void) throws(LogError) -> Bool {
        do throws(LogError) {
            try body()
            return true
        } catch {
            switch error {
            case .noSpace, .notPrepared, .queueFull: return false
            default: throw error
            }
        }
    }

    /// The entries of a write are durable.
    ///
    /// - Returns: The number through which all writes are done.
    mutating func done(_ number: UInt64) -> UInt64? {
        self.markDone(number)
        return self.takeDone()
    }

    private mutating func markDone(_ number: UInt64) {
        if let place = self.outstanding.firstIndex(where: { $0.number == number }) {
            self.outstanding[place].isDone = true
        }
    }

    private mutating func takeDone() -> UInt64? {
        let count = self.outstanding.prefix { $0.isDone }.count
        guard count > 0 else { return nil }
        defer { self.outstanding.removeFirst(count) }
        return self.outstanding[count - 1].number
    }

    /// A snapshot takes the place of everything: nothing that was begun counts any more.
    mutating func reset() {
        self.outstanding = []
        self.stalled = []
    }
}

/// The entries that are on disk, for Raft.
struct LogReader: RaftLogReader {
    let log: Log

    var firstIndex: LogIndex { self.log.firstIndex }
    var lastIndex: LogIndex { self.log.lastIndex }

    func term(at index: LogIndex) -> Term? { self.log.term(of: index) }

    func entries(in range: Range<LogIndex>, maximumSize: Int) -> [Entry] {
        guard !range.isEmpty else { return [] }
        return (try? self.log.entries(in: range.lowerBound...range.upperBound.previous, maximumSize: maximumSize)) ?? []
    }
}
