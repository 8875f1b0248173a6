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
        var answer: ResponseCode
        var mayWrite: Bool
        var deadline: NIODeadline?
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
    }

    private let limits: ConnectionLimits
    private var decoder: EnvelopeDecoder
    private var pending: [UInt64: Pending] = [:]
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
        } else if self.pending.count >= self.limits.maximumQueuedRequests {
            actions.append(.fail(request.id, .tooManyRequests(self.limits.maximumQueuedRequests)))
        } else {
            self.noteDeadline(request.deadline)
            self.pending[request.id] = Pending(
                answer: request.answer, mayWrite: request.mayWrite, deadline: request.deadline,
                granted: self.limits.resultWindow)
            actions.append(.send(request.id, request.bytes))
        }
    }

    mutating func takeBack(_ id: UInt64, now: NIODeadline, actions: inout [ConnectionAction]) {
        guard var request = self.pending[id], !request.isTakenBack else { return }
        request.isTakenBack = true
        request.blockedOn = nil
        request.deadline = nil
        request.drainDeadline = now + self.limits.interruptTimeout
        self.noteDeadline(request.drainDeadline)
        self.pending[id] = request
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
        case .response(.failure):
            let failure = try envelope.body.protobufMessage(FailureResponse.self)
            self.pending[id] = nil
            if !request.isTakenBack {
                actions.append(.fail(id, DqliteError(failure, encoding: .protobuf, mayWrite: request.mayWrite)))
            }
        case .response(.rows):
            guard request.answer == .rows else {
                self.closed(self.unexpected(envelope, insteadOf: request.answer), actions: &actions)
                return
            }
            let more = try ResponseEnvelope.rowsHaveMore(envelope.body)
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
            self.pending[id] = more ? request : nil
        case .response(let code):
            guard code == request.answer else {
                self.closed(self.unexpected(envelope, insteadOf: request.answer), actions: &actions)
                return
            }
            self.pending[id] = nil
            if request.isTakenBack { return }
            actions.append(.answer(id, ReceivedAnswer(encoding: .protobuf, revision: 0, body: envelope.body)))
        }
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
                self.noteDeadline(request.drainDeadline)
            }
        }
        for id in expired.sorted() {
            let mayWrite = self.pending[id]!.mayWrite
            actions.append(.fail(id, .deadlineExceeded(wasSent: true, mayWrite: mayWrite)))
            self.takeBack(id, now: now, actions: &actions)
        }
    }

    mutating func closed(_ error: DqliteError, actions: inout [ConnectionAction]) {
        guard self.closeReason == nil else { return }
        self.closeReason = error.with(outcome: .notCommitted)
        for (id, request) in self.pending.sorted(by: { $0.key < $1.key }) where !request.isTakenBack {
            actions.append(.fail(id, error.with(outcome: request.mayWrite ? .unknown : .notCommitted)))
        }
        self.pending = [:]
        self.nextDeadline = nil
        actions.append(.close)
    }

    private mutating func noteDeadline(_ deadline: NIODeadline?) {
        guard let deadline else { return }
        self.nextDeadline = self.nextDeadline.map { min($0, deadline) } ?? deadline
    }
}
