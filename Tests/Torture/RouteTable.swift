import NIOCore
import Synchronization
import TortureChecks

/// What happens to messages on their way, and who is told when that changes.
final class RouteTable: Sendable {
    /// How a route is at the moment.
    struct Condition: Hashable, Sendable {
        var cut: Partition.Manner?
        var delay = Duration.zero
    }

    private struct State {
        /// Faults, each under a number of its own: one that ends does not end another.
        var cuts: [Int: (routes: Set<Route>, manner: Partition.Manner)] = [:]
        var delays: [Int: (routes: Set<Route>, by: Duration)] = [:]
        var lastNumber = 0
        var listeners: [ObjectIdentifier: @Sendable () -> Void] = [:]
    }

    private let state = Mutex(State())

    func condition(of route: Route) -> Condition {
        self.state.withLock { state in
            var condition = Condition()
            for cut in state.cuts.values where cut.routes.contains(route) {
                if condition.cut != .broken { condition.cut = cut.manner }
            }
            for delay in state.delays.values where delay.routes.contains(route) {
                condition.delay = max(condition.delay, delay.by)
            }
            return condition
        }
    }

    /// Cuts routes.
    ///
    /// - Returns: The number to give to ``heal(_:)``.
    func cut(_ routes: Set<Route>, _ manner: Partition.Manner) -> Int { self.change { $0.cuts[$1] = (routes, manner) } }

    /// Makes messages arrive later.
    func delay(_ routes: Set<Route>, by duration: Duration) -> Int {
        self.change { $0.delays[$1] = (routes, duration) }
    }

    func heal(_ number: Int) {
        _ = self.change { state, _ in
            state.cuts[number] = nil
            state.delays[number] = nil
        }
    }

    func healAll() {
        _ = self.change { state, _ in
            state.cuts = [:]
            state.delays = [:]
        }
    }

    private func change(_ body: (inout State, Int) -> Void) -> Int {
        let (number, listeners) = self.state.withLock { state in
            state.lastNumber += 1
            body(&state, state.lastNumber)
            return (state.lastNumber, Array(state.listeners.values))
        }
        for listener in listeners { listener() }
        return number
    }

    func listen(_ key: ObjectIdentifier, _ listener: (@Sendable () -> Void)?) {
        self.state.withLock { $0.listeners[key] = listener }
    }
}
