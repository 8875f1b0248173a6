import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteClient

/// What a state machine decided, in words.
enum Decision: Hashable {
    case send(UInt64)
    case interrupt
    case cancel(UInt64)
    case grant(UInt64, Int)
    case answer(UInt64)
    case part(UInt64, isLast: Bool)
    case fail(UInt64, DqliteError.Code, DqliteError.Outcome)
    case late
    case close
}

/// Feeds a state machine with events and says what it decided.
struct MachineScript<Machine: ConnectionStateMachine> {
    var machine: Machine
    let encoding: WireEncoding
    var now = NIODeadline.uptimeNanoseconds(0)
    /// Size of the last part on the wire.
    private(set) var lastPartSize = 0
    private var inbound = ByteBuffer()

    init(_ machine: Machine, encoding: WireEncoding) {
        self.machine = machine
        self.encoding = encoding
    }

    mutating func submit(
        _ id: UInt64, _ answer: ResponseCode, canBeInterrupted: Bool = true, mayWrite: Bool = true,
        deadline: NIODeadline? = nil, session: UInt64 = 0, sql: String? = nil, isInTransaction: Bool = false,
        task: Int? = nil, reader: ReaderTask? = nil
    ) throws -> [Decision] {
        let request = OutgoingRequest(
            id: id, bytes: ByteBuffer(integer: id), answer: answer, canBeInterrupted: canBeInterrupted,
            mayWrite: mayWrite, deadline: deadline, sessionID: session, sql: sql, isInTransaction: isInTransaction,
            task: task, reader: reader)
        return try self.run { machine, actions in machine.submit(request, actions: &actions) }
    }

    mutating func notSent(_ id: UInt64) throws -> [Decision] {
        try self.run { machine, actions in machine.notSent(id, actions: &actions) }
    }

    mutating func takeBack(_ id: UInt64) throws -> [Decision] {
        let now = self.now
        return try self.run { machine, actions in machine.takeBack(id, now: now, actions: &actions) }
    }

    mutating func consumed(_ id: UInt64, _ bytes: Int) throws -> [Decision] {
        try self.run { machine, actions in machine.consumed(id, bytes: bytes, actions: &actions) }
    }

    mutating func receive(_ body: Response.Body, for id: UInt64 = 2) throws -> [Decision] {
        try self.receive(frame(body, to: id, in: self.encoding))
    }

    mutating func receive(_ bytes: ByteBuffer) throws -> [Decision] {
        var bytes = bytes
        self.inbound.writeBuffer(&bytes)
        var inbound = self.inbound
        let now = self.now
        let decisions = try self.run { machine, actions in
            machine.received(&inbound, now: now, actions: &actions)
        }
        self.inbound = inbound
        return decisions
    }

    mutating func wait(until time: NIODeadline) throws -> [Decision] {
        self.now = time
        return try self.run { machine, actions in machine.deadlinePassed(now: time, actions: &actions) }
    }

    mutating func close() throws -> [Decision] {
        try self.run { machine, actions in machine.closed(DqliteError(.connectionClosed), actions: &actions) }
    }

    private mutating func run(_ event: (inout Machine, inout [ConnectionAction]) -> Void) throws -> [Decision] {
        var actions: [ConnectionAction] = []
        event(&self.machine, &actions)
        return try actions.map { action in
            switch action {
            case .send(let id, _): return .send(id)
            case .control(var bytes):
                switch try takeRequests(from: &bytes, encoding: self.encoding).first?.body {
                case .interrupt: return .interrupt
                case .cancel(let cancel): return .cancel(cancel.requestID)
                case .grant(let grant): return .grant(grant.requestID, Int(grant.bytes))
                default: throw DqliteError(.protocolViolation)
                }
            case .answer(let id, _): return .answer(id)
            case .part(let id, let part, let isLast):
                self.lastPartSize = part.wireSize
                return .part(id, isLast: isLast)
            case .fail(let id, let error): return .fail(id, error.code, error.outcome)
            case .late(let answer, let receive):
                receive(answer)
                return .late
            case .close: return .close
            }
        }
    }
}

func limits(window: Int = 4096, row: Int = 1 << 20, queue: Int = 4) -> ConnectionLimits {
    var configuration = DqliteConnectionConfiguration()
    configuration.resultWindow = window
    configuration.maximumRowSize = row
    configuration.maximumQueuedRequests = queue
    configuration.interruptTimeout = .seconds(1)
    return ConnectionLimits(configuration)
}
