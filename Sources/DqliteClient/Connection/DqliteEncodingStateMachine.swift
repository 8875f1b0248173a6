import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore

/// A connection in the dqlite encoding: one request at a time, the others wait in line.
///
/// A result arrives in parts without being asked for them. The only way to slow the node down is not to read; the only way to
/// stop it is Interrupt, which C nodes do not read before they have sent the whole result. So what was taken back is read
/// and thrown away, up to the Empty that answers the Interrupt.
struct DqliteEncodingStateMachine: ConnectionStateMachine {
    private struct Current {
        var request: OutgoingRequest
        /// Whether the program has taken it back.
        var isTakenBack = false
        /// Until when what was taken back has to come to its end.
        var drainDeadline: NIODeadline?
        /// Bytes of its result that the program has not read.
        var unread = 0
        var hasAnswer = false
    }

    private let limits: ConnectionLimits
    private let interrupt: ByteBuffer
    private var decoder: DqliteFrameDecoder
    private var current: Current?
    private var waiting = CircularBuffer<OutgoingRequest>()
    private var closeReason: DqliteError?
    private(set) var nextDeadline: NIODeadline?

    /// - Parameter interrupt: The frame of an Interrupt.
    init(limits: ConnectionLimits, interrupt: ByteBuffer) {
        self.limits = limits
        self.interrupt = interrupt
        self.decoder = DqliteFrameDecoder(maximumBodySize: limits.maximumFrameSize)
    }

    var preface: UInt64 { Preface.dqlite }

    var wantsToRead: Bool {
        guard self.closeReason == nil else { return false }
        guard let current = self.current, !current.isTakenBack else { return true }
        return current.unread < self.limits.resultWindow
    }

    mutating func submit(_ request: OutgoingRequest, actions: inout [ConnectionAction]) {
        if let closeReason = self.closeReason {
            actions.append(.fail(request.id, closeReason))
        } else if self.current == nil {
            self.send(request, actions: &actions)
        } else if self.waiting.count + 1 >= self.limits.maximumQueuedRequests {
            actions.append(.fail(request.id, .tooManyRequests(self.limits.maximumQueuedRequests)))
        } else {
            self.noteDeadline(request.deadline)
            self.waiting.append(request)
        }
    }

    mutating func notSent(_ id: UInt64, actions: inout [ConnectionAction]) {
        guard self.current?.request.id == id else { return }
        self.next(actions: &actions)
    }

    mutating func takeBack(_ id: UInt64, now: NIODeadline, actions: inout [ConnectionAction]) {
        if let index = self.waiting.firstIndex(where: { $0.id == id }) {
            self.waiting.remove(at: index)
        } else if let current = self.current, current.request.id == id, !current.isTakenBack {
            self.current!.isTakenBack = true
            self.current!.unread = 0
            self.current!.drainDeadline = now + self.limits.interruptTimeout
            self.noteDeadline(self.current!.drainDeadline)
            if current.request.canBeInterrupted { actions.append(.control(self.interrupt)) }
        }
    }

    mutating func consumed(_ id: UInt64, bytes: Int, actions: inout [ConnectionAction]) {
        guard self.current?.request.id == id, !self.current!.isTakenBack else { return }
        self.current!.unread -= bytes
    }

    mutating func received(_ buffer: inout ByteBuffer, now: NIODeadline, actions: inout [ConnectionAction]) {
        while self.closeReason == nil {
            do {
                guard let frame = try self.decoder.decode(buffer: &buffer) else { return }
                self.received(frame, actions: &actions)
            } catch {
                self.closed(.protocolViolation("\(error)", underlying: error), actions: &actions)
            }
        }
    }

    private mutating func received(_ frame: DqliteFrame, actions: inout [ConnectionAction]) {
        guard let current = self.current else {
            self.closed(.protocolViolation("a response without a request"), actions: &actions)
            return
        }
        let code = ResponseCode(rawValue: frame.header.code)
        if current.isTakenBack {
            if let onLate = current.request.onLate, code == current.request.answer {
                actions.append(
                    .late(
                        ReceivedAnswer(encoding: .dqlite, revision: frame.header.revision, body: frame.body), onLate))
            }
            // What can be interrupted is never answered with Empty itself: that is the answer to the Interrupt.
            if !current.request.canBeInterrupted || code == .empty { self.next(actions: &actions) }
            return
        }
        let id = current.request.id
        if code == .failure {
            self.failed(frame, actions: &actions)
        } else if code != current.request.answer {
            self.closed(
                .protocolViolation("response \(code.rawValue) where \(current.request.answer.rawValue) was due"),
                actions: &actions)
        } else if !current.request.isResult {
            actions.append(
                .answer(
                    id, ReceivedAnswer(encoding: .dqlite, revision: frame.header.revision, body: frame.body)))
            self.next(actions: &actions)
        } else {
            let wireSize = FrameHeader.size + frame.body.readableBytes
            let part = ResultPart(body: frame.body, wireSize: wireSize)
            // The word that ends the rows is the last of the body.
            switch frame.body.getInteger(at: frame.body.writerIndex - 1, as: UInt8.self) {
            case 0xff:
                actions.append(.part(id, part, isLast: true))
                self.next(actions: &actions)
            case 0xee:
                self.current!.hasAnswer = true
                self.current!.unread += wireSize
                actions.append(.part(id, part, isLast: false))
            default:
                self.closed(.protocolViolation("a part of a result without its end"), actions: &actions)
            }
        }
    }

    private mutating func failed(_ frame: DqliteFrame, actions: inout [ConnectionAction]) {
        guard let request = self.current?.request else { return }
        do {
            let failure = try frame.body.withReadableMemory { bytes throws(WireError) in
                if request.isResult { return try FailureResponse(afterPartialRows: bytes) }
                var reader = WordReader(bytes, message: "FailureResponse")
                return try FailureResponse(dqlite: &reader, revision: 0)
            }
            actions.append(.fail(request.id, DqliteError(failure, of: request)))
            self.next(actions: &actions)
        } catch {
            self.closed(.protocolViolation("\(error)", underlying: error), actions: &actions)
        }
    }

    mutating func deadlinePassed(now: NIODeadline, actions: inout [ConnectionAction]) {
        self.nextDeadline = nil
        if let drainDeadline = self.current?.drainDeadline, drainDeadline <= now {
            self.closed(
                DqliteError(.connectionClosed, message: "the node did not answer an interrupt"), actions: &actions)
            return
        }
        let behindResult = self.current.map { $0.request.isResult && $0.hasAnswer && $0.unread > 0 } ?? false
        if self.waiting.contains(where: { $0.deadline.map { $0 <= now } ?? false }) {
            let all = self.waiting
            self.waiting.removeAll(keepingCapacity: true)
            for request in all {
                if let deadline = request.deadline, deadline <= now {
                    actions.append(
                        .fail(
                            request.id,
                            .deadlineExceeded(
                                wasSent: false, mayWrite: request.mayWrite, behindResult: behindResult)))
                } else {
                    self.waiting.append(request)
                }
            }
        }
        for request in self.waiting { self.noteDeadline(request.deadline) }
        if let current = self.current {
            if !current.isTakenBack, !current.hasAnswer, let deadline = current.request.deadline {
                if deadline <= now {
                    actions.append(
                        .fail(
                            current.request.id,
                            .deadlineExceeded(wasSent: true, mayWrite: current.request.mayWrite)))
                    self.takeBack(current.request.id, now: now, actions: &actions)
                } else {
                    self.noteDeadline(deadline)
                }
            }
            self.noteDeadline(self.current?.drainDeadline)
        }
    }

    mutating func closed(_ error: DqliteError, actions: inout [ConnectionAction]) {
        guard self.closeReason == nil else { return }
        self.closeReason = error.with(outcome: .notCommitted)
        if let current = self.current, !current.isTakenBack {
            actions.append(
                .fail(
                    current.request.id, error.with(outcome: current.request.mayWrite ? .unknown : .notCommitted)))
        }
        for request in self.waiting { actions.append(.fail(request.id, error.with(outcome: .notCommitted))) }
        self.current = nil
        self.waiting.removeAll()
        self.nextDeadline = nil
        actions.append(.close)
    }

    private mutating func next(actions: inout [ConnectionAction]) {
        self.current = nil
        if let request = self.waiting.popFirst() { self.send(request, actions: &actions) }
    }

    private mutating func send(_ request: OutgoingRequest, actions: inout [ConnectionAction]) {
        self.noteDeadline(request.deadline)
        actions.append(.send(request.id, request.bytes))
        var request = request
        request.bytes = ByteBuffer()
        self.current = Current(request: request)
    }

    private mutating func noteDeadline(_ deadline: NIODeadline?) {
        guard let deadline else { return }
        self.nextDeadline = self.nextDeadline.map { min($0, deadline) } ?? deadline
    }
}
