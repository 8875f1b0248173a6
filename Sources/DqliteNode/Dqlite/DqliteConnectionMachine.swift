import DqliteFraming
import DqliteProtocol
import NIOCore

/// One connection of the dqlite encoding: requests run one after the other and are answered in order. What comes while one
/// runs waits, but an Interrupt also takes effect at once.
struct DqliteConnectionMachine {
    /// A request and when it came.
    struct Request {
        var frame: DqliteFrame
        var arrival: NIODeadline
        var code: RequestCode { RequestCode(rawValue: self.frame.header.code) }
    }

    private struct Running {
        var request: Request
        /// A part that announces another one was sent.
        var isStreaming = false
        /// An Interrupt waits behind the request, and its client reads on until that is answered.
        var isInterrupted = false
    }

    private var running: Running?
    private var waiting = CircularBuffer<Request>()
    private var waitingBytes = 0
    private let limit: Int
    private let byteLimit: Int
    private var outputIsFull = false
    private var isDraining = false

    /// - Parameters:
    ///   - limit: Requests that may wait.
    ///   - byteLimit: Bytes of waiting requests at which no more is taken.
    init(limit: Int, byteLimit: Int = .max) {
        self.limit = limit
        self.byteLimit = byteLimit
    }

    /// Whether there is room for one more request. If not, bytes stay as they are, and after those the socket is not read.
    var wantsRequests: Bool {
        self.waiting.count < self.limit && self.waitingBytes < self.byteLimit && !self.outputIsFull && !self.isDraining
    }

    /// Whether nothing keeps the connection open any longer.
    var isDrained: Bool { self.isDraining && self.running == nil }

    /// What runs.
    var runningRequest: Request? { self.running?.request }

    /// A request came.
    ///
    /// - Returns: Whether to interrupt what runs. Then see ``startNext()``.
    mutating func received(_ request: Request) -> Bool {
        guard !self.isDraining else { return false }
        self.waiting.append(request)
        self.waitingBytes += request.frame.body.readableBytes
        guard request.code == .interrupt, self.running != nil else { return false }
        self.running?.isInterrupted = true
        return true
    }

    /// The next request to run, if one may run now.
    mutating func startNext() -> Request? {
        guard self.running == nil, !self.outputIsFull, !self.isDraining, let request = self.waiting.popFirst() else {
            return nil
        }
        self.waitingBytes -= request.frame.body.readableBytes
        self.running = Running(request: request)
        return request
    }

    /// A part of a result is about to be sent, and more will follow.
    mutating func partProduced() { self.running?.isStreaming = true }

    /// The running request is over.
    ///
    /// - Returns: The request, and whether to send its answer. A result that an Interrupt cut off just ends: the client
    ///   passes over everything up to the answer to its Interrupt, and a Failure inside of a result would be one more to explain.
    mutating func answered(isFailure: Bool) -> (request: Request, sendsAnswer: Bool)? {
        guard let running = self.running else { return nil }
        self.running = nil
        return (running.request, !(isFailure && running.isStreaming && running.isInterrupted))
    }

    /// The reader of the answers is slow, or has caught up.
    mutating func outputBecame(full: Bool) { self.outputIsFull = full }

    /// No more requests are run.
    mutating func drain() {
        self.isDraining = true
        self.waiting.removeAll()
        self.waitingBytes = 0
    }
}
