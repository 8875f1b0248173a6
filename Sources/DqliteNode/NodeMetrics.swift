import DqliteProtocol
import Metrics
import NIOCore

/// What a node measures. Made once: a metric is looked up by its labels only here.
struct NodeMetrics: Sendable {
    /// Connections that were accepted.
    private let accepted = Counter(label: "dqlite_node_connections_accepted")
    /// Connections that were closed because there were too many.
    let refused = Counter(label: "dqlite_node_connections_refused")
    /// Connections that are open.
    private let open = Meter(label: "dqlite_node_connections_open")
    /// Requests that were answered, by kind, and how long that took from the arrival of the request.
    private let requests: [(count: Counter, failures: Counter, duration: Timer)?]

    init() {
        var requests: [(count: Counter, failures: Counter, duration: Timer)?] = []
        for request in RequestCode.all {
            let index = Int(request.code.rawValue)
            requests += Array(repeating: nil, count: max(0, index + 1 - requests.count))
            let dimensions = [("kind", "\(request.name)")]
            requests[index] = (
                Counter(label: "dqlite_node_requests", dimensions: dimensions),
                Counter(label: "dqlite_node_requests_failed", dimensions: dimensions),
                Timer(label: "dqlite_node_request_duration", dimensions: dimensions)
            )
        }
        self.requests = requests
    }

    func connectionOpened(count: Int) {
        self.accepted.increment()
        self.open.set(count)
    }

    func connectionClosed(count: Int) { self.open.set(count) }

    func answered(_ code: RequestCode, since start: NIODeadline, failed: Bool) {
        guard Int(code.rawValue) < self.requests.count, let metrics = self.requests[Int(code.rawValue)] else { return }
        metrics.count.increment()
        if failed { metrics.failures.increment() }
        metrics.duration.recordNanoseconds((NIODeadline.now() - start).nanoseconds)
    }
}
