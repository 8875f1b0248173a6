import DqliteEngine
import DqliteRaft
import Synchronization
import Testing

@testable import DqliteNode

/// Rule 29: how old what a follower shows can be. Time is made up.
@Suite struct FreshnessTests {
    private final class Transport: RaftTransport {
        let questions = Mutex<[(context: UInt64, to: NodeID)]>([])

        func send(_ envelopes: [Envelope]) {}
        func update(_ configuration: Configuration) {}
        func send(_ message: ReadIndexMessage, to node: NodeID) {
            guard case .request(let context) = message else { return }
            self.questions.withLock { $0.append((context, node)) }
        }
    }

    private final class Time: Sendable {
        private let milliseconds = Mutex(1000)

        var now: MonotonicInstant { MonotonicInstant(.milliseconds(self.milliseconds.withLock { $0 })) }
        func pass(_ milliseconds: Int) { self.milliseconds.withLock { $0 += milliseconds } }
    }

    private final class Answers: Sendable {
        let list = Mutex<[Bool]>([])

        func add(_ result: Result<Void, EngineError>) { self.list.withLock { $0.append((try? result.get()) != nil) } }
        var all: [Bool] { self.list.withLock { $0 } }
    }

    private let transport = Transport()
    private let time = Time()
    private let answers = Answers()
    private let freshness: Freshness
    private static let leader = NodeID(2)

    init() {
        self.freshness = Freshness(transport: self.transport, clock: { [time] in time.now })
    }

    private func ask(within bound: Duration = .milliseconds(500), leader: NodeID? = Self.leader) {
        self.freshness.confirm(within: bound, leader: leader) { [answers] in answers.add($0) }
    }

    private var contexts: [UInt64] { self.transport.questions.withLock { $0.map(\.context) } }

    @Test func `An answer counts once all that it names is applied`() throws {
        self.ask()
        let context = try #require(self.contexts.first)
        self.freshness.answered(context, LogIndex(7))
        self.freshness.applied(through: LogIndex(6))
        #expect(self.answers.all == [])
        self.freshness.applied(through: LogIndex(7))
        #expect(self.answers.all == [true])
    }

    @Test func `The bound counts from when it was asked, not from when it was answered`() throws {
        self.ask()
        let context = try #require(self.contexts.first)
        self.time.pass(400)
        self.freshness.answered(context, LogIndex(7))
        self.freshness.applied(through: LogIndex(7))
        #expect(self.answers.all == [true])
        self.time.pass(100)
        self.ask()
        #expect(self.answers.all == [true, true] && self.contexts.count == 1)
        self.time.pass(1)
        self.ask()
        #expect(self.answers.all == [true, true] && self.contexts.count == 2)
    }

    @Test func `Who comes while a question is on its way shares it, unless it is older than the bound`() throws {
        self.ask()
        self.time.pass(100)
        self.ask()
        #expect(self.contexts.count == 1)
        self.ask(within: .milliseconds(50))
        #expect(self.contexts.count == 2)
        self.freshness.answered(self.contexts[0], LogIndex(3))
        self.freshness.applied(through: LogIndex(3))
        #expect(self.answers.all == [true, true])
    }

    @Test func `A question whose answer is lost is asked again, of whoever leads then, and not at each tick`() throws {
        self.ask()
        let context = try #require(self.contexts.first)
        self.time.pass(300)
        self.freshness.tick(applied: .zero, leader: Self.leader)
        #expect(self.contexts == [context])
        self.time.pass(1)
        self.freshness.tick(applied: .zero, leader: nil)
        #expect(self.contexts == [context])
        self.freshness.tick(applied: .zero, leader: NodeID(3))
        self.freshness.tick(applied: .zero, leader: NodeID(3))
        #expect(self.transport.questions.withLock { $0.map(\.to) } == [Self.leader, NodeID(3)])
        #expect(self.contexts == [context, context])
        self.freshness.answered(context, LogIndex(4))
        self.time.pass(1000)
        self.freshness.tick(applied: LogIndex(3), leader: NodeID(3))
        #expect(self.contexts.count == 2 && self.answers.all == [])
        self.freshness.tick(applied: LogIndex(4), leader: NodeID(3))
        #expect(self.answers.all == [true])
    }

    @Test func `Without a leader, or an answer in five seconds, nobody knows`() throws {
        self.ask(leader: nil)
        #expect(self.answers.all == [false])
        self.ask()
        self.time.pass(5001)
        self.freshness.tick(applied: .zero, leader: nil)
        #expect(self.answers.all == [false, false])
    }

    @Test func `A node that does not lead any more says so, and who waits is told`() throws {
        self.ask()
        self.freshness.answered(try #require(self.contexts.first), nil)
        #expect(self.answers.all == [false])
    }

    @Test func `An answer to nobody's question is ignored`() throws {
        self.ask()
        self.freshness.answered(try #require(self.contexts.first) &+ 1, LogIndex(1))
        self.freshness.applied(through: LogIndex(1))
        #expect(self.answers.all == [])
    }
}
