import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteWire
import NIOCore
import Testing

@testable import DqliteNode

struct ProtobufConnectionMachineTests {
    private typealias Machine = ProtobufConnectionMachine
    private let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    private func envelope(
        _ id: UInt64, session: UInt64 = 0, timeout: UInt64 = 0, window: UInt64 = 0,
        _ body: Request.Body = .execSQL(ExecSQLRequest())
    ) throws -> RequestEnvelope {
        let request = Request(
            requestID: id, sessionID: session, timeoutMilliseconds: timeout, window: window, body: body)
        return try RequestEnvelope(ByteBuffer(bytes: request.protobufBytes()))
    }

    @Test func sessionsRunInOrderAndBesideEachOther() throws {
        var machine = Machine(limits: .init())
        #expect(machine.received(try self.envelope(1, session: 7), now: self.start).lane == .session(7))
        #expect(machine.received(try self.envelope(2, session: 7), now: self.start).waits)
        #expect(machine.received(try self.envelope(3, session: 8), now: self.start).lane == .session(8))
        #expect(machine.received(try self.envelope(4, session: 7), now: self.start).waits)
        #expect(machine.finished(.session(7), keepsSession: true)?.id == 2)
        #expect(machine.finished(.session(7), keepsSession: true)?.id == 4)
        #expect(machine.finished(.session(7), keepsSession: true) == nil)
        #expect(machine.finished(.session(8), keepsSession: true) == nil)
    }

    @Test func statelessRequestsSharePooledLanes() throws {
        var limits = DqliteNodeConfiguration.Limits()
        limits.statelessRequestsPerConnection = 2
        var machine = Machine(limits: limits)
        #expect(machine.received(try self.envelope(1), now: self.start).lane == .stateless(0))
        #expect(machine.received(try self.envelope(2), now: self.start).lane == .stateless(1))
        #expect(machine.received(try self.envelope(3), now: self.start).waits)
        #expect(machine.finished(.stateless(1), keepsSession: true)?.id == 3)
        #expect(machine.finished(.stateless(0), keepsSession: true) == nil)
        #expect(machine.received(try self.envelope(4), now: self.start).lane == .stateless(0))
    }

    @Test func requestsOfTheNodeItselfWaitForNobody() throws {
        var limits = DqliteNodeConfiguration.Limits()
        limits.statelessRequestsPerConnection = 1
        var machine = Machine(limits: limits)
        _ = machine.received(try self.envelope(1), now: self.start)
        #expect(machine.received(try self.envelope(2, .leader(LeaderRequest())), now: self.start).isDetached)
        #expect(machine.received(try self.envelope(3, .open(OpenRequest(name: "a"))), now: self.start).isDetached)
        machine.finishedDetached(2)
        #expect(machine.received(try self.envelope(2, .leader(LeaderRequest())), now: self.start).isDetached)
    }

    @Test func idsAreUniqueAndNotZero() throws {
        var machine = Machine(limits: .init())
        #expect(machine.received(try self.envelope(0), now: self.start).isViolation)
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        #expect(machine.received(try self.envelope(1, session: 2), now: self.start).isViolation)
        _ = machine.finished(.session(1), keepsSession: true)
        #expect(machine.received(try self.envelope(1, session: 2), now: self.start).lane == .session(2))
    }

    @Test func limits() throws {
        var limits = DqliteNodeConfiguration.Limits()
        limits.requestsPerConnection = 3
        limits.sessionsPerConnection = 2
        limits.requestBytesPerConnection = 4096
        var machine = Machine(limits: limits)
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        _ = machine.received(try self.envelope(2, session: 2), now: self.start)
        #expect(machine.received(try self.envelope(3, session: 3), now: self.start).refusal == FailureCode.busy)
        let large = ExecSQLRequest(sql: String(repeating: "x", count: 5000))
        #expect(
            machine.received(try self.envelope(4, session: 1, .execSQL(large)), now: self.start).refusal
                == FailureCode.busy)
        #expect(machine.received(try self.envelope(5, session: 1), now: self.start).waits)
        #expect(machine.received(try self.envelope(6, session: 1), now: self.start).refusal == FailureCode.busy)
        // What is answered makes room again.
        _ = machine.finished(.session(1), keepsSession: true)
        #expect(machine.received(try self.envelope(6, session: 1), now: self.start).waits)
    }

    @Test func closedSessionsMakeRoom() throws {
        var limits = DqliteNodeConfiguration.Limits()
        limits.sessionsPerConnection = 1
        var machine = Machine(limits: limits)
        let close = Request.Body.closeSession(CloseSessionRequest())
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        _ = machine.received(try self.envelope(2, session: 1, close), now: self.start)
        #expect(machine.finished(.session(1), keepsSession: true)?.id == 2)
        // A request behind CloseSession begins the session anew.
        _ = machine.received(try self.envelope(3, session: 1), now: self.start)
        #expect(machine.finished(.session(1), keepsSession: true)?.id == 3)
        _ = machine.finished(.session(1), keepsSession: true)
        #expect(machine.received(try self.envelope(4, session: 2), now: self.start).refusal == FailureCode.busy)
        _ = machine.received(try self.envelope(5, session: 1, close), now: self.start)
        _ = machine.finished(.session(1), keepsSession: false)
        #expect(machine.received(try self.envelope(6, session: 2), now: self.start).lane == .session(2))
    }

    /// Nothing is left of a session whose only request was refused.
    @Test func sessionsWithNothingAreForgotten() throws {
        var limits = DqliteNodeConfiguration.Limits()
        limits.sessionsPerConnection = 1
        var machine = Machine(limits: limits)
        for session: UInt64 in 1...3 {
            #expect(machine.received(try self.envelope(1, session: session), now: self.start).lane == .session(session))
            #expect(machine.received(try self.envelope(2, session: session), now: self.start).waits)
            #expect(machine.finished(.session(session), keepsSession: false)?.id == 2)
            #expect(machine.received(try self.envelope(3, session: 9), now: self.start).refusal == FailureCode.busy)
            #expect(machine.finished(.session(session), keepsSession: false) == nil)
        }
    }

    /// A field that must not be passed over is refused by its number, whatever its type.
    @Test func criticalFields() throws {
        var machine = Machine(limits: .init())
        for field: UInt8 in 15...19 {
            // Keys of fields above 15 have two bytes.
            let keys: [[UInt8]] = [UInt16(0), 2].map { type in
                let key = UInt16(field) << 3 | type
                return key < 128 ? [UInt8(key)] : [UInt8(key & 0x7f) | 0x80, UInt8(key >> 7)]
            }
            for key in keys {
                let request = Request(requestID: 1, body: .execSQL(ExecSQLRequest(sql: "x")))
                let envelope = try RequestEnvelope(ByteBuffer(bytes: request.protobufBytes() + key + [0]))
                guard case .refuse(let error) = machine.received(envelope, now: self.start) else { throw Unexpected() }
                #expect(error.code == FailureCode.error)
                #expect(error.outcome == .notCommitted)
                #expect(error.message.contains("field \(field) "))
            }
        }
        let request = Request(requestID: 1, inTransaction: true, body: .execSQL(ExecSQLRequest(sql: "x")))
        let envelope = try RequestEnvelope(ByteBuffer(bytes: request.protobufBytes() + [0x82, 0x7d, 0]))
        #expect(envelope.inTransaction)
        #expect(machine.received(envelope, now: self.start).lane == .stateless(0))
    }

    @Test func withdrawal() throws {
        var machine = Machine(limits: .init())
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        _ = machine.received(try self.envelope(2, session: 1), now: self.start)
        _ = machine.received(try self.envelope(3, session: 1), now: self.start)
        guard case .interrupt(.session(1)) = machine.withdraw(1) else { throw Unexpected() }
        guard case .fail(let job) = machine.withdraw(2), job.id == 2 else { throw Unexpected() }
        guard case .ignore = machine.withdraw(2) else { throw Unexpected() }
        #expect(machine.finished(.session(1), keepsSession: true)?.id == 3)
    }

    @Test func deadlines() throws {
        var machine = Machine(limits: .init())
        _ = machine.received(try self.envelope(1, session: 1, timeout: 50), now: self.start)
        _ = machine.received(try self.envelope(2, session: 1, timeout: 20), now: self.start)
        _ = machine.received(try self.envelope(3, session: 1), now: self.start)
        _ = machine.received(try self.envelope(4, session: 1, timeout: .max), now: self.start)
        #expect(machine.nextDeadline(after: self.start) == self.start + .milliseconds(20))
        #expect(machine.expired(at: self.start + .milliseconds(19)) == [])
        #expect(machine.expired(at: self.start + .milliseconds(20)) == [2])
        #expect(machine.nextDeadline(after: self.start + .milliseconds(20)) == self.start + .milliseconds(50))
    }

    @Test func grantsReachWhatWaits() throws {
        var machine = Machine(limits: .init())
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        _ = machine.received(try self.envelope(2, session: 1, window: 10), now: self.start)
        #expect(machine.granted(5, to: 1) == .session(1))
        #expect(machine.granted(5, to: 2) == nil)
        #expect(machine.finished(.session(1), keepsSession: true)?.window == 15)
        #expect(machine.granted(5, to: 99) == nil)
    }

    @Test func draining() throws {
        var machine = Machine(limits: .init())
        _ = machine.received(try self.envelope(1, session: 1), now: self.start)
        _ = machine.received(try self.envelope(2, session: 1), now: self.start)
        #expect(machine.drain().map(\.id) == [2])
        #expect(!machine.isDrained)
        #expect(machine.runningLanes == [.session(1)])
        #expect(machine.received(try self.envelope(3), now: self.start).refusal == FailureCode.abort)
        #expect(machine.finished(.session(1), keepsSession: true) == nil)
        #expect(machine.isDrained)
    }

    @Test func whatCannotBeDoneIsRefused() throws {
        var machine = Machine(limits: .init())
        let statement = Request.Body.querySQL(QuerySQLRequest())
        let refused = [
            Request(requestID: 1, minimumCommitIndex: 1, body: statement),
            Request(requestID: 1, exactlyOnceSession: 1, body: statement),
            Request(requestID: 1, exactlyOnceSequence: 1, body: statement),
            Request(requestID: 1, readConsistency: ReadConsistency(rawValue: 9), body: statement),
            Request(requestID: 1, body: .batch(BatchRequest())),
            Request(requestID: 1, body: nil),
            Request(requestID: 1, body: .interrupt(InterruptRequest())),
            Request(requestID: 1, body: .closeSession(CloseSessionRequest())),
        ]
        for request in refused {
            let envelope = try RequestEnvelope(ByteBuffer(bytes: request.protobufBytes()))
            let admission = machine.received(envelope, now: self.start)
            guard case .refuse(let error) = admission else { throw Unexpected() }
            #expect(error.outcome == .notCommitted)
            #expect(!error.message.isEmpty)
        }
        let consistent = Request(
            requestID: 1, readConsistency: .stale, maximumStalenessMilliseconds: 5, body: statement)
        let envelope = try RequestEnvelope(ByteBuffer(bytes: consistent.protobufBytes()))
        #expect(machine.received(envelope, now: self.start).lane == .stateless(0))
    }
}

struct Unexpected: Error {}

extension ProtobufConnectionMachine.Admission {
    var lane: ProtobufConnectionMachine.Lane? { if case .run(_, let lane) = self { lane } else { nil } }
    var waits: Bool { if case .wait = self { true } else { false } }
    var isDetached: Bool { if case .detach = self { true } else { false } }
    var isViolation: Bool { if case .violation = self { true } else { false } }
    var refusal: UInt64? { if case .refuse(let error) = self { error.code } else { nil } }
}
