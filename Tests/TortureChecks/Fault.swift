/// What befalls the nodes.
package enum Fault: Hashable, Sendable, CustomStringConvertible {
    /// They end at once, and are started again after that.
    case kill(Target, down: Duration)
    /// They do nothing, and go on after that.
    case stop(Target, lasting: Duration)
    /// They are asked to end, and are started again.
    case restart(Target)
    /// The leader is asked to let another one lead.
    case transfer
    /// Messages do not arrive.
    case partition(Partition, lasting: Duration)
    /// They do and do not arrive, in turn.
    case flap(Partition, every: Duration, lasting: Duration)
    /// Messages arrive later, all of them or those of a node.
    case delay(Target, by: Duration, lasting: Duration)
    /// The disks are full.
    case disk(Target, lasting: Duration)

    /// Whom it befalls.
    package enum Target: Hashable, Sendable, CustomStringConvertible {
        /// Whoever leads then.
        case leader
        case node(Int)
        /// As many as make a quorum.
        case majority
        case all

        package var description: String {
            switch self {
            case .leader: "the leader"
            case .node(let node): "node \(node + 1)"
            case .majority: "a majority"
            case .all: "all nodes"
            }
        }
    }

    /// What can be asked for on the command line.
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case kill, stop, restart, transfer, partition, flap, delay, disk
    }

    package var kind: Kind {
        switch self {
        case .kill: .kill
        case .stop: .stop
        case .restart: .restart
        case .transfer: .transfer
        case .partition: .partition
        case .flap: .flap
        case .delay: .delay
        case .disk: .disk
        }
    }

    package var description: String {
        switch self {
        case .kill(let target, let down): "kill \(target), down for \(down.text)"
        case .stop(let target, let lasting): "stop \(target) for \(lasting.text)"
        case .restart(let target): "restart \(target)"
        case .transfer: "transfer the leadership"
        case .partition(let partition, let lasting): "\(partition) for \(lasting.text)"
        case .flap(let partition, let every, let lasting): "\(partition) every \(every.text) for \(lasting.text)"
        case .delay(let target, let by, let lasting): "delay \(target) by \(by.text) for \(lasting.text)"
        case .disk(let target, let lasting): "fill the disk of \(target) for \(lasting.text)"
        }
    }
}

extension Fault.Target {
    /// The nodes that are meant.
    ///
    /// - Parameters:
    ///   - leader: Who leads; nil: nobody knows. The first node then stands for it.
    package func nodes(of count: Int, leader: Int?) -> [Int] {
        switch self {
        case .leader: [leader ?? 0]
        case .node(let node): [node % count]
        // With the leader in it.
        case .majority: (0...count / 2).map { ($0 + (leader ?? 0)) % count }
        case .all: Array(0..<count)
        }
    }
}
