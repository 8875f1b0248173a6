/// What one worker knows of what it has written: it alone writes its tickets.
///
/// A ticket numbers a transaction, which leaves `parts` rows in `part`, each with its number; so a transaction that is there in
/// part shows.
struct Model: Sendable {
    enum Fate: Sendable {
        /// Acknowledged: it must be there.
        case present
        /// Rolled back, or said not to be committed: it must not.
        case absent
        /// The connection was lost before the answer: wholly or not at all.
        case unknown
    }

    struct Ticket: Sendable {
        var fate: Fate
        var parts: Int
        /// A ticket of before that the same transaction deleted.
        var deletes: Int64?
        /// Whether the same transaction created a table named after it.
        var createsTable = false
    }

    var tickets: [Int64: Ticket] = [:]
    /// Those that a later transaction deleted, and which.
    var deletedBy: [Int64: Int64] = [:]

    mutating func write(_ number: Int64, _ ticket: Ticket) {
        self.tickets[number] = ticket
        if let deleted = ticket.deletes, ticket.fate != .absent { self.deletedBy[deleted] = number }
    }

    /// Compares with what is in the database: how many parts each ticket has, and the tables that there are.
    ///
    /// What was unknown is known afterwards.
    mutating func check(parts: [Int64: Int], tables: Set<Int64>) -> [String] {
        var problems: [String] = []
        // What was unknown first: whether others are deleted depends on it.
        for (number, ticket) in self.tickets where ticket.fate == .unknown {
            // One that is deleted again was present; its deleter is looked at below.
            let isDeleted = self.deletedBy[number] != nil
            self.tickets[number]!.fate = parts[number] != nil || isDeleted ? .present : .absent
        }
        for (deleted, deleter) in self.deletedBy where self.tickets[deleter]!.fate == .absent {
            self.deletedBy[deleted] = nil
        }
        for (number, ticket) in self.tickets {
            let found = parts[number] ?? 0
            let isThere = ticket.fate == .present && self.deletedBy[number] == nil
            if found != (isThere ? ticket.parts : 0) {
                problems.append(Self.mismatch(number, ticket, isThere: isThere, found: found))
            }
            if ticket.createsTable, tables.contains(number) != (ticket.fate == .present) {
                problems.append(
                    "ticket \(number) is \(ticket.fate), and its table \(tables.contains(number) ? "is" : "is not") there"
                )
            }
        }
        for number in parts.keys where self.tickets[number] == nil {
            problems.append("ticket \(number) is there, and nobody wrote it")
        }
        return problems
    }

    /// The problem of a ticket that has not the parts that it must have.
    static func mismatch(_ number: Int64, _ ticket: Ticket, isThere: Bool, found: Int) -> String {
        "ticket \(number) is \(ticket.fate)\(isThere ? "" : ", or deleted,") and has \(found) of \(ticket.parts) parts"
    }
}
