import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteClient

@Suite struct DqliteEncodingStateMachineTests {
    static func script(
        _ limits: ConnectionLimits = limits()
    ) throws -> MachineScript<DqliteEncodingStateMachine> {
        var interrupt = ByteBuffer()
        try interrupt.writeDqliteRequest(InterruptRequest())
        return MachineScript(DqliteEncodingStateMachine(limits: limits, interrupt: interrupt), encoding: .dqlite)
    }

    @Test func `One request at a time, the others wait in line`() throws {
        var script = try Self.script()
        #expect(try script.submit(2, .result) == [.send(2)])
        #expect(try script.submit(4, .rows) == [])
        #expect(try script.submit(6, .empty) == [])
        #expect(try script.receive(.result(ResultResponse())) == [.answer(2), .send(4)])
        #expect(try script.receive(part(1...3)) == [.part(4, isLast: true), .send(6)])
        #expect(try script.receive(.empty(EmptyResponse())) == [.answer(6)])
        #expect(try script.submit(8, .result) == [.send(8)])
    }

    @Test func `The line has a limit`() throws {
        var script = try Self.script(limits(queue: 2))
        #expect(try script.submit(2, .result) == [.send(2)])
        #expect(try script.submit(4, .result) == [])
        #expect(try script.submit(6, .result) == [.fail(6, .tooManyRequests, .notCommitted)])
    }

    @Test func `A failure ends its request only`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .result)
        #expect(
            try script.receive(failure(2067, "UNIQUE")) == [.fail(2, .sqlite, .notCommitted), .send(4)])
        #expect(try script.receive(failure(10506, "lost")) == [.fail(4, .leadershipLost, .unknown)])
        #expect(try script.submit(6, .result) == [.send(6)])
        #expect(try script.receive(failure(10250, "not leader")) == [.fail(6, .notLeader, .notCommitted)])
    }

    @Test func `Of several statements the first ones may be committed`() throws {
        for (sql, isInTransaction, outcome) in [
            ("INSERT INTO t VALUES (1); INSERT INTO nope VALUES (2)", false, DqliteError.Outcome.unknown),
            ("INSERT INTO t VALUES (1); INSERT INTO nope VALUES (2)", true, .notCommitted),
            ("INSERT INTO t VALUES (1); commit; INSERT INTO nope VALUES (2)", true, .unknown),
            ("INSERT INTO t VALUES ('a;b'); -- ; nothing", false, .notCommitted),
        ] {
            var script = try Self.script()
            _ = try script.submit(2, .result, sql: sql, isInTransaction: isInTransaction)
            #expect(try script.receive(failure(1, "no such table")) == [.fail(2, .sqlite, outcome)], "\(sql)")
        }
    }

    @Test func `What the disk reported as an error may be on it`() throws {
        for (code, outcome) in [
            (UInt64(10), DqliteError.Outcome.unknown), (1034, .unknown), (778, .unknown), (5, .notCommitted),
        ] {
            var script = try Self.script()
            _ = try script.submit(2, .result)
            #expect(try script.receive(failure(code, "disk I/O error")) == [.fail(2, .sqlite, outcome)])
        }
    }

    @Test func `A request that was not sent makes way for the next`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .result)
        _ = try script.submit(6, .result)
        #expect(try script.receive(.result(ResultResponse())) == [.answer(2), .send(4)])
        #expect(try script.notSent(4) == [.send(6)])
    }

    @Test func `A failure behind partial rows is found`() throws {
        var script = try Self.script()
        #expect(try script.submit(2, .rows) == [.send(2)])
        // Body of SELECT abs(-9223372036854775808) AS q from a C node: 1, "q", 1, "integer overflow".
        var frame = ByteBuffer()
        frame.writeBytes([6, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0x71, 0, 0, 0, 0, 0, 0, 0])
        frame.writeBytes([1, 0, 0, 0, 0, 0, 0, 0] + Array("integer overflow".utf8) + [0, 0, 0, 0, 0, 0, 0, 0])
        var actions: [ConnectionAction] = []
        script.machine.received(&frame, now: .now(), actions: &actions)
        guard case .fail(2, let error)? = actions.first else {
            Issue.record("\(actions)")
            return
        }
        #expect(error.server == .init(extendedResultCode: 1, message: "integer overflow"))
    }

    @Test func `Nothing is read while the window is full of unread parts`() throws {
        var script = try Self.script(limits(window: 4096))
        _ = try script.submit(2, .rows)
        #expect(script.machine.wantsToRead)
        #expect(try script.receive(part(0..<300, more: true)) == [.part(2, isLast: false)])
        // 8 header, 8 count, 8 name, 300 * 16 rows, 8 end.
        #expect(script.lastPartSize == 4832)
        #expect(!script.machine.wantsToRead)
        #expect(try script.consumed(2, 700) == [])
        #expect(!script.machine.wantsToRead)
        #expect(try script.consumed(2, 100) == [])
        #expect(script.machine.wantsToRead)
        #expect(try script.receive(part(0..<300)) == [.part(2, isLast: true)])
        // The result is complete: what else comes is no longer part of it.
        #expect(script.machine.wantsToRead)
    }

    @Test func `A result that is taken back is interrupted, and read to the answer of that`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .rows)
        _ = try script.submit(4, .result)
        #expect(try script.receive(part(0..<300, more: true)) == [.part(2, isLast: false)])
        #expect(try script.takeBack(2) == [.interrupt])
        #expect(try script.takeBack(2) == [])
        #expect(script.machine.wantsToRead)
        // An old node sends everything before it reads the interrupt.
        #expect(try script.receive(part(0..<300, more: true)) == [])
        #expect(try script.receive(part(0..<300)) == [])
        #expect(try script.receive(.empty(EmptyResponse())) == [.send(4)])
    }

    @Test func `A new node answers an interrupted request with a failure`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .result)
        #expect(try script.takeBack(2) == [.interrupt])
        #expect(try script.receive(failure(9, "interrupted")) == [])
        #expect(try script.receive(.empty(EmptyResponse())) == [.send(4)])
    }

    @Test func `What cannot be interrupted is waited for`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .statement, canBeInterrupted: false)
        _ = try script.submit(4, .result)
        #expect(try script.takeBack(2) == [])
        #expect(try script.receive(.statement(StatementResponse())) == [.send(4)])
    }

    @Test func `What waits in line is taken back without a word`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .result)
        _ = try script.submit(6, .result)
        #expect(try script.takeBack(4) == [])
        #expect(try script.receive(.result(ResultResponse())) == [.answer(2), .send(6)])
    }

    @Test func `A lost connection leaves open what became of a write that was sent`() throws {
        var script = try Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .result)
        #expect(
            try script.close() == [
                .fail(2, .connectionClosed, .unknown), .fail(4, .connectionClosed, .notCommitted), .close,
            ])
        #expect(try script.close() == [])
        #expect(try script.submit(6, .result) == [.fail(6, .connectionClosed, .notCommitted)])

        var reader = try Self.script()
        _ = try reader.submit(2, .database, mayWrite: false)
        #expect(try reader.close() == [.fail(2, .connectionClosed, .notCommitted), .close])
    }

    @Test func `What the protocol does not allow closes the connection`() throws {
        var script = try Self.script()
        #expect(try script.receive(.empty(EmptyResponse())) == [.close])

        script = try Self.script()
        _ = try script.submit(2, .result)
        #expect(try script.receive(part([1])) == [.fail(2, .protocolViolation, .unknown), .close])

        script = try Self.script()
        _ = try script.submit(2, .rows, mayWrite: false)
        var bad = try frame(part([1]), in: .dqlite)
        bad.setInteger(0xab, at: bad.writerIndex - 1, as: UInt8.self)
        #expect(try script.receive(bad) == [.fail(2, .protocolViolation, .notCommitted), .close])

        script = try Self.script()
        _ = try script.submit(2, .result)
        // A header that announces 32 GiB.
        #expect(
            try script.receive(ByteBuffer(bytes: [255, 255, 255, 255, 6, 0, 0, 0]))
                == [.fail(2, .protocolViolation, .unknown), .close])

        script = try Self.script()
        _ = try script.submit(2, .result)
        // A failure without its text.
        #expect(
            try script.receive(ByteBuffer(bytes: [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]))
                == [.fail(2, .protocolViolation, .unknown), .close])
    }

    @Test func `Deadlines of those that wait and of the one that was sent`() throws {
        var script = try Self.script()
        let second = NIODeadline.uptimeNanoseconds(1_000_000_000)
        _ = try script.submit(2, .rows, deadline: second)
        _ = try script.submit(4, .result, deadline: second + .seconds(1))
        _ = try script.submit(6, .result)
        #expect(script.machine.nextDeadline == second)
        #expect(
            try script.wait(until: second) == [.fail(2, .deadlineExceeded, .unknown), .interrupt])
        // The interrupt itself has to be answered in a second.
        #expect(script.machine.nextDeadline == second + .seconds(1))
        #expect(try script.receive(.empty(EmptyResponse())) == [.send(4)])
        #expect(
            try script.wait(until: second + .seconds(1)) == [.fail(4, .deadlineExceeded, .unknown), .interrupt])
        #expect(
            try script.wait(until: second + .seconds(2)) == [.fail(6, .connectionClosed, .notCommitted), .close])
    }

    @Test func `A request that waits behind an unread result fails at its deadline`() throws {
        var script = try Self.script()
        let second = NIODeadline.uptimeNanoseconds(1_000_000_000)
        _ = try script.submit(2, .rows, deadline: second)
        #expect(try script.receive(part(0..<300, more: true)) == [.part(2, isLast: false)])
        _ = try script.submit(4, .result, deadline: second)
        // The deadline of a result is for its first part.
        #expect(try script.wait(until: second) == [.fail(4, .deadlineExceeded, .notCommitted)])
        #expect(script.machine.nextDeadline == nil)
    }
}
