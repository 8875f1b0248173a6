import Synchronization

/// Lets tasks wait until a node serves, or has failed to.
final class Readiness: Sendable {
    private enum State {
        case starting([UInt64: CheckedContinuation<NodeAddress, any Error>], nextID: UInt64)
        case ready(NodeAddress)
        case stopped(DqliteNodeError)
    }

    private let state = Mutex(State.starting([:], nextID: 0))

    func succeed(_ address: NodeAddress) { self.end(.ready(address)) { $0.resume(returning: address) } }

    func fail(_ error: DqliteNodeError) { self.end(.stopped(error)) { $0.resume(throwing: error) } }

    private func end(_ end: State, _ resume: (CheckedContinuation<NodeAddress, any Error>) -> Void) {
        let waiting = self.state.withLock { state -> [UInt64: CheckedContinuation<NodeAddress, any Error>] in
            defer { state = end }
            guard case .starting(let waiting, _) = state else { return [:] }
            return waiting
        }
        for continuation in waiting.values { resume(continuation) }
    }

    func wait() async throws -> NodeAddress {
        let id = self.state.withLock { state -> UInt64 in
            guard case .starting(let waiting, let id) = state else { return 0 }
            state = .starting(waiting, nextID: id + 1)
            return id
        }
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let result = self.state.withLock { state -> Result<NodeAddress, any Error>? in
                    switch state {
                    case .starting(var waiting, let nextID):
                        // A task that is cancelled already has no handler called later.
                        if Task.isCancelled { return .failure(CancellationError()) }
                        waiting[id] = continuation
                        state = .starting(waiting, nextID: nextID)
                        return nil
                    case .ready(let address): return .success(address)
                    case .stopped(let error): return .failure(error)
                    }
                }
                if let result { continuation.resume(with: result) }
            }
        } onCancel: {
            let continuation = self.state.withLock { state -> CheckedContinuation<NodeAddress, any Error>? in
                guard case .starting(var waiting, let nextID) = state else { return nil }
                let continuation = waiting.removeValue(forKey: id)
                state = .starting(waiting, nextID: nextID)
                return continuation
            }
            continuation?.resume(throwing: CancellationError())
        }
    }
}
