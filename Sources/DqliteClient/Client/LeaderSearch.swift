/// The search for the leader, decided without doing it.
///
/// All addresses that are known are asked at a time, each on a connection that is kept as long as nobody leads, so that who is
/// elected is found with the next round trip. A node that does not answer holds up nobody. `Link` stands for the connection.
struct LeaderSearch<Link: Sendable>: Sendable {
    typealias Address = DqliteServerAddress

    /// What to do next.
    enum Action: Sendable {
        /// Connect; then ``Event/connected(_:)`` or ``Event/failed(_:)``.
        case connect(Address)
        /// Ask who leads; then ``Event/answered(_:)`` or ``Event/failed(_:)``.
        case ask(Address, Link)
        /// Wait that long; then ``Event/waited(_:)`` with that number.
        case wait(Address, Duration, UInt64)
        /// The connection is of no use.
        case close(Link)
        /// This node says that it leads. The search is over.
        case found(Address, Link)
    }

    /// What has happened with an address.
    enum Event: Sendable {
        case connected(Link)
        /// Who leads, by this node; nil: it does not know.
        case answered(DqliteServerAddress?)
        case failed(DqliteError)
        case waited(UInt64)
    }

    private enum State {
        case connecting
        case asking(Link)
        case waiting(Link?, number: UInt64)
    }

    private struct Probe {
        var state: State
        var backoff: Backoff
    }

    /// Addresses that nodes may make up are not followed for ever.
    static var maximumAddresses: Int { 64 }

    private let pollInterval: Duration
    private let policy: DqliteClientConfiguration.RetryPolicy
    private let addresses: [Address]
    private var random: any RandomNumberGenerator & Sendable
    private var probes: [Address: Probe] = [:]
    private var lastNumber: UInt64 = 0
    /// What was wrong with the node that failed last.
    private(set) var lastError: DqliteError?

    init(
        addresses: [Address], pollInterval: Duration, policy: DqliteClientConfiguration.RetryPolicy,
        random: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator()
    ) {
        self.addresses = addresses
        self.pollInterval = pollInterval
        self.policy = policy
        self.random = random
    }

    /// Begins with all addresses.
    mutating func begin() -> [Action] { self.addresses.compactMap { self.add($0) } }

    mutating func received(_ event: Event, from address: Address) -> [Action] {
        guard var probe = self.probes[address] else {
            if case .connected(let link) = event { return [.close(link)] }
            return []
        }
        var actions: [Action] = []
        switch (event, probe.state) {
        case (.connected(let link), .connecting):
            probe.state = .asking(link)
            actions = [.ask(address, link)]
        case (.connected(let link), _): return [.close(link)]
        case (.answered(address), .asking(let link)):
            self.probes[address] = nil
            return self.end() + [.found(address, link)]
        case (.answered(let leader), .asking(let link)):
            probe.backoff = Backoff(self.policy)
            let pause = Backoff.jittered(self.pollInterval, using: &self.random)
            actions = [self.wait(address, pause, link, &probe)]
            if let leader, let action = self.follow(leader) { actions.append(action) }
        case (.failed(let error), .asking(let link)):
            self.lastError = error
            actions = [.close(link), self.wait(address, probe.backoff.next(using: &self.random), nil, &probe)]
        case (.failed(let error), .connecting):
            self.lastError = error
            actions = [self.wait(address, probe.backoff.next(using: &self.random), nil, &probe)]
        case (.waited(let number), .waiting(let link?, let expected)) where number == expected:
            probe.state = .asking(link)
            actions = [.ask(address, link)]
        case (.waited(let number), .waiting(nil, let expected)) where number == expected:
            probe.state = .connecting
            actions = [.connect(address)]
        default: return []
        }
        self.probes[address] = probe
        return actions
    }

    private mutating func wait(_ address: Address, _ pause: Duration, _ link: Link?, _ probe: inout Probe) -> Action {
        self.lastNumber += 1
        probe.state = .waiting(link, number: self.lastNumber)
        return .wait(address, pause, self.lastNumber)
    }

    private mutating func add(_ address: Address) -> Action? {
        guard self.probes[address] == nil, self.probes.count < Self.maximumAddresses else { return nil }
        self.probes[address] = Probe(state: .connecting, backoff: Backoff(self.policy))
        return .connect(address)
    }

    /// Another node leads, as one says. Those that are asked in turn anyway are not asked more often for it: two could name each
    /// other for ever.
    private mutating func follow(_ leader: Address) -> Action? {
        guard let probe = self.probes[leader] else { return self.add(leader) }
        guard case .waiting(nil, _) = probe.state else { return nil }
        self.probes[leader]?.state = .connecting
        return .connect(leader)
    }

    /// Ends the search. What is still on its way is not waited for.
    mutating func end() -> [Action] {
        let links = self.probes.values.compactMap { probe -> Link? in
            switch probe.state {
            case .asking(let link), .waiting(let link?, _): link
            case .connecting, .waiting(nil, _): nil
            }
        }
        self.probes = [:]
        return links.map { .close($0) }
    }
}
