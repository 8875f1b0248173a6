import Metrics
import NIOCore
import Synchronization

/// Told to every connection when the node shuts down.
enum ShutdownEvent: Sendable {
    /// End what runs, begin nothing, then close.
    case drain
    /// Interrupt what runs, then close.
    case interrupt
}

/// The open connections of a node.
final class Connections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        var isClosing = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let limit: Int
    private let metrics: NodeMetrics
    private let state = Mutex(State())

    init(limit: Int, metrics: NodeMetrics) {
        self.limit = limit
        self.metrics = metrics
    }

    /// Adds a connection, until it is closed.
    ///
    /// - Returns: false when there are too many already, or the node shuts down.
    func add(_ channel: any Channel) -> Bool {
        let count = self.state.withLock { state -> Int? in
            guard !state.isClosing, state.channels.count < self.limit else { return nil }
            state.channels[ObjectIdentifier(channel)] = channel
            return state.channels.count
        }
        guard let count else {
            self.metrics.refused.increment()
            return false
        }
        self.metrics.connectionOpened(count: count)
        channel.closeFuture.whenComplete { _ in self.remove(channel) }
        return true
    }

    private func remove(_ channel: any Channel) {
        let (count, waiting) = self.state.withLock { state -> (Int, [CheckedContinuation<Void, Never>]) in
            state.channels[ObjectIdentifier(channel)] = nil
            guard state.channels.isEmpty else { return (state.channels.count, []) }
            defer { state.waiting = [] }
            return (0, state.waiting)
        }
        self.metrics.connectionClosed(count: count)
        for continuation in waiting { continuation.resume() }
    }

    /// Accepts no more connections, and tells all that there are.
    func shutDown(_ event: ShutdownEvent) {
        let channels = self.state.withLock { state in
            state.isClosing = true
            return Array(state.channels.values)
        }
        for channel in channels { channel.pipeline.fireUserInboundEventTriggered(event) }
    }

    /// Closes what is still open, without regard for anything.
    func closeAll() {
        for channel in self.state.withLock({ Array($0.channels.values) }) { channel.close(promise: nil) }
    }

    /// Returns when there are none.
    func closed() async {
        await withCheckedContinuation { continuation in
            let isEmpty = self.state.withLock { state in
                guard !state.channels.isEmpty else { return true }
                state.waiting.append(continuation)
                return false
            }
            if isEmpty { continuation.resume() }
        }
    }
}
