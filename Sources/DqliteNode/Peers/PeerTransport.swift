import DqliteRaft
import Logging
import NIOCore
import Synchronization

/// The streams to all other nodes.
final class PeerTransport: RaftTransport {
    private struct State {
        var links: [NodeID: PeerLink] = [:]
        /// Where nodes are reached that have connected; the configuration, where it names them, knows better.
        var addresses: [NodeID: String] = [:]
        var members: [NodeID: String] = [:]
        /// Those of both that have opened their last stream in the C form.
        var cNodes: Set<NodeID> = []
        var isStopped = false

        mutating func learn(_ node: NodeID, _ address: String) {
            guard !address.isEmpty else { return }
            if self.addresses[node] == nil, self.addresses.count >= PeerTransport.maximumStrangers,
                let other = self.addresses.keys.first
            {
                self.addresses[other] = nil
                self.cNodes.remove(other)
                self.links.removeValue(forKey: other)?.stop()
            }
            self.addresses[node] = address
            self.links[node]?.update(address: address)
        }
    }

    let greeting: PeerGreeting
    private let forms: [UInt64: PeerForm]
    private let group: any EventLoopGroup
    private let dial: DqliteNodeConfiguration.Dial
    private let logger: Logger
    private let state = Mutex(State())

    /// Nodes that are remembered though they are no members.
    private static let maximumStrangers = 64

    /// - Parameter forms: Of the streams to those nodes, whatever they use themselves.
    init(
        id: UInt64, address: String, forms: [UInt64: PeerForm], group: any EventLoopGroup,
        dial: @escaping DqliteNodeConfiguration.Dial,
        logger: Logger
    ) {
        self.greeting = PeerGreeting(id: id, address: address)
        self.forms = forms
        self.group = group
        self.dial = dial
        self.logger = logger
    }

    func send(_ envelopes: [Envelope]) {
        var rest = envelopes[...]
        while let first = rest.first {
            // Raft names one node after the other.
            let count = rest.prefix { $0.to == first.to }.count
            self.link(to: first.to)?.send(rest.prefix(count).map(\.message))
            rest = rest.dropFirst(count)
        }
    }

    func send(_ message: ReadIndexMessage, to node: NodeID) { self.link(to: node)?.send(message) }

    func update(_ configuration: Configuration) {
        self.state.withLock { state in
            var members: [NodeID: String] = [:]
            for server in configuration.servers {
                members[server.id] = server.address
                state.addresses[server.id] = nil
                state.links[server.id]?.update(address: server.address)
            }
            // Who was removed still gets the messages that say so.
            for (id, address) in state.members where members[id] == nil { state.learn(id, address) }
            state.members = members
            state.cNodes.formIntersection(Set(members.keys).union(state.addresses.keys))
        }
    }

    /// A node has opened a stream in that form, and said where it is reached.
    func learned(_ node: NodeID, address: String, form: PeerForm) {
        self.state.withLock { state in
            if state.members[node] == nil { state.learn(node, address) }
            switch form {
            case .native: state.cNodes.remove(node)
            case .c: if state.members[node] ?? state.addresses[node] != nil { state.cNodes.insert(node) }
            }
            state.links[node]?.update(form: self.form(of: node, state))
        }
    }

    /// The form in which a node is spoken to.
    func form(of node: NodeID) -> PeerForm { self.state.withLock { self.form(of: node, $0) } }

    private func form(of node: NodeID, _ state: borrowing State) -> PeerForm {
        self.forms[node.rawValue] ?? (state.cNodes.contains(node) ? .c : .native)
    }

    /// Where a node is reached; nil: nobody has said.
    func address(of node: NodeID) -> String? {
        self.state.withLock { $0.members[node] ?? $0.addresses[node] }
    }

    func stop() {
        let links = self.state.withLock { state in
            defer { state.links = [:] }
            state.isStopped = true
            return Array(state.links.values)
        }
        for link in links { link.stop() }
    }

    private func link(to node: NodeID) -> PeerLink? {
        self.state.withLock { state in
            guard !state.isStopped, let address = state.members[node] ?? state.addresses[node] else { return nil }
            if let link = state.links[node] { return link }
            let link = PeerLink(
                id: node, address: address, form: self.form(of: node, state), greeting: self.greeting,
                eventLoop: self.group.next(), dial: self.dial, logger: self.logger)
            state.links[node] = link
            return link
        }
    }
}
