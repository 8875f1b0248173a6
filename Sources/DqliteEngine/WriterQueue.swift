internal import DqliteRaft

/// Who may write to a database, and who waits for it, in the order in which they asked. One session writes at a time.
struct WriterQueue {
    /// Number of a session.
    typealias Owner = UInt64
    /// Number of a wait, never given twice.
    typealias Ticket = UInt64

    /// One that waits.
    struct Waiter: Equatable {
        var owner: Owner
        var ticket: Ticket
        var since: Instant
        var deadline: Instant
    }

    /// One whose time is over.
    struct Expiry: Equatable {
        var waiter: Waiter
        /// How long it has waited.
        var waited: Duration
        /// How long the one that writes has been writing.
        var held: Duration
    }

    enum Answer: Equatable {
        case granted
        case waits(Ticket)
    }

    /// Who may write, and since when.
    private(set) var holder: (owner: Owner, since: Instant)?
    private var waiters = Queue<Waiter>()
    private var lastTicket: Ticket = 0

    /// Asks for the turn. Whoever has it already is granted it again.
    mutating func request(_ owner: Owner, now: Instant, timeout: Duration) -> Answer {
        guard let holder else {
            self.holder = (owner, now)
            return .granted
        }
        if holder.owner == owner { return .granted }
        self.lastTicket += 1
        self.waiters.append(Waiter(owner: owner, ticket: self.lastTicket, since: now, deadline: now + timeout))
        return .waits(self.lastTicket)
    }

    /// Gives the turn back, or stops waiting for it, whichever the owner does; neither is no mistake.
    ///
    /// - Returns: Who has the turn now, if that has changed.
    mutating func leave(_ owner: Owner, now: Instant) -> Waiter? {
        guard let holder, holder.owner == owner else {
            self.waiters.removeAll { $0.owner == owner }
            return nil
        }
        let next = self.waiters.popFirst()
        self.holder = next.map { ($0.owner, now) }
        return next
    }

    /// Takes out those whose time is over.
    mutating func expire(now: Instant) -> [Expiry] {
        guard let holder else { return [] }
        var expired: [Expiry] = []
        for index in 0..<self.waiters.count {
            let waiter = self.waiters[index]
            guard waiter.deadline <= now else { continue }
            expired.append(
                Expiry(
                    waiter: waiter, waited: now - waiter.since, held: now - holder.since))
        }
        if !expired.isEmpty { self.waiters.removeAll { $0.deadline <= now } }
        return expired
    }

    /// When the time of the next one is over.
    var nextDeadline: Instant? {
        var next: Instant?
        for index in 0..<self.waiters.count {
            next = min(next ?? self.waiters[index].deadline, self.waiters[index].deadline)
        }
        return next
    }
}
