import NIOCore
import Synchronization

/// Where calls learn who leads, and the client's ``DqliteClient/run()`` learns that somebody wants to know.
final class LeaderBoard: Sendable {
    private struct State {
        var leader: LeaderConnection?
        var waiters: [UInt64: Completion<LeaderConnection>] = [:]
        var lastWaiter: UInt64 = 0
        /// The nodes of the cluster, as the last leader named them.
        var members: [DqliteServerAddress] = []
        /// Who leads, as a node said that does not.
        var hint: DqliteServerAddress?
        var lastError: DqliteError?
        var isRunning = false
        var isShutDown = false
        /// What the running client waits for.
        var wake: Completion<Void>?
    }

    let eventLoop: any EventLoop
    private let state = Mutex(State())

    init(eventLoop: any EventLoop) { self.eventLoop = eventLoop }

    // MARK: For calls

    /// The leader. Waits until there is one.
    ///
    /// - Throws: ``DqliteError`` with the code ``DqliteError/Code-swift.struct/noLeader`` when there was none until then.
    func leader(until deadline: NIODeadline) async throws(DqliteError) -> LeaderConnection {
        let waiter = Completion<LeaderConnection>()
        let (number, wake) = try self.state.withLock {
            state throws(DqliteError) -> (UInt64?, Completion<Void>?) in
            if state.isShutDown { throw Self.shutDown }
            if let leader = state.leader {
                waiter.complete(.success(leader))
                return (nil, nil)
            }
            state.lastWaiter += 1
            state.waiters[state.lastWaiter] = waiter
            return (state.lastWaiter, state.wake)
        }
        guard let number else { return try await waiter.wait(onCancel: {}).get() }
        wake?.complete(.success(()))
        let timer = self.eventLoop.scheduleTask(deadline: deadline) { waiter.complete(.failure(self.noLeader)) }
        defer {
            timer.cancel()
            self.state.withLock { $0.waiters[number] = nil }
        }
        return try await waiter.wait(onCancel: {}).get()
    }

    /// The leader was found not to lead any more, or not to be there.
    func giveUp(_ leader: LeaderConnection, hint: DqliteServerAddress? = nil) {
        let wake = self.state.withLock { state -> Completion<Void>? in
            guard state.leader === leader else { return nil }
            state.leader = nil
            state.hint = hint
            return state.wake
        }
        wake?.complete(.success(()))
        leader.retire()
    }

    static var shutDown: DqliteError { DqliteError(.clientIsShutDown, message: "the client does not run any more") }

    private var noLeader: DqliteError {
        let (isRunning, lastError) = self.state.withLock { ($0.isRunning, $0.lastError) }
        return DqliteError(
            .noLeader, message: isRunning ? "no leader was found in time" : "the client does not run: call run()",
            underlyingError: lastError)
    }

    // MARK: For the client that runs

    func begin() { self.state.withLock { $0.isRunning = true } }

    /// Waits until somebody wants to know who leads.
    func waitForDemand() async { await self.pause { !$0.waiters.isEmpty } }

    /// Waits until the leader is given up.
    ///
    /// - Returns: Whether it was.
    func waitForLoss(of leader: LeaderConnection, atMost duration: Duration) async -> Bool {
        await self.pause(atMost: duration) { $0.leader !== leader }
        return self.state.withLock { $0.leader !== leader }
    }

    /// Where to look for the leader, the likeliest first.
    func addresses(seeds: [DqliteServerAddress]) -> [DqliteServerAddress] {
        let (hint, members) = self.state.withLock { ($0.hint, $0.members) }
        return (hint.map { [$0] } ?? []) + members + seeds
    }

    func set(members: [DqliteServerAddress]) { self.state.withLock { $0.members = members } }

    func note(_ error: DqliteError?) {
        if let error { self.state.withLock { $0.lastError = error } }
    }

    /// There is a leader.
    func publish(_ leader: LeaderConnection) {
        let waiters = self.state.withLock { state -> [Completion<LeaderConnection>] in
            state.leader = leader
            state.hint = nil
            state.lastError = nil
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.complete(.success(leader)) }
    }

    /// There is a leader, and it does not do what is asked of it.
    func fail(_ error: DqliteError) {
        let waiters = self.state.withLock { state -> [Completion<LeaderConnection>] in
            defer { state.waiters = [:] }
            return Array(state.waiters.values)
        }
        for waiter in waiters { waiter.complete(.failure(error)) }
    }

    /// Nobody looks for a leader any more.
    func end() {
        let leader = self.state.withLock { state -> LeaderConnection? in
            state.isShutDown = true
            defer { state.leader = nil }
            return state.leader
        }
        self.fail(Self.shutDown)
        leader?.retire()
    }

    /// Waits; until the task is cancelled, at the latest.
    private func pause(atMost duration: Duration? = nil, until isReady: (borrowing State) -> Bool) async {
        while !Task.isCancelled {
            let completion = Completion<Void>()
            let isReady = self.state.withLock { state in
                state.wake = completion
                return isReady(state)
            }
            if isReady { return }
            let timer = duration.map { duration in
                self.eventLoop.scheduleTask(in: TimeAmount(duration)) { completion.complete(.success(())) }
            }
            _ = await completion.wait(onCancel: {})
            timer?.cancel()
            if duration != nil { return }
        }
    }
}

extension EventLoop {
    /// Waits that long, or until the task is cancelled.
    func wait(for duration: Duration) async {
        let completion = Completion<Void>()
        let timer = self.scheduleTask(in: TimeAmount(duration)) { completion.complete(.success(())) }
        _ = await completion.wait(onCancel: {})
        timer.cancel()
    }
}
