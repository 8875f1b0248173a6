import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteClient

@Suite struct ProtobufEncodingStateMachineTests {
    static func script(_ limits: ConnectionLimits = limits()) -> MachineScript<ProtobufEncodingStateMachine> {
        MachineScript(ProtobufEncodingStateMachine(limits: limits), encoding: .protobuf)
    }

    static func blocked(_ bytes: Int) -> Response.Body {
        .blocked(BlockedResponse(bytesNeeded: UInt64(bytes)))
    }

    @Test func `Answers come in any order`() throws {
        var script = Self.script()
        #expect(try script.submit(2, .result) == [.send(2)])
        #expect(try script.submit(4, .rows) == [.send(4)])
        #expect(try script.submit(6, .empty) == [.send(6)])
        #expect(try script.receive(.empty(EmptyResponse()), for: 6) == [.answer(6)])
        #expect(try script.receive(part([1], more: true), for: 4) == [.part(4, isLast: false)])
        #expect(try script.receive(.result(ResultResponse()), for: 2) == [.answer(2)])
        #expect(try script.receive(part([2], named: []), for: 4) == [.part(4, isLast: true)])
    }

    @Test func `The number of requests has a limit`() throws {
        var script = Self.script(limits(queue: 1))
        #expect(try script.submit(2, .result) == [.send(2)])
        #expect(try script.submit(4, .result) == [.fail(4, .tooManyRequests, .notCommitted)])
        #expect(try script.receive(.result(ResultResponse())) == [.answer(2)])
        #expect(try script.submit(6, .result) == [.send(6)])
    }

    @Test func `The node says what became of a write`() throws {
        for (said, meant) in [
            (WriteOutcome.unspecified, DqliteError.Outcome.notCommitted), (.notCommitted, .notCommitted),
            (.committed, .committed), (.unknown, .unknown),
        ] {
            var script = Self.script()
            _ = try script.submit(2, .result)
            #expect(try script.receive(failure(5, "busy", said)) == [.fail(2, .sqlite, meant)])
        }
    }

    @Test func `As much as was read is granted again, and never more than the window is open`() throws {
        var script = Self.script(limits(window: 4096))
        _ = try script.submit(2, .rows)
        var granted = 4096
        var unread = 0
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<500 {
            let body = part(0..<Int.random(in: 0...40, using: &generator), more: true)
            let size = try frame(body, in: .protobuf).readableBytes
            if size <= granted {
                #expect(try script.receive(body) == [.part(2, isLast: false)])
                #expect(script.lastPartSize == size)
                granted -= size
                unread += size
            }
            let read = size > granted ? unread : Int.random(in: 0...unread, using: &generator)
            unread -= read
            for decision in try script.consumed(2, read) {
                guard case .grant(2, let bytes) = decision else {
                    Issue.record("\(decision)")
                    continue
                }
                granted += bytes
            }
            #expect(granted + unread <= 4096)
        }
        #expect(granted + unread > 2048)
    }

    @Test func `A result above its window is a violation`() throws {
        var script = Self.script(limits(window: 4096))
        _ = try script.submit(2, .rows, mayWrite: false)
        #expect(try script.receive(part(0..<600, more: true)) == [.part(2, isLast: false)])
        #expect(
            try script.receive(part(0..<600, more: true, named: []))
                == [.fail(2, .protocolViolation, .notCommitted), .close])
    }

    @Test func `A row larger than the window is granted once there is nothing else to read`() throws {
        var script = Self.script(limits(window: 4096, row: 100_000))
        _ = try script.submit(2, .rows)
        #expect(try script.receive(part(0..<100, more: true)) == [.part(2, isLast: false)])
        let first = script.lastPartSize
        #expect(try script.receive(Self.blocked(50_000)) == [])
        #expect(try script.consumed(2, first) == [.grant(2, 50_000 - (4096 - first))])
        let text = String(repeating: "x", count: 49_900)
        #expect(
            try script.receive(.rows(RowsResponse(columns: [], values: [.text(text)], more: true)))
                == [.part(2, isLast: false)])
        let large = script.lastPartSize
        // What exceeded the window is not granted again.
        let left = 50_000 - large
        #expect(try script.consumed(2, large) == [.grant(2, 4096 - left)])
    }

    @Test func `Blocked is no matter when what was granted is on its way`() throws {
        var script = Self.script(limits(window: 4096))
        _ = try script.submit(2, .rows)
        #expect(try script.receive(part(0..<600, more: true)) == [.part(2, isLast: false)])
        let size = script.lastPartSize
        #expect(size >= 2048)
        #expect(try script.consumed(2, size) == [.grant(2, size)])
        #expect(try script.receive(Self.blocked(4000)) == [])
    }

    @Test func `A row above the limit ends its query`() throws {
        var script = Self.script(limits(window: 4096, row: 10_000))
        _ = try script.submit(2, .rows, mayWrite: false)
        #expect(
            try script.receive(Self.blocked(10_001)) == [.fail(2, .rowTooLarge, .notCommitted), .cancel(2)])
        #expect(try script.receive(failure(9, "interrupted")) == [])
    }

    @Test func `What is taken back is cancelled, and its answer passed over`() throws {
        var script = Self.script(limits(queue: 1))
        _ = try script.submit(2, .rows)
        #expect(try script.receive(part(0..<10, more: true)) == [.part(2, isLast: false)])
        #expect(try script.takeBack(2) == [.cancel(2)])
        #expect(try script.takeBack(2) == [])
        #expect(try script.consumed(2, 3000) == [])
        #expect(try script.receive(part(0..<10, more: true, named: [])) == [])
        #expect(try script.receive(Self.blocked(1 << 30)) == [])
        #expect(try script.submit(4, .result) == [.fail(4, .tooManyRequests, .notCommitted)])
        #expect(try script.receive(failure(9, "interrupted")) == [])
        #expect(try script.submit(6, .result) == [.send(6)])
        #expect(try script.takeBack(6) == [.cancel(6)])
        #expect(try script.receive(.result(ResultResponse()), for: 6) == [])
        #expect(try script.submit(8, .result) == [.send(8)])
    }

    @Test func `A lost connection leaves open what became of writes`() throws {
        var script = Self.script()
        _ = try script.submit(2, .result)
        _ = try script.submit(4, .database, mayWrite: false)
        _ = try script.submit(6, .result)
        _ = try script.takeBack(6)
        #expect(
            try script.close() == [
                .fail(2, .connectionClosed, .unknown), .fail(4, .connectionClosed, .notCommitted), .close,
            ])
        #expect(try script.submit(8, .result) == [.fail(8, .connectionClosed, .notCommitted)])
    }

    @Test func `What the protocol does not allow closes the connection and fails all`() throws {
        let answers: [(Response.Body, UInt64)] = [
            (.empty(EmptyResponse()), 2), (part([1]), 2), (.empty(EmptyResponse()), 10), (Self.blocked(1), 2),
            (failure(1, "?"), 0),
        ]
        for (body, id) in answers {
            var script = Self.script()
            _ = try script.submit(2, .result)
            #expect(try script.receive(body, for: id) == [.fail(2, .protocolViolation, .unknown), .close])
        }
        for bytes: [UInt8] in [[0xff, 0xff, 0xff, 0xff, 1], [1, 0xff], [0], [4, 8, 2, 0xb2, 1]] {
            var script = Self.script()
            _ = try script.submit(2, .result)
            #expect(
                try script.receive(ByteBuffer(bytes: bytes)) == [.fail(2, .protocolViolation, .unknown), .close],
                "\(bytes)")
        }
    }

    @Test func `Deadlines`() throws {
        var script = Self.script()
        let second = NIODeadline.uptimeNanoseconds(1_000_000_000)
        _ = try script.submit(2, .rows, deadline: second)
        _ = try script.submit(4, .rows, deadline: second)
        #expect(try script.receive(part([1], more: true), for: 2) == [.part(2, isLast: false)])
        #expect(try script.wait(until: second) == [.fail(4, .deadlineExceeded, .unknown), .cancel(4)])
        #expect(script.machine.nextDeadline == second + .seconds(1))
        #expect(
            try script.wait(until: second + .seconds(1)) == [.fail(2, .connectionClosed, .unknown), .close])
    }
}
