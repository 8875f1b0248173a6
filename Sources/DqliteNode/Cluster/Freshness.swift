import DqliteEngine
import DqliteProtocol
import DqliteRaft
import Synchronization

/// How old what a follower shows can be.
///
/// A follower is as fresh as the moment at which it asked the leader for a read index, once it has applied all up to the
/// answer. That the leader was heard a moment ago proves nothing: what it sent may have been on its way for long.
final class Freshness: Sendable {
    typealias Done = @Sendable (Result<Void, EngineError>) -> Void

    private struct Question {
        var asked: MonotonicInstant
        /// When it was sent last.
        var sent: MonotonicInstant
        var waiting: [Done]
        /// What has to be applied; nil: there is no answer yet.
        var index: LogIndex?
    }

    private struct State {
        var freshSince: MonotonicInstant?
        var questions: [UInt64: Question] = [:]
        /// An answer to a question of an earlier life must not be taken for one of this.
        var last = UInt64.random(in: 1...UInt64(Int64.max))
    }

    /// A question whose answer is lost is asked again.
    private static let patience = Duration.milliseconds(300)
    private static let maximumQuestions = 256

    private let transport: any RaftTransport
    private let clock: @Sendable () -> MonotonicInstant
    private let state = Mutex(State())

    init(transport: any RaftTransport, clock: @escaping @Sendable () -> MonotonicInstant = { .now }) {
        self.transport = transport
        self.clock = clock
    }

    /// Gets a time at which this node had all that was committed, no longer ago than `bound`.
    ///
    /// - Parameter leader: Whom to ask.
    func confirm(within bound: Duration, leader: NodeID?, done: @escaping Done) {
        let now = self.clock()
        let (isFresh, question) = self.state.withLock { state -> (Bool, UInt64?) in
            if let since = state.freshSince, now - since <= bound { return (true, nil) }
            // A question that is on its way serves all who come with it.
            if let open = state.questions.first(where: { $0.value.index == nil && now - $0.value.asked < Self.patience }
            ),
                now - open.value.asked <= bound
            {
                state.questions[open.key]?.waiting.append(done)
                return (false, nil)
            }
            guard leader != nil, state.questions.count < Self.maximumQuestions else { return (false, 0) }
            state.last += 1
            state.questions[state.last] = Question(asked: now, sent: now, waiting: [done])
            return (false, state.last)
        }
        if isFresh { return done(.success(())) }
        guard let question else { return }
        guard question != 0, let leader else { return done(.failure(.noFreshness)) }
        self.transport.send(.request(context: question), to: leader)
    }

    /// The leader has answered.
    func answered(_ context: UInt64, _ index: LogIndex?) {
        let failed = self.state.withLock { state -> [Done] in
            guard let index else { return state.questions.removeValue(forKey: context)?.waiting ?? [] }
            state.questions[context]?.index = index
            return []
        }
        for done in failed { done(.failure(.noFreshness)) }
    }

    /// Everything through a place is applied now; and questions that were never answered are given up.
    func applied(through index: LogIndex) {
        let now = self.clock()
        let (ready, lost) = self.state.withLock { state -> ([Done], [Done]) in
            guard !state.questions.isEmpty else { return ([], []) }
            var ready: [Done] = []
            var lost: [Done] = []
            for question in state.questions.values {
                guard let needed = question.index, needed <= index else { continue }
                state.freshSince = max(state.freshSince ?? question.asked, question.asked)
            }
            for (context, question) in state.questions {
                // What was asked before is answered with it.
                if let since = state.freshSince, question.asked <= since {
                    ready += question.waiting
                } else if now - question.asked > .seconds(5) {
                    lost += question.waiting
                } else {
                    continue
                }
                state.questions[context] = nil
            }
            return (ready, lost)
        }
        for done in ready { done(.success(())) }
        for done in lost { done(.failure(.noFreshness)) }
    }

    /// Gives up what was never answered, and asks again what was asked too long ago: whoever leads now can answer it.
    func tick(applied index: LogIndex, leader: NodeID?) {
        self.applied(through: index)
        guard let leader else { return }
        let now = self.clock()
        let contexts = self.state.withLock { state -> [UInt64] in
            var contexts: [UInt64] = []
            for (context, question) in state.questions
            where question.index == nil && now - question.sent > Self.patience {
                state.questions[context]?.sent = now
                contexts.append(context)
            }
            return contexts
        }
        for context in contexts { self.transport.send(.request(context: context), to: leader) }
    }
}

extension EngineError {
    static var noFreshness: EngineError {
        .refused(
            FailureCode.notLeader,
            "not leader: this node cannot find out how old its data is, since it reaches no leader; ask another node")
    }
}
