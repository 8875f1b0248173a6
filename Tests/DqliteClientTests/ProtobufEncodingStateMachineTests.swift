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
        #expect(try script.submit(6, .server, mayWrite: false, deadline: second) == [.send(6)])
        #expect(
            try script.wait(until: second) == [.cancel(4), .fail(6, .deadlineExceeded, .notCommitted), .cancel(6)])
        #expect(script.machine.nextDeadline == second + .seconds(1))
        #expect(
            try script.wait(until: second + .seconds(1)) == [
                .fail(4, .deadlineExceeded, .unknown), .fail(2, .connectionClosed, .unknown), .close,
            ])
    }

    @Test func `The node says what became of a write whose time was over`() throws {
        for (answer, decision) in [
            (failure(9, "interrupted", .notCommitted), Decision.fail(2, .deadlineExceeded, .notCommitted)),
            (failure(9, "interrupted", .committed), .fail(2, .deadlineExceeded, .committed)),
            (failure(2067, "UNIQUE", .notCommitted), .fail(2, .sqlite, .notCommitted)),
            (.result(ResultResponse()), .answer(2)),
        ] {
            var script = Self.script()
            let second = NIODeadline.uptimeNanoseconds(1_000_000_000)
            _ = try script.submit(2, .result, deadline: second)
            #expect(try script.wait(until: second) == [.cancel(2)])
            #expect(try script.receive(answer) == [decision])
            #expect(try script.wait(until: second + .seconds(5)) == [])
        }
    }

    @Test func `A request behind a result that is being read is sent when that has arrived`() throws {
        var script = Self.script()
        _ = try script.submit(2, .rows, session: 1)
        #expect(try script.submit(4, .result, session: 1) == [.send(4)])
        #expect(try script.receive(part([1], more: true)) == [.part(2, isLast: false)])
        #expect(try script.submit(6, .result, session: 1) == [])
        #expect(try script.submit(8, .result, session: 2) == [.send(8)])
        #expect(try script.submit(10, .result, session: 1) == [.fail(10, .tooManyRequests, .notCommitted)])
        #expect(try script.receive(part([2], named: [])) == [.part(2, isLast: true), .send(6)])
    }

    @Test func `A request behind a result that is left is sent after the cancellation`() throws {
        var script = Self.script()
        _ = try script.submit(2, .rows, session: 1)
        #expect(try script.receive(part([1], more: true)) == [.part(2, isLast: false)])
        #expect(try script.submit(4, .result, session: 1) == [])
        #expect(try script.submit(6, .result, session: 1) == [])
        #expect(try script.takeBack(4) == [])
        #expect(try script.takeBack(2) == [.cancel(2), .send(6)])
    }

    @Test func `A request behind a result that nobody reads was not sent when its time is over`() throws {
        var script = Self.script()
        let second = NIODeadline.uptimeNanoseconds(1_000_000_000)
        _ = try script.submit(2, .rows, session: 1)
        #expect(try script.receive(part([1], more: true)) == [.part(2, isLast: false)])
        #expect(try script.submit(4, .result, deadline: second, session: 1) == [])
        #expect(try script.wait(until: second) == [.fail(4, .deadlineExceeded, .notCommitted)])
    }

    @Test func `A task that waits behind the result that it reads is told at once`() async throws {
        let reader = ReaderTask()
        reader.note()
        let task = ReaderTask.current
        #expect(task != nil)
        for blockedFirst in [false, true] {
            var script = Self.script(limits(queue: 10))
            _ = try script.submit(2, .rows, session: 1, reader: reader)
            #expect(try script.receive(part(0..<600, more: true)) == [.part(2, isLast: false)])
            if blockedFirst { #expect(try script.receive(Self.blocked(4000)) == []) }
            let refused = Decision.fail(4, .resultNotRead, .notCommitted)
            #expect(try script.submit(4, .result, session: 1, task: task) == (blockedFirst ? [refused] : []))
            #expect(try script.submit(6, .result, session: 1, task: 77) == [])
            if !blockedFirst { #expect(try script.receive(Self.blocked(4000)) == [refused]) }
        }
    }

    @Test func `Answers that more follow are passed over, also those of a kind that is not known`() throws {
        func envelope(_ response: Response) -> ByteBuffer {
            var buffer = ByteBuffer()
            buffer.writeEnvelope(response)
            return buffer
        }
        var script = Self.script()
        _ = try script.submit(2, .result)
        // Field 40, with `more`; no body, with `more`; a kind that is known, with `more`.
        #expect(try script.receive(ByteBuffer(bytes: [8, 8, 2, 0x18, 1, 0xc2, 2, 1, 7])) == [])
        #expect(try script.receive(envelope(Response(requestID: 2, more: true))) == [])
        #expect(
            try script.receive(envelope(Response(requestID: 2, more: true, body: .result(ResultResponse())))) == [])
        #expect(try script.receive(.result(ResultResponse())) == [.answer(2)])
    }

    @Test func `A request that was not sent is forgotten`() throws {
        var script = Self.script(limits(queue: 1))
        _ = try script.submit(2, .result)
        #expect(try script.notSent(2) == [])
        #expect(try script.submit(4, .result) == [.send(4)])
    }
}
