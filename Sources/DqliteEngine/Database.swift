internal import DqliteProtocol
internal import Synchronization

#if canImport(Glibc)
    internal import Glibc
#elseif canImport(Musl)
    internal import Musl
#else
    internal import Darwin
#endif

/// A database that sessions have open: its file, and who may write to it.
final class Database: AlarmTarget {
    private struct State: ~Copyable {
        var queue = WriterQueue()
        /// Those that wait, by their number.
        var waiting: [UInt64: EngineSession] = [:]
        var alarm: Instant?
        var exists = false
    }

    let name: String
    let path: String
    let directory: String
    private let writeTimeout: Duration
    private let clock: AlarmClock
    private let state = Mutex(State())

    init(name: String, directory: String, writeTimeout: Duration, clock: AlarmClock) {
        self.name = name
        self.directory = directory
        self.path = "\(directory)/\(name)"
        self.writeTimeout = writeTimeout
        self.clock = clock
    }

    /// Whether there is a file. Once there is one it stays.
    var exists: Bool {
        if self.state.withLock({ $0.exists }) { return true }
        var status = stat()
        guard lstat(self.path, &status) == 0 else { return false }
        self.state.withLock { $0.exists = true }
        return true
    }

    /// Refuses to create one more file than `limit`.
    func checkLimit(_ limit: Int) throws(EngineError) {
        guard let directory = opendir(self.directory) else { return }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) {
                $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            if name != ".", name != "..", !DatabaseName.reservedSuffixes.contains(where: { name.hasSuffix($0) }) {
                count += 1
            }
        }
        guard count < limit else {
            throw EngineError(
                code: FailureCode.full, message: "there are \(count) databases, which is the limit of this node")
        }
    }

    /// Asks for the turn to write on behalf of a session, which is told by ``EngineSession/turnGranted(_:)`` if it has
    /// to wait.
    func requestTurn(for session: EngineSession) -> WriterQueue.Answer {
        let now = Instant.now
        let (answer, alarm) = self.state.withLock { state -> (WriterQueue.Answer, Instant?) in
            let answer = state.queue.request(session.number, now: now, timeout: self.writeTimeout)
            guard case .waits = answer else { return (answer, nil) }
            state.waiting[session.number] = session
            let deadline = now + self.writeTimeout
            if let alarm = state.alarm, alarm <= deadline { return (answer, nil) }
            state.alarm = deadline
            return (answer, deadline)
        }
        if let alarm { self.clock.schedule(self, at: alarm) }
        return answer
    }

    /// Gives back the turn, or stops waiting for it.
    func leaveTurn(_ session: EngineSession) {
        let next = self.state.withLock { state -> (EngineSession, WriterQueue.Ticket)? in
            state.waiting[session.number] = nil
            guard let waiter = state.queue.leave(session.number, now: .now) else { return nil }
            return state.waiting.removeValue(forKey: waiter.owner).map { ($0, waiter.ticket) }
        }
        if let (session, ticket) = next { session.turnGranted(ticket) }
    }

    /// Whether a session waits for its turn.
    func isWaiting(_ session: EngineSession) -> Bool { self.state.withLock { $0.waiting[session.number] != nil } }

    func alarm(now: Instant) {
        var expired: [(EngineSession, WriterQueue.Expiry)] = []
        let alarm = self.state.withLock { state -> Instant? in
            for expiry in state.queue.expire(now: now) {
                if let session = state.waiting.removeValue(forKey: expiry.waiter.owner) {
                    expired.append((session, expiry))
                }
            }
            state.alarm = state.queue.nextDeadline
            return state.alarm
        }
        if let alarm { self.clock.schedule(self, at: alarm) }
        for (session, expiry) in expired { session.turnExpired(expiry) }
    }
}
