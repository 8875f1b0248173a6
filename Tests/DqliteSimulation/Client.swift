import DqliteRaft
import TestSupport

/// A client: one request after the other, and no second attempt at one whose fate is unknown.
final class Client {
    unowned let cluster: Cluster
    let place: Int
    /// Which node it asks next.
    private var target: Int
    private var pending: UInt64?

    init(place: Int, cluster: Cluster) {
        self.cluster = cluster
        self.place = place
        self.target = cluster.random.below(cluster.hosts.count)
    }

    var isIdle: Bool { self.pending == nil }

    /// - Parameter wait: Nobody seems to lead: there is no hurry.
    func think(wait: Bool = false) {
        let thinking = self.cluster.plan.thinking
        self.cluster.after(wait ? thinking.lowerBound...(thinking.upperBound * 4) : thinking) { [self] in
            if self.cluster.areClientsActive { self.ask() }
        }
    }

    private func ask() {
        let transaction = self.cluster.makeTransaction()
        var target = self.target
        var reading = Request.Reading.lease
        if transaction.isReadOnly {
            reading = self.cluster.random.pick([.lease, .lease, .readIndex, .anywhere])
            // Some do not know better than to ask whom they asked long ago.
            if reading == .anywhere || self.cluster.random.once(in: 3) {
                target = self.cluster.random.below(self.cluster.hosts.count)
            }
        }
        let id = transaction.id
        self.pending = id
        self.cluster.history.invoke(transaction, at: self.cluster.now)
        self.cluster.ask(Request(client: self.place, transaction: transaction, reading: reading), of: target)
        self.cluster.after(self.cluster.plan.patience) { [self] in
            guard self.pending == id else { return }
            self.target = self.cluster.random.below(self.cluster.hosts.count)
            self.end(id, .unknown)
        }
    }

    func receive(_ answer: Answer, to id: UInt64) {
        guard self.pending == id else { return }
        switch answer {
        case .committed(let results, let version): self.end(id, .committed(results, version: version))
        case .unknown: self.end(id, .unknown)
        case .notCommitted(let leader):
            let known = leader.map { Int($0.rawValue) - 1 }
            self.target = known ?? self.cluster.random.below(self.cluster.hosts.count)
            self.end(id, .notCommitted, wait: known == nil)
        }
    }

    private func end(_ id: UInt64, _ outcome: History.Outcome, wait: Bool = false) {
        self.pending = nil
        self.cluster.completed(id, outcome)
        if self.cluster.areClientsActive { self.think(wait: wait) }
    }
}
