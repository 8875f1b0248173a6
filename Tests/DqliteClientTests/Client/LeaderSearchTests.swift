import TestSupport
import Testing

@testable import DqliteClient

@Suite struct LeaderSearchTests {
    static let a = DqliteServerAddress.hostname("a", port: 1)
    static let b = DqliteServerAddress.hostname("b", port: 1)
    static let c = DqliteServerAddress.hostname("c", port: 1)

    static func search(_ addresses: DqliteServerAddress...) -> LeaderSearch<Int> {
        LeaderSearch(
            addresses: addresses, pollInterval: .milliseconds(50), policy: .init(), random: SeededRandom(seed: 1))
    }

    @Test func `All are asked at a time, and who says that it leads is found`() {
        var search = Self.search(Self.a, Self.b, Self.a, Self.c)
        #expect(search.begin().words == ["connect a", "connect b", "connect c"])
        #expect(search.received(.connected(2), from: Self.b).words == ["ask b 2"])
        #expect(search.received(.connected(1), from: Self.a).words == ["ask a 1"])
        // c is silent, and nobody waits for it.
        #expect(search.received(.answered(Self.b), from: Self.b).words == ["close 1", "found b 2"])
        #expect(search.received(.connected(3), from: Self.c).words == ["close 3"])
        #expect(search.received(.answered(Self.b), from: Self.a).words == [])
    }

    @Test func `A node that is named and was not known is asked as well`() {
        var search = Self.search(Self.a)
        _ = search.begin()
        _ = search.received(.connected(1), from: Self.a)
        #expect(search.received(.answered(Self.b), from: Self.a).words == ["wait a", "connect b"])
        #expect(search.received(.connected(2), from: Self.b).words == ["ask b 2"])
        #expect(search.received(.answered(Self.b), from: Self.b).words == ["close 1", "found b 2"])
    }

    @Test func `While nobody leads the same connections are asked again and again`() throws {
        var search = Self.search(Self.a, Self.b)
        _ = search.begin()
        for (address, link) in [(Self.a, 1), (Self.b, 2)] {
            _ = search.received(.connected(link), from: address)
            for _ in 0..<20 {
                let actions = search.received(.answered(nil), from: address)
                try #require(actions.words == ["wait \(address.description.first!)"])
                let (pause, number) = try #require(actions.first?.pause)
                #expect(pause >= .milliseconds(25) && pause <= .milliseconds(50))
                #expect(search.received(.waited(number + 1), from: address).isEmpty)
                #expect(
                    search.received(.waited(number), from: address).words
                        == ["ask \(address.description.first!) \(link)"])
            }
        }
    }

    @Test func `Nodes that name each other are not asked more often for it`() {
        var search = Self.search(Self.a, Self.b)
        _ = search.begin()
        _ = search.received(.connected(1), from: Self.a)
        _ = search.received(.connected(2), from: Self.b)
        #expect(search.received(.answered(Self.b), from: Self.a).words == ["wait a"])
        #expect(search.received(.answered(Self.a), from: Self.b).words == ["wait b"])
    }

    @Test func `A node that cannot be reached is tried less and less, and at once when it is named`() throws {
        var search = Self.search(Self.a, Self.b)
        _ = search.begin()
        _ = search.received(.connected(1), from: Self.a)
        var pauses: [Duration] = []
        for _ in 0..<8 {
            let actions = search.received(.failed(DqliteError(.connectFailed)), from: Self.b)
            let (pause, number) = try #require(actions.first?.pause)
            pauses.append(pause)
            #expect(search.received(.waited(number), from: Self.b).words == ["connect b"])
        }
        for (pause, base) in zip(pauses, [50, 100, 200, 400, 800, 1000, 1000, 1000]) {
            #expect(pause >= .milliseconds(base / 2) && pause <= .milliseconds(base))
        }
        #expect(search.lastError?.code == .connectFailed)
        let number = try #require(
            search.received(.failed(DqliteError(.connectFailed)), from: Self.b).first?.pause?.number)
        #expect(search.received(.answered(Self.b), from: Self.a).words == ["wait a", "connect b"])
        // Its pause is over, in a manner of speaking.
        #expect(search.received(.waited(number), from: Self.b).isEmpty)
    }

    @Test func `A node that does not say who leads is connected to anew`() throws {
        var search = Self.search(Self.a)
        _ = search.begin()
        _ = search.received(.connected(1), from: Self.a)
        let actions = search.received(.failed(DqliteError(.deadlineExceeded)), from: Self.a)
        #expect(actions.words == ["close 1", "wait a"])
        let number = try #require(actions.last?.pause?.number)
        #expect(search.received(.waited(number), from: Self.a).words == ["connect a"])
    }

    @Test func `Addresses that are made up are not followed for ever`() {
        var search = Self.search(Self.a)
        _ = search.begin()
        _ = search.received(.connected(1), from: Self.a)
        var count = 1
        for port in 2...200 {
            let made = DqliteServerAddress.hostname("made-up", port: port)
            let actions = search.received(.answered(made), from: Self.a)
            count += actions.count - 1
            _ = search.received(.waited(actions[0].pause!.number), from: Self.a)
        }
        #expect(count == LeaderSearch<Int>.maximumAddresses)
    }
}

extension [LeaderSearch<Int>.Action] {
    /// With the hosts of the addresses alone, in an order that does not depend on that of the connections.
    var words: [String] {
        self.map { action in
            switch action {
            case .connect(let address): "connect \(address.description.first!)"
            case .ask(let address, let link): "ask \(address.description.first!) \(link)"
            case .wait(let address, _, _): "wait \(address.description.first!)"
            case .close(let link): "close \(link)"
            case .found(let address, let link): "found \(address.description.first!) \(link)"
            }
        }
    }
}

extension LeaderSearch<Int>.Action {
    var pause: (Duration, number: UInt64)? {
        if case .wait(_, let duration, let number) = self { (duration, number) } else { nil }
    }
}
