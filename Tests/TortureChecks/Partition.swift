/// A way that messages take, in one direction.
package struct Route: Hashable, Sendable, CustomStringConvertible {
    package enum Party: Hashable, Sendable, CustomStringConvertible {
        case node(Int)
        /// All clients.
        case clients

        package var description: String {
            switch self {
            case .node(let node): "node \(node + 1)"
            case .clients: "clients"
            }
        }
    }

    package var from: Party
    package var to: Party

    package init(from: Party, to: Party) {
        self.from = from
        self.to = to
    }

    package var description: String { "\(self.from) → \(self.to)" }
}

/// Which messages do not arrive.
package struct Partition: Hashable, Sendable, CustomStringConvertible {
    package enum Shape: String, Hashable, Sendable, CaseIterable {
        /// Other nodes do not hear it, nor does it hear them.
        case isolated = "isolate"
        /// Other nodes do not hear it.
        case mute
        /// It does not hear other nodes.
        case deaf
        /// A minority with it in it, and the rest.
        case split
        /// It is the only one that all others hear: they do not hear one another.
        case bridge = "make a bridge of"
        /// Clients do not reach it, and it does not reach them.
        case unreachable = "keep clients from"
        /// Nobody reaches it, and it reaches nobody.
        case alone = "cut off"
    }

    /// What becomes of what is sent.
    package enum Manner: String, Hashable, Sendable, CaseIterable {
        /// It arrives when the partition is over, as TCP repeats what got lost.
        case held
        /// Connections break, and new ones are not made.
        case broken
    }

    package var shape: Shape
    package var target: Fault.Target
    package var manner: Manner

    package init(_ shape: Shape, _ target: Fault.Target, _ manner: Manner) {
        self.shape = shape
        self.target = target
        self.manner = manner
    }

    package var description: String { "\(self.shape.rawValue) \(self.target), messages \(self.manner.rawValue)" }

    /// The routes that are cut.
    package func routes(nodes count: Int, leader: Int?) -> Set<Route> {
        let node = self.target.nodes(of: count, leader: leader)[0]
        let others = (0..<count).filter { $0 != node }
        let inward = others.map { Route(from: .node($0), to: .node(node)) }
        let outward = others.map { Route(from: .node(node), to: .node($0)) }
        let clients = [Route(from: .clients, to: .node(node)), Route(from: .node(node), to: .clients)]
        switch self.shape {
        case .isolated: return Set(inward + outward)
        case .mute: return Set(outward)
        case .deaf: return Set(inward)
        case .unreachable: return Set(clients)
        case .alone: return Set(inward + outward + clients)
        case .split:
            let minority = Set((0..<max(1, (count - 1) / 2)).map { ($0 + node) % count })
            return Set(
                (0..<count).flatMap { from in
                    (0..<count).filter { minority.contains(from) != minority.contains($0) }
                        .map { Route(from: .node(from), to: .node($0)) }
                })
        case .bridge:
            return Set(
                others.flatMap { from in
                    others.filter { $0 != from }.map { Route(from: .node(from), to: .node($0)) }
                })
        }
    }
}
