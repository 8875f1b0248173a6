import DqliteRaft
import Synchronization

/// Those who want to know who leads.
final class LeadershipWatchers: Sendable {
    private struct State {
        var news = DqliteNode.Leadership(leader: nil, term: 0, isServing: false)
        var watchers: [UInt64: AsyncStream<DqliteNode.Leadership>.Continuation] = [:]
        var next: UInt64 = 0
        var isFinished = false
    }

    private let state = Mutex(State())

    func changed(_ view: ClusterView) {
        self.change { news in
            news.leader = view.leader?.rawValue
            news.term = view.term.rawValue
        }
    }

    func changed(serving: Bool) { self.change { $0.isServing = serving } }

    private func change(_ body: (inout DqliteNode.Leadership) -> Void) {
        self.state.withLock { state in
            body(&state.news)
            for watcher in state.watchers.values { watcher.yield(state.news) }
        }
    }

    /// What is known now, and then every change; whoever is slow gets the newest only.
    func watch() -> AsyncStream<DqliteNode.Leadership> {
        let (stream, continuation) = AsyncStream.makeStream(
            of: DqliteNode.Leadership.self, bufferingPolicy: .bufferingNewest(1))
        let number = self.state.withLock { state -> UInt64? in
            guard !state.isFinished else { return nil }
            state.next += 1
            state.watchers[state.next] = continuation
            continuation.yield(state.news)
            return state.next
        }
        guard let number else {
            continuation.finish()
            return stream
        }
        continuation.onTermination = { [weak self] _ in
            self?.state.withLock { $0.watchers[number] = nil }
        }
        return stream
    }

    func finish() {
        let watchers = self.state.withLock { state in
            state.isFinished = true
            defer { state.watchers = [:] }
            return Array(state.watchers.values)
        }
        for watcher in watchers { watcher.finish() }
    }
}
