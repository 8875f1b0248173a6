import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// A connection in the protobuf encoding: many requests at a time, told apart by their ids; the node keeps the order of
/// those that belong to one session.
///
/// A result sends no more than was granted: the window at first, then as much as the program has read. So of one result never
/// more than the window waits here, unless a single row is larger.
struct ProtobufEncodingStateMachine: ConnectionStateMachine {
    private struct Pending {
        var request: OutgoingRequest
        var deadline: NIODeadline?
        /// Whether its time is over, and how long the node may still say what became of it.
        var verdictDeadline: NIODeadline?
        /// Whether a part of its result has arrived.
        var hasPart = false
        /// Whether the program has taken it back.
        var isTakenBack = false
        var drainDeadline: NIODeadline?
        /// Bytes that the node may still send.
        var granted: Int
        /// Bytes that have arrived and the program has not read.
        var unread = 0
        /// Bytes that the program has read and that were not granted again.
        var returned = 0
        /// Bytes granted above the window, for a row that is larger; to be taken out again.
        var excess = 0
        /// What the node needs for the next part, and has not.
        var blockedOn: Int?

        var answer: ResponseCode { self.request.answer }
        var mayWrite: Bool { self.request.mayWrite }
        /// Whether the node goes on with the session only when the program has read this.
        var isUnreadResult: Bool { self.hasPart && !self.isTakenBack }
    }

    private let limits: ConnectionLimits
    private var decoder: EnvelopeDecoder
    private var pending: [UInt64: Pending] = [:]
    /// What waits here behind results that are being read, in the order in which it came. The node would not run it either, and
    /// of what was not sent the outcome is known.
    private var held: [OutgoingRequest] = []
    private var closeReason: DqliteError?
    // Requests of the program have even ids.
    private var nextControlID: UInt64 = 1
    private(set) var nextDeadline: NIODeadline?

    init(limits: ConnectionLimits) {
        self.limits = limits
        self.decoder = EnvelopeDecoder(maximumSize: limits.maximumFrameSize)
    }

    var preface: UInt64 { Preface.protobuf }

    /// Always: what may arrive is bounded by what was granted.
    var wantsToRead: Bool { self.closeReason == nil }

    mutating func submit(_ request: OutgoingRequest, actions: inout [ConnectionAction]) {
        if let closeReason = self.closeReason {
            actions.append(.fail(request.id, closeReason))
        } else if self.pending.count + self.held.count >= self.limits.maximumQueuedRequests {
            actions.append(.fail(request.id, .tooManyRequests(self.limits.maximumQueuedRequests)))
        } else {
            self.noteDeadline(request.deadline)
            guard self.isHeld(request) else {
                self.send(request, actions: &actions)
                return
            }
            self.held.append(request)
            self.refuseDeadlocks(actions: &actions)
        }
    }

    private mutating func send(_ request: OutgoingRequest, actions: inout [ConnectionAction]) {
        actions.append(.send(request.id, request.bytes))
        var request = request
        request.bytes = ByteBuffer()
        self.pending[request.id] = Pending(
            request: request, deadline: request.deadline, granted: self.limits.resultWindow)
    }

    private func isHeld(_ request: OutgoingRequest) -> Bool {
        guard request.sessionID != 0 else { return false }
        return self.held.contains { $0.sessionID == request.sessionID }
            || self.pending.values.contains { $0.isUnreadResult && $0.request.sessionID == request.sessionID }
    }

    /// Sends what waited behind a result that is over.
    private mutating func release(actions: inout [ConnectionAction]) {
        guard !self.held.isEmpty else { return }
        let all = self.held
        self.held.removeAll(keepingCapacity: true)
        for request in all {
            if self.isHeld(request) { self.held.append(request) } else { self.send(request, actions: &actions) }
        }
    }

    /// Fails what waits behind a result that cannot go on, because the task that reads it is the one that waits.
    private mutating func refuseDeadlocks(actions: inout [ConnectionAction]) {
        self.held.removeAll { request in
            let isDeadlock = self.pending.values.contains { result in
                result.blockedOn != nil && result.isUnreadResult && result.request.sessionID == request.sessionID
                    && result.request.reader?.isTask(request.task) == true
            }
            if isDeadlock { actions.append(.fail(request.id, .resultNotRead)) }
            return isDeadlock
        }
    }

    mutating func notSent(_ id: UInt64, actions: inout [ConnectionAction]) { self.pending[id] = nil }

    mutating func takeBack(_ id: UInt64, now: NIODeadline, actions: inout [ConnectionAction]) {
        if let index = self.held.firstIndex(where: { $0.id == id }) {
            self.held.remove(at: index)
            return
        }
        guard var request = self.pending[id], !request.isTakenBack else { return }
        request.isTakenBack = true
        request.blockedOn = nil
        let isCancelled = request.verdictDeadline != nil
        request.verdictDeadline = nil
        self.pending[id] = request
        if !isCancelled { self.cancel(id, now: now, actions: &actions) }
        self.release(actions: &actions)
    }

    /// Tells the node to stop a request. It answers all the same, in time or the connection is closed.
    private mutating func cancel(_ id: UInt64, now: NIODeadline, actions: inout [ConnectionAction]) {
        self.pending[id]!.deadline = nil
        self.pending[id]!.drainDeadline = now + self.limits.interruptTimeout
        self.noteDeadline(self.pending[id]!.drainDeadline)
        self.control(.cancel(CancelRequest(requestID: id)), actions: &actions)
    }

    mutating func consumed(_ id: UInt64, bytes: Int, actions: inout [ConnectionAction]) {
        // A request of which everything has arrived is no longer known.
        guard var request = self.pending[id], !request.isTakenBack else { return }
        request.unread -= bytes
        let excess = min(request.excess, bytes)
        request.excess -= excess
        request.returned += bytes - excess
        if request.blockedOn != nil {
            self.unblock(id, &request, actions: &actions)
        } else if request.returned >= self.limits.resultWindow / 2 {
            self.grant(id, request.returned, to: &request, actions: &actions)
        }
        self.pending[id] = request
    }

    /// Grants what the next part needs, once there is nothing left to read that would make room for it.
    private mutating func unblock(_ id: UInt64, _ request: inout Pending, actions: inout [ConnectionAction]) {
        guard let needed = request.blockedOn else { return }
        let missing = needed - request.granted
        if missing <= request.returned {
            if missing > 0 { self.grant(id, request.returned, to: &request, actions: &actions) }
            request.blockedOn = nil
        } else if request.unread == 0 {
            request.excess += missing - request.returned
            self.grant(id, missing, to: &request, actions: &actions)
            request.blockedOn = nil
        }
    }

    private mutating func grant(
        _ id: UInt64, _ bytes: Int, to request: inout Pending, actions: inout [ConnectionAction]
    ) {
        request.granted += bytes
        request.returned = 0
        self.control(.grant(GrantRequest(requestID: id, bytes: UInt64(bytes))), actions: &actions)
    }

    private mutating func control(_ body: Request.Body, actions: inout [ConnectionAction]) {
        var buffer = ByteBuffer()
        buffer.writeEnvelope(Request(requestID: self.nextControlID, body: body))
        self.nextControlID += 2
        actions.append(.control(buffer))
    }

    mutating func received(_ buffer: inout ByteBuffer, now: NIODeadline, actions: inout [ConnectionAction]) {
        while self.closeReason == nil {
            do {
                guard let bytes = try self.decoder.decode(buffer: &buffer) else { return }
                try self.received(ResponseEnvelope(bytes), now: now, actions: &actions)
            } catch {
                self.closed(.protocolViolation("\(error)", underlying: error), actions: &actions)
            }
        }
    }

    private mutating func received(
        _ envelope: ResponseEnvelope, now: NIODeadline, actions: inout [ConnectionAction]
    ) throws(WireError) {
        let id = envelope.requestID
        guard var request = self.pending[id] else {
            self.closed(self.unexpected(envelope), actions: &actions)
            return
        }
        switch envelope.kind {
        case .blocked:
            let needed = try envelope.body.protobufMessage(BlockedResponse.self).bytesNeeded
            guard request.answer == .rows else {
                self.closed(.protocolViolation("Blocked where no result was due"), actions: &actions)
                return
            }
            // What was granted since may be on its way.
            guard !request.isTakenBack, needed > UInt64(request.granted) else { return }
            guard needed <= UInt64(self.limits.maximumRowSize) else {
                actions.append(
                    .fail(
                        id,
                        DqliteError(
                            .rowTooLarge, outcome: request.mayWrite ? .unknown : .notCommitted,
                            message: "a row needs \(needed) bytes, above the limit of \(self.limits.maximumRowSize)")))
                self.takeBack(id, now: now, actions: &actions)
                return
            }
            request.blockedOn = Int(needed)
            self.unblock(id, &request, actions: &actions)
            self.pending[id] = request
            if request.blockedOn != nil { self.refuseDeadlocks(actions: &actions) }
        case .response where envelope.more && envelope.kind != .response(.rows):
            // A kind of answer that came into the protocol after this client: only the last one is for it.
            break
        case .other:
            guard !envelope.more else { return }
            self.closed(.protocolViolation("an answer of a kind that is not known"), actions: &actions)
        case .response(.failure):
            let failure = try envelope.body.protobufMessage(FailureResponse.self)
            self.pending[id] = nil
            if !request.isTakenBack {
                actions.append(.fail(id, self.error(failure, of: request)))
            }
            self.release(actions: &actions)
        case .response(.rows):
            guard request.answer == .rows else {
                self.closed(self.unexpected(envelope, insteadOf: request.answer), actions: &actions)
                return
            }
            let rowsHaveMore = try ResponseEnvelope.rowsHaveMore(envelope.body)
            let more = rowsHaveMore || envelope.more
            if request.isTakenBack {
                if !more { self.pending[id] = nil }
                return
            }
            request.granted -= envelope.wireSize
            guard request.granted >= 0 else {
                self.closed(.protocolViolation("a result exceeds its window"), actions: &actions)
                return
            }
            actions.append(
                .part(id, ResultPart(body: envelope.body, wireSize: envelope.wireSize), isLast: !more))
            request.unread += envelope.wireSize
            request.deadline = nil
            request.verdictDeadline = nil
            request.hasPart = true
            self.pending[id] = more ? request : nil
            if !more { self.release(actions: &actions) }
        case .response(let code):
            guard code == request.answer else {
                self.closed(self.unexpected(envelope, insteadOf: request.answer), actions: &actions)
                return
            }
            self.pending[id] = nil
            let answer = ReceivedAnswer(encoding: .protobuf, revision: 0, body: envelope.body)
            if !request.isTakenBack {
                actions.append(.answer(id, answer))
            } else if let onLate = request.request.onLate {
                actions.append(.late(answer, onLate))
            }
        }
    }

    private func error(_ failure: FailureResponse, of request: Pending) -> DqliteError {
        let error = DqliteError(failure, of: request.request)
        // The node stopped it because its time was over: it knows best what became of it.
        guard request.verdictDeadline != nil, failure.code == FailureCode.interrupted else { return error }
        return DqliteError(
            .deadlineExceeded, outcome: error.outcome, message: "the node did not finish in time",
            server: error.server)
    }

    private func unexpected(_ envelope: ResponseEnvelope, insteadOf code: ResponseCode? = nil) -> DqliteError {
        if let code { return .protocolViolation("\(envelope.kind) where response \(code.rawValue) was due") }
        var server: DqliteError.ServerInfo?
        if case .response(.failure) = envelope.kind,
            let failure = try? envelope.body.protobufMessage(FailureResponse.self)
        {
            server = DqliteError.ServerInfo(extendedResultCode: failure.code, message: failure.message)
            // The node's last word to a client that, as it sees it, breaks the protocol.
            if envelope.requestID == 0 {
                return DqliteError(
                    .protocolViolation, message: "the node ends the connection: \(failure.message)", server: server)
            }
        }
        return DqliteError(
            .protocolViolation, message: "a response to request \(envelope.requestID), which does not wait for one",
            server: server)
    }

    mutating func deadlinePassed(now: NIODeadline, actions: inout [ConnectionAction]) {
        self.nextDeadline = nil
        var expired: [UInt64] = []
        for id in self.pending.keys.sorted() {
            guard let verdictDeadline = self.pending[id]?.verdictDeadline, verdictDeadline <= now else { continue }
            actions.append(.fail(id, .deadlineExceeded(wasSent: true, mayWrite: true)))
            self.takeBack(id, now: now, actions: &actions)
        }
        self.held.removeAll { request in
            guard let deadline = request.deadline, deadline <= now else { return false }
            actions.append(
                .fail(request.id, .deadlineExceeded(wasSent: false, mayWrite: request.mayWrite, behindResult: true)))
            return true
        }
        for request in self.held { self.noteDeadline(request.deadline) }
        for (id, request) in self.pending {
            if let drainDeadline = request.drainDeadline, drainDeadline <= now {
                self.closed(
                    DqliteError(.connectionClosed, message: "the node did not answer a cancelled request"),
                    actions: &actions)
                return
            }
            if let deadline = request.deadline, deadline <= now {
                expired.append(id)
            } else {
                self.noteDeadline(request.deadline)
                self.noteDeadline(request.verdictDeadline)
                self.noteDeadline(request.drainDeadline)
            }
        }
        for id in expired.sorted() {
            // The node has the same limit and answers about now. What became of a write is worth a moment.
            if self.pending[id]!.mayWrite {
                self.cancel(id, now: now, actions: &actions)
                let verdictDeadline = now + min(self.limits.interruptTimeout, .seconds(1))
                self.pending[id]!.verdictDeadline = verdictDeadline
                self.noteDeadline(verdictDeadline)
            } else {
                actions.append(.fail(id, .deadlineExceeded(wasSent: true, mayWrite: false)))
                self.takeBack(id, now: now, actions: &actions)
            }
        }
    }

    mutating func closed(_ error: DqliteError, actions: inout [ConnectionAction]) {
        guard self.closeReason == nil else { return }
        self.closeReason = error.with(outcome: .notCommitted)
        for (id, request) in self.pending.sorted(by: { $0.key < $1.key }) where !request.isTakenBack {
            actions.append(.fail(id, error.with(outcome: request.mayWrite ? .unknown : .notCommitted)))
        }
        for request in self.held { actions.append(.fail(request.id, error.with(outcome: .notCommitted))) }
        self.pending = [:]
        self.held = []
        self.nextDeadline = nil
        actions.append(.close)
    }

    private mutating func noteDeadline(_ deadline: NIODeadline?) {
        guard let deadline else { return }
        self.nextDeadline = self.nextDeadline.map { min($0, deadline) } ?? deadline
    }
}
