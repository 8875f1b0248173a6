import DqliteClient
import NIOCore
import NIOPosix
import Synchronization

/// A client that writes one row after another, each until it is acknowledged, whoever leads, and remembers the longest time between
/// two acknowledgements.
final class GapWriter: Sendable {
    private struct State {
        var last: NIODeadline?
        var longest: TimeAmount = .zero
        var acknowledged = 0
        var lastError: (any Error)?
    }

    private let ports: [Int]
    private let group: MultiThreadedEventLoopGroup
    private let requests: NodeRequests
    private let state: Mutex<State>
    private let isOver = StopSign()

    static let schema = "CREATE TABLE IF NOT EXISTS gap (n INTEGER PRIMARY KEY)"

    /// - Parameter acknowledged: How many rows there are.
    init(ports: [Int], acknowledged: Int, group: MultiThreadedEventLoopGroup) {
        self.ports = ports
        self.group = group
        self.requests = NodeRequests(group: group)
        self.state = Mutex(State(acknowledged: acknowledged))
    }

    var longestGap: Duration { self.state.withLock { .nanoseconds($0.longest.nanoseconds) } }
    /// Rows with the numbers from 1 to this one are there.
    var acknowledged: Int { self.state.withLock { $0.acknowledged } }
    var lastError: (any Error)? { self.state.withLock { $0.lastError } }
    func stop() { self.isOver.set() }

    func run() async {
        while !self.isOver.isSet {
            do {
                guard let port = await self.requests.leader(among: self.ports) else {
                    try await Task.sleep(for: .milliseconds(5))
                    continue
                }
                let connection = try await Cluster.connect(to: port, group: self.group)
                do { try await self.write(connection) } catch {
                    await connection.close()
                    throw error
                }
                await connection.close()
            } catch {
                self.state.withLock { $0.lastError = error }
                try? await Task.sleep(for: .milliseconds(5))
            }
        }
    }

    private func write(_ connection: DqliteConnection) async throws {
        // A row may have been written of which nobody was told.
        let insert = try await connection.prepare("INSERT OR IGNORE INTO gap (n) VALUES (?)")
        while !self.isOver.isSet {
            try await insert.execute(self.acknowledged + 1)
            let now = NIODeadline.now()
            self.state.withLock { state in
                state.acknowledged += 1
                if let last = state.last { state.longest = max(state.longest, now - last) }
                state.last = now
            }
        }
    }
}
