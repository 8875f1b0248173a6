import DqliteEngine
import DqliteProtocol
import NIOCore

/// One connection of the protobuf encoding: which of its requests run, and which wait for what.
struct ProtobufConnectionMachine {
    /// Where a request runs: one at a time in each.
    enum Lane: Hashable, Sendable {
        case session(UInt64)
        /// One of the lanes that session 0 has, from 0.
        case stateless(Int)
    }

    /// A request that is not answered yet.
    struct Job: Sendable {
        var envelope: RequestEnvelope
        var arrival: NIODeadline
        /// When its client no longer wants the answer.
        var deadline: NIODeadline?
        /// Bytes that its result may take.
        var window: UInt64

        fileprivate var place = Place.waiting

        var id: UInt64 { self.envelope.requestID }
    }

    fileprivate enum Place: Sendable {
        case waiting
        case running(Lane)
        /// Outside of all lanes.
        case detached
    }

    /// What to do with a request that came.
    enum Admission {
        case run(Job, Lane)
        /// Run it now, beside all others.
        case detach(Job)
        case wait
        case refuse(EngineError)
        /// The client does not keep to the protocol: tell it and close the connection.
        case violation(String)
    }

    private struct Session {
        var waiting = CircularBuffer<UInt64>()
        var running: UInt64?
    }

    private var jobs: [UInt64: Job] = [:]
    private var sessions: [UInt64: Session] = [:]
    private var statelessWaiting = CircularBuffer<UInt64>()
    private var statelessRunning: [UInt64?] = []
    private var pendingBytes = 0
    private let limits: DqliteNodeConfiguration.Limits
    private var isDraining = false

    init(limits: DqliteNodeConfiguration.Limits) {
        self.limits = limits
    }

    /// Whether nothing keeps the connection open any longer.
    var isDrained: Bool { self.isDraining && self.jobs.isEmpty }

    // MARK: Requests

    /// A request came that is not Cancel or Grant.
    mutating func received(_ envelope: RequestEnvelope, now: NIODeadline) -> Admission {
        let id = envelope.requestID
        guard id != 0 else { return .violation("a request has the id zero") }
        guard self.jobs[id] == nil else { return .violation("request id \(id) is in use") }
        if self.isDraining { return .refuse(.isShuttingDown) }
        if let reason = envelope.unsupported { return .refuse(.unsupported(reason)) }
        guard envelope.bodyField != 0 else { return .refuse(.unknownRequest) }
        guard self.jobs.count < self.limits.requestsPerConnection else {
            return .refuse(.busy("the connection has \(self.jobs.count) unanswered requests: wait for answers"))
        }
        let size = envelope.body.readableBytes
        guard self.pendingBytes + size <= self.limits.requestBytesPerConnection else {
            return .refuse(
                .busy("the connection has \(self.pendingBytes) bytes of unanswered requests: wait for answers"))
        }
        let deadline = envelope.timeout.map { now + TimeAmount($0) }
        let job = Job(envelope: envelope, arrival: now, deadline: deadline, window: envelope.window)
        let admission = envelope.sessionID == 0 ? self.admitStateless(job) : self.admit(job)
        switch admission {
        case .run, .detach, .wait: self.pendingBytes += size
        case .refuse, .violation: break
        }
        return admission
    }

    private mutating func admitStateless(_ job: Job) -> Admission {
        switch job.envelope.code {
        case .some(let code) where code.isForEngine: break
        case .interrupt: return .refuse(.unsupported("session 0 has no running request: use Cancel"))
        case .some: return self.place(job, .detached) { .detach($0) }
        case nil: return .refuse(.unsupported("session 0 is not a session that could be closed"))
        }
        guard let lane = self.freeStatelessLane() else {
            self.statelessWaiting.append(job.id)
            return self.place(job, .waiting) { _ in .wait }
        }
        self.statelessRunning[lane] = job.id
        return self.place(job, .running(.stateless(lane))) { .run($0, .stateless(lane)) }
    }

    private mutating func freeStatelessLane() -> Int? {
        if let lane = self.statelessRunning.firstIndex(of: nil) { return lane }
        guard self.statelessRunning.count < self.limits.statelessRequestsPerConnection else { return nil }
        self.statelessRunning.append(nil)
        return self.statelessRunning.count - 1
    }

    private mutating func admit(_ job: Job) -> Admission {
        let id = job.envelope.sessionID
        guard self.sessions[id] != nil || self.sessions.count < self.limits.sessionsPerConnection else {
            return .refuse(.busy("the connection has \(self.sessions.count) sessions: close one"))
        }
        guard self.sessions[id]?.running != nil else {
            self.sessions[id, default: Session()].running = job.id
            return self.place(job, .running(.session(id))) { .run($0, .session(id)) }
        }
        self.sessions[id]!.waiting.append(job.id)
        return self.place(job, .waiting) { _ in .wait }
    }

    private mutating func place(_ job: Job, _ place: Place, _ admission: (Job) -> Admission) -> Admission {
        var job = job
        job.place = place
        self.jobs[job.id] = job
        return admission(job)
    }

    /// What runs in a lane.
    func job(in lane: Lane) -> Job? {
        switch lane {
        case .session(let id): self.sessions[id]?.running.flatMap { self.jobs[$0] }
        case .stateless(let index): self.statelessRunning[index].flatMap { self.jobs[$0] }
        }
    }

    /// The request of an id, if it is not answered yet.
    func job(id: UInt64) -> Job? { self.jobs[id] }

    // MARK: Ends

    /// What ran in a lane is answered.
    ///
    /// - Parameter keepsSession: Whether the lane's session has something that outlives its requests. Without, it is over
    ///   when no request is left.
    /// - Returns: What runs there next.
    mutating func finished(_ lane: Lane, keepsSession: Bool) -> Job? {
        guard let job = self.job(in: lane) else { return nil }
        self.forget(job)
        switch lane {
        case .session(let id):
            let next = self.sessions[id]!.waiting.popFirst()
            self.sessions[id]!.running = next
            if next == nil, !keepsSession { self.sessions[id] = nil }
            return next.map { self.start($0, in: lane) }
        case .stateless(let index):
            let next = self.statelessWaiting.popFirst()
            self.statelessRunning[index] = next
            return next.map { self.start($0, in: lane) }
        }
    }

    private mutating func start(_ id: UInt64, in lane: Lane) -> Job {
        self.jobs[id]!.place = .running(lane)
        return self.jobs[id]!
    }

    /// What ran beside the lanes is answered.
    mutating func finishedDetached(_ id: UInt64) {
        if let job = self.jobs[id] { self.forget(job) }
    }

    private mutating func forget(_ job: Job) {
        self.jobs[job.id] = nil
        self.pendingBytes -= job.envelope.body.readableBytes
    }

    /// What a request becomes whose client does not want it any more.
    enum Withdrawal {
        /// It has not run, and will not: answer it.
        case fail(Job)
        case interrupt(Lane)
        /// There is none of that id, or it cannot be stopped.
        case ignore
    }

    /// A request is cancelled, or out of time.
    mutating func withdraw(_ id: UInt64) -> Withdrawal {
        guard let job = self.jobs[id] else { return .ignore }
        switch job.place {
        case .running(let lane): return .interrupt(lane)
        case .detached: return .ignore
        case .waiting:
            self.forget(job)
            if job.envelope.sessionID == 0 {
                self.statelessWaiting.removeAll { $0 == id }
            } else {
                self.sessions[job.envelope.sessionID]!.waiting.removeAll { $0 == id }
            }
            return .fail(job)
        }
    }

    /// A reader lets more of a result through.
    ///
    /// - Returns: Where it runs, unless it does not run yet.
    mutating func granted(_ bytes: UInt64, to id: UInt64) -> Lane? {
        guard let job = self.jobs[id] else { return nil }
        if case .running(let lane) = job.place { return lane }
        let (sum, overflow) = job.window.addingReportingOverflow(bytes)
        self.jobs[id]!.window = overflow ? .max : sum
        return nil
    }

    // MARK: Time

    /// The requests whose time is over at `now`.
    func expired(at now: NIODeadline) -> [UInt64] {
        self.jobs.values.filter { job in job.deadline.map { $0 <= now } ?? false }.map(\.id)
    }

    /// When the next request after `now` is out of time.
    func nextDeadline(after now: NIODeadline) -> NIODeadline? {
        self.jobs.values.lazy.compactMap(\.deadline).filter { $0 > now }.min()
    }

    // MARK: The end

    /// No more requests are run.
    ///
    /// - Returns: Those that waited: answer them.
    mutating func drain() -> [Job] {
        self.isDraining = true
        let waiting = self.jobs.values.filter { if case .waiting = $0.place { true } else { false } }
        for job in waiting { _ = self.withdraw(job.id) }
        return waiting
    }

    /// The lanes in which something runs.
    var runningLanes: [Lane] {
        self.jobs.values.compactMap { if case .running(let lane) = $0.place { lane } else { nil } }
    }
}

extension TimeAmount {
    /// At most 100 years, so that a point in time plus it is one too.
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        let longest: Int64 = 100 * 366 * 86400
        self =
            seconds >= longest
            ? .seconds(longest) : .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
    }
}
