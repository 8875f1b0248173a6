import DqliteEngine
import DqliteFraming
import DqliteProtocol
import DqliteWire
import LogSimulation
import NIOCore
import NIOEmbedded
import Synchronization
import TestSupport
import Testing

@testable import DqliteNode

struct ProtobufHandlerTests {
    private func connected(
        id: UInt64 = 1, limits: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }
    ) throws -> HandlerTest {
        let test = try HandlerTest(id: id, limits: limits)
        try test.send(word: Preface.protobuf)
        return test
    }

    /// A connection whose sessions use the database "test". The request id 1 is used.
    private func opened(limits: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }) throws -> HandlerTest {
        let test = try self.connected(limits: limits)
        try test.send(Request(requestID: 1, body: .open(OpenRequest(name: "test"))))
        #expect(try test.envelopes() == [Response(requestID: 1, body: .database(DatabaseResponse()))])
        return test
    }

    private func exec(_ id: UInt64, session: UInt64 = 0, timeout: UInt64 = 0, _ sql: String = "x") -> Request {
        Request(
            requestID: id, sessionID: session, timeoutMilliseconds: timeout, body: .execSQL(ExecSQLRequest(sql: sql)))
    }

    private func query(_ id: UInt64, session: UInt64 = 0, window: UInt64 = 1 << 20) -> Request {
        Request(requestID: id, sessionID: session, window: window, body: .querySQL(QuerySQLRequest(sql: "x")))
    }

    private func failure(_ responses: [Response], id: UInt64) throws -> FailureResponse {
        try #require(responses.count == 1)
        try #require(responses[0].requestID == id)
        guard case .failure(let failure) = responses[0].body else { throw Unexpected() }
        return failure
    }

    // MARK: Requests

    @Test func requestsWithoutADatabase() throws {
        let test = try self.connected()
        let server = Server(serverID: 1, address: "127.0.0.1:9001", role: .voter)
        let cases: [(Request.Body, Response.Body)] = [
            (.leader(LeaderRequest()), .server(ServerResponse(serverID: 1, address: "127.0.0.1:9001"))),
            (.client(ClientRequest()), .welcome(WelcomeResponse(heartbeatTimeout: 15000))),
            (.heartbeat(HeartbeatRequest()), .empty(EmptyResponse())),
            (.cluster(ClusterRequest(format: 1)), .servers(ServersResponse(servers: [server]))),
            (.weight(WeightRequest(weight: 5)), .empty(EmptyResponse())),
            (.describe(DescribeRequest()), .metadata(MetadataResponse(failureDomain: 3, weight: 5))),
        ]
        for session: UInt64 in [0, 4] {
            for (request, response) in cases {
                try test.send(Request(requestID: 1, sessionID: session, body: request))
                #expect(try test.envelopes() == [Response(requestID: 1, body: response)])
            }
        }
    }

    @Test func refusals() throws {
        let test = try self.connected()
        let cases: [(Request, UInt64)] = [
            (self.exec(1), FailureCode.notFound),
            (self.exec(1, session: 3), FailureCode.notFound),
            (Request(requestID: 1), FailureCode.malformedRequest),
            (Request(requestID: 1, body: .batch(BatchRequest())), FailureCode.error),
            (Request(requestID: 1, exactlyOnceSession: 1, body: .leader(LeaderRequest())), FailureCode.error),
            (Request(requestID: 1, body: .connect(ConnectRequest())), FailureCode.error),
            (Request(requestID: 1, body: .add(AddRequest(serverID: 1))), FailureCode.error),
            (Request(requestID: 1, body: .transfer(TransferRequest())), FailureCode.error),
            (Request(requestID: 1, body: .interrupt(InterruptRequest())), FailureCode.error),
            (Request(requestID: 1, body: .closeSession(CloseSessionRequest())), FailureCode.error),
            (Request(requestID: 1, body: .cluster(ClusterRequest(format: 2))), FailureCode.malformedRequest),
            (Request(requestID: 1, body: .describe(DescribeRequest(format: 2))), FailureCode.unsupportedFormat),
            (Request(requestID: 1, body: .open(OpenRequest(name: "refused"))), FailureCode.cannotOpen),
        ]
        for (request, code) in cases {
            try test.send(request)
            let failure = try self.failure(test.envelopes(), id: 1)
            #expect(failure.code == code)
            #expect(failure.outcome == .notCommitted)
        }
    }

    @Test func nodeThatWaitsToBeAdded() throws {
        let test = try self.connected(id: 2)
        try test.send(Request(requestID: 1, body: .leader(LeaderRequest())))
        #expect(try test.envelopes() == [Response(requestID: 1, body: .server(ServerResponse()))])
        for request in [
            self.exec(1), self.exec(1, session: 2), Request(requestID: 1, body: .open(OpenRequest(name: "a"))),
        ] {
            try test.send(request)
            #expect(try self.failure(test.envelopes(), id: 1).code == FailureCode.notLeader)
        }
    }

    @Test func `Who has a session on databases that were replaced is told so, and has to connect again`() throws {
        let test = try self.opened()
        let session = try #require(test.storage.sessions.last)
        session.state.withLock { $0.isOver = true }
        try test.send(self.exec(2, session: 0))
        let failure = try self.failure(test.envelopes(), id: 2)
        #expect(failure.code == FailureCode.cannotOpen && failure.outcome == .notCommitted)
        #expect(failure.message.contains("receiving a copy"))
        #expect(!test.channel.isActive)
        #expect(session.runs.isEmpty && session.isClosed)
    }

    /// A body that is damaged spoils its request, not the connection.
    @Test func damagedBody() throws {
        let test = try self.connected()
        // request_id 9, open with a name of which the length is wrong.
        try test.send(ByteBuffer(bytes: [7, 0x08, 9, 0xba, 0x01, 2, 0x0a, 5]))
        #expect(try self.failure(test.envelopes(), id: 9).code == FailureCode.malformedRequest)
        #expect(test.channel.isActive)
    }

    @Test func violationsClose() throws {
        let inUse = try self.opened()
        try inUse.send(self.exec(5, session: 2))
        try inUse.send(self.exec(5, session: 3))
        #expect(try self.failure(inUse.envelopes(), id: 0).message == "request id 5 is in use")
        #expect(!inUse.channel.isActive)
        #expect(!inUse.storage.sessions.contains { !$0.isClosed })

        let zero = try self.connected()
        try zero.send(self.exec(0))
        #expect(try self.failure(zero.envelopes(), id: 0).message == "a request has the id zero")
        #expect(!zero.channel.isActive)

        let noEnvelope = try self.connected()
        try noEnvelope.send(ByteBuffer(bytes: [2, 0x08, 0xff]))
        #expect(try self.failure(noEnvelope.envelopes(), id: 0).code == FailureCode.malformedRequest)
        #expect(!noEnvelope.channel.isActive)

        let tooLong = try self.connected { $0.frameSize = 4096 }
        try tooLong.send(ByteBuffer(bytes: [0x81, 0x20]))
        _ = try tooLong.received()
        #expect(!tooLong.channel.isActive)
    }

    @Test(arguments: 0..<200 as Range<UInt64>)
    func garbage(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let test = try self.opened { $0.frameSize = 1 << 16 }
        for _ in 0..<20 where test.channel.isActive {
            var bytes = self.query(UInt64(random.next() % 5), session: random.next() % 3).protobufBytes()
            for _ in 0..<random.next() % 4 {
                bytes[Int(random.next() % UInt64(bytes.count))] = UInt8(random.next() & 0xff)
            }
            var buffer = ByteBuffer(bytes: [UInt8(bytes.count)])
            buffer.writeBytes(bytes.prefix(Int(random.next() % 60)))
            try? test.send(buffer)
            for session in test.storage.sessions { if let run = session.runs.last { run.sink.empty() } }
        }
        _ = try test.received()
        _ = try? test.channel.finish()
        #expect(!test.storage.sessions.contains { !$0.isClosed })
    }

    /// The view of an envelope finds what the message has.
    @Test func envelopeIsReadAsTheMessageIs() throws {
        let bodies: [Request.Body] = [
            .cancel(CancelRequest(requestID: 4)), .grant(GrantRequest(requestID: 4, bytes: 5)),
            .closeSession(CloseSessionRequest()), .batch(BatchRequest(atomic: true)), .leader(LeaderRequest(unused: 1)),
            .client(ClientRequest(clientID: 1)), .heartbeat(HeartbeatRequest(timestamp: 1)),
            .open(OpenRequest(name: "a")), .prepare(PrepareRequest(sql: "a")), .exec(ExecRequest(statementID: 2)),
            .query(QueryRequest(statementID: 2)), .finalize(FinalizeRequest(statementID: 2)),
            .execSQL(ExecSQLRequest(sql: "a", parameters: [.text("b")])), .querySQL(QuerySQLRequest(sql: "a")),
            .interrupt(InterruptRequest()), .connect(ConnectRequest(serverID: 1)), .add(AddRequest(serverID: 1)),
            .assign(AssignRequest(serverID: 1)), .remove(RemoveRequest(serverID: 1)), .dump(DumpRequest(name: "a")),
            .cluster(ClusterRequest(format: 1)), .transfer(TransferRequest(serverID: 1)),
            .describe(DescribeRequest(format: 1)), .weight(WeightRequest(weight: 1)),
        ]
        for body in bodies {
            let request = Request(
                requestID: 1, sessionID: 1 << 40, timeoutMilliseconds: 3, window: 4, readConsistency: .stale,
                maximumStalenessMilliseconds: 6, minimumCommitIndex: 7, exactlyOnceSession: 8, exactlyOnceSequence: 9,
                body: body)
            let envelope = try RequestEnvelope(ByteBuffer(bytes: request.protobufBytes()))
            #expect(envelope.requestID == 1)
            #expect(envelope.sessionID == 1 << 40)
            #expect(envelope.timeout == .milliseconds(3))
            #expect(envelope.window == 4)
            #expect(envelope.readConsistency == 3)
            #expect(envelope.minimumCommitIndex == 7)
            #expect(envelope.exactlyOnceSession == 8)
            #expect(envelope.exactlyOnceSequence == 9)
            #expect(try envelope.decodedBody() == body)
            #expect(envelope.code == body.code)
        }
    }

    // MARK: Sessions

    @Test func sessionsInheritTheDatabase() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 7))
        #expect(test.session.database == "test")
        #expect(!test.session.isStateless)
        try test.send(Request(requestID: 3, sessionID: 8, body: .open(OpenRequest(name: "other"))))
        try test.send(self.exec(4, session: 8))
        #expect(test.session.database == "other")
        #expect(test.session.runs.count == 1)
        try test.send(Request(requestID: 5, body: .open(OpenRequest(name: "again"))))
        let answers = try test.envelopes()
        #expect(answers.first == Response(requestID: 3, body: .database(DatabaseResponse())))
        #expect(try self.failure(Array(answers.dropFirst()), id: 5).code == FailureCode.busy)
    }

    @Test func sessionZeroIsStateless() throws {
        let test = try self.opened { $0.statelessRequestsPerConnection = 2 }
        for id: UInt64 in 2...5 { try test.send(self.exec(id)) }
        #expect(test.storage.sessions.map(\.isStateless) == [true, true])
        #expect(test.storage.sessions.map(\.runs.count) == [1, 1])
        test.storage.sessions[1].sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [3])
        test.storage.sessions[1].sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [4])
        test.storage.sessions[0].sink.result(ResultResponse())
        test.storage.sessions[1].sink.result(ResultResponse())
        #expect(try Set(test.envelopes().map(\.requestID)) == [2, 5])
        #expect(test.storage.sessions.count == 2)
    }

    @Test func sessionsDoNotWaitForEachOther() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1, "a"))
        let first = test.session
        try test.send(self.exec(3, session: 1, "b"))
        try test.send(self.exec(4, session: 2))
        let second = test.session
        second.sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [4])
        #expect(first.runs.count == 1)
        first.sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [2])
        #expect(first.runs.count == 2)
    }

    @Test func closeSession() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1))
        let first = test.session
        try test.send(Request(requestID: 3, sessionID: 1, body: .closeSession(CloseSessionRequest())))
        try test.send(self.exec(4, session: 1))
        #expect(!first.isClosed)
        first.sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [2, 3])
        #expect(first.isClosed)
        #expect(first !== test.session)
        #expect(test.session.runs.count == 1)
    }

    /// A queue of requests that the node answers itself is no deep recursion.
    @Test func longQueueOfLocalRequests() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1))
        for id: UInt64 in 3..<1000 {
            try test.send(Request(requestID: id, sessionID: 1, body: .leader(LeaderRequest())))
        }
        #expect(try test.envelopes().isEmpty)
        test.session.sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == Array(2..<1000))
    }

    // MARK: Windows

    @Test func resultUsesItsWindowAndNoMore() throws {
        let test = try self.opened()
        let size = RowsEnvelope(requestID: 2).size(bodySize: 1000)
        try test.send(self.query(2, session: 1, window: UInt64(3 * size)))
        test.session.produce(parts: [Int](repeating: 1000, count: 10))
        var received = try test.received()
        let blocked = Response(requestID: 2, body: .blocked(BlockedResponse(bytesNeeded: UInt64(size))))
        #expect(received.readableBytes == 3 * size + lengthDelimitedSize(blocked.protobufEncodedSize))
        received.moveReaderIndex(forwardBy: 3 * size + 1)
        #expect(try received.protobufMessage() == blocked)

        // Too little: nothing happens, and nothing is said again.
        try test.send(Request(body: .grant(GrantRequest(requestID: 2, bytes: UInt64(size - 1)))))
        #expect(try test.received().readableBytes == 0)
        try test.send(Request(body: .grant(GrantRequest(requestID: 2, bytes: 1))))
        #expect(try test.envelopes().map { $0.body } == [.rows(RowsResponse()), blocked.body])
        try test.send(Request(body: .grant(GrantRequest(requestID: 2, bytes: .max))))
        #expect(try test.envelopes().count == 6)
        try test.send(self.exec(2, session: 1))
        #expect(test.session.runs.count == 2)
    }

    /// Even a part that the engine makes larger than it was told is not sent before there is room for it.
    @Test(arguments: [true, false])
    func partThatDoesNotFitIsHeld(more: Bool) throws {
        let test = try self.opened()
        try test.send(self.query(2, session: 1, window: 100))
        test.session.sink.write(atLeast: 200) { _ in 200 }
        #expect(!test.session.sink.endPart(more: more))
        let needed = UInt64(RowsEnvelope(requestID: 2).size(bodySize: 200))
        #expect(
            try test.envelopes()
                == [Response(requestID: 2, body: .blocked(BlockedResponse(bytesNeeded: needed)))])
        try test.send(Request(body: .grant(GrantRequest(requestID: 2, bytes: needed - 100))))
        #expect(try test.envelopes() == [Response(requestID: 2, body: .rows(RowsResponse()))])
        #expect(test.session.resumes == (more ? 1 : 0))
    }

    @Test func cancellingWhatHoldsItsLastPart() throws {
        let test = try self.opened()
        try test.send(self.query(2, session: 1, window: 0))
        test.session.sink.write(atLeast: 10) { _ in 10 }
        #expect(!test.session.sink.endPart(more: false))
        try test.send(self.exec(3, session: 1))
        #expect(try test.envelopes().count == 1)
        try test.send(Request(body: .cancel(CancelRequest(requestID: 2))))
        #expect(try self.failure(test.envelopes(), id: 2).code == FailureCode.interrupted)
        #expect(test.session.runs.count == 2)
    }

    @Test func blockedSessionDelaysNoOther() throws {
        let test = try self.opened()
        try test.send(self.query(2, session: 1, window: 0))
        test.session.produce(parts: [1000, 1000])
        #expect(try test.envelopes().count == 1)
        try test.send(self.query(3, session: 2))
        test.session.produce(parts: [1000, 1000, 1000])
        #expect(try test.envelopes().map(\.requestID) == [3, 3, 3])
    }

    /// A result that goes on after a pause, and finds its own window used up, lets those go on that wait behind it.
    @Test func blockedResultGivesItsPlaceUp() throws {
        let test = try self.opened { $0.pendingBytesPerConnection = 1 << 16 }
        test.gate.isClosed = true
        try test.send(self.query(2, session: 1, window: .max))
        test.session.produce(parts: [1 << 16])
        // Each sends its one part and waits; what it may send after that is not enough for another.
        let parts = [60_000, 60_000]
        for id: UInt64 in 3...6 {
            try test.send(self.query(id, session: id, window: 61_000))
            test.session.produce(parts: parts)
        }
        try test.send(self.query(7, session: 7, window: .max))
        test.session.produce(parts: parts)
        test.gate.open()
        #expect(try test.envelopes().filter { $0.requestID == 7 }.count == 2)
    }

    /// The engine is told what belongs to a transaction.
    @Test func requestsOfATransaction() throws {
        let test = try self.opened()
        var request = self.exec(2, session: 1)
        request.inTransaction = true
        try test.send(request)
        #expect(test.session.runs.last?.requiresTransaction == true)
        try test.send(self.exec(3, session: 2))
        #expect(test.session.runs.last?.requiresTransaction == false)
    }

    @Test func refusedSessionsAreForgotten() throws {
        let test = try self.connected { $0.sessionsPerConnection = 2 }
        for session: UInt64 in 1...5 {
            // There is no database to work on.
            try test.send(self.exec(1, session: session))
            #expect(try self.failure(test.envelopes(), id: 1).code == FailureCode.notFound)
        }
        for session: UInt64 in 6...7 {
            try test.send(Request(requestID: 1, sessionID: session, body: .open(OpenRequest(name: "test"))))
            #expect(try test.envelopes().map(\.body) == [.database(DatabaseResponse())])
        }
        try test.send(Request(requestID: 1, sessionID: 8, body: .open(OpenRequest(name: "test"))))
        #expect(try self.failure(test.envelopes(), id: 1).code == FailureCode.busy)
    }

    @Test func criticalFieldOfACancel() throws {
        let test = try self.opened()
        let cancel = Request(body: .cancel(CancelRequest(requestID: 2)))
        var bytes = ByteBuffer()
        let envelope = cancel.protobufBytes() + [15 << 3, 1]
        bytes.writeBytes([UInt8(envelope.count)] + envelope)
        try test.send(bytes)
        #expect(try self.failure(test.envelopes(), id: 0).message.contains("field 15"))
    }

    @Test func rowAboveTheLimit() throws {
        let test = try self.opened { $0.frameSize = 1 << 16 }
        try test.send(self.query(2, session: 1, window: .max))
        test.session.produce(parts: [1 << 17])
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try self.failure(test.envelopes(), id: 2).code == FailureCode.tooBig)
    }

    /// However many results are on their way, only so much of them waits for a reader that does not read.
    @Test func resultsWaitForTheirReader() throws {
        let test = try self.opened { $0.pendingBytesPerConnection = 1 << 16 }
        test.gate.isClosed = true
        for session: UInt64 in 1...3 {
            try test.send(self.query(1 + session, session: session, window: .max))
            test.session.produce(parts: [Int](repeating: 16 << 10, count: 100))
        }
        var count = 0
        while test.gate.heldWrites > 0 {
            #expect(test.gate.heldWrites <= 4 + 3)
            test.gate.open(1)
            count += try test.envelopes().count
        }
        #expect(count == 300)
    }

    // MARK: Taking back

    @Test func cancel() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1))
        try test.send(self.exec(3, session: 1))
        try test.send(Request(body: .cancel(CancelRequest(requestID: 3))))
        let waiting = try self.failure(test.envelopes(), id: 3)
        #expect(waiting.code == FailureCode.interrupted)
        #expect(waiting.outcome == .notCommitted)
        try test.send(Request(body: .cancel(CancelRequest(requestID: 2))))
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try self.failure(test.envelopes(), id: 2).code == FailureCode.interrupted)
        try test.send(Request(body: .cancel(CancelRequest(requestID: 2))))
        try test.send(Request(body: .cancel(CancelRequest(requestID: 77))))
        #expect(try test.envelopes().isEmpty)
        #expect(test.session.runs.count == 1)
    }

    @Test func interrupt() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1))
        try test.send(Request(requestID: 3, sessionID: 1, body: .interrupt(InterruptRequest())))
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        let answers = try test.envelopes()
        #expect(answers.map(\.requestID) == [2, 3])
        #expect(answers[1].body == .empty(EmptyResponse()))
    }

    @Test func deadlines() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1, timeout: 100))
        #expect(test.session.runs[0].timeout == .milliseconds(100))
        try test.send(self.exec(3, session: 1, timeout: 50))
        try test.send(self.exec(4, session: 1, timeout: 500))
        test.channel.embeddedEventLoop.advanceTime(by: .milliseconds(50))
        #expect(try self.failure(test.envelopes(), id: 3).outcome == .notCommitted)
        test.channel.embeddedEventLoop.advanceTime(by: .milliseconds(50))
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try self.failure(test.envelopes(), id: 2).code == FailureCode.interrupted)
        // What is left of the time goes to the engine.
        #expect(test.session.runs[1].timeout == .milliseconds(400))
    }

    // MARK: The end

    @Test func closingTheConnectionClosesTheSessions() throws {
        let test = try self.opened()
        for session: UInt64 in 1...3 { try test.send(self.exec(1 + session, session: session)) }
        #expect(try test.channel.finish().isClean)
        #expect(!test.storage.sessions.contains { !$0.isClosed })
        for session in test.storage.sessions { session.runs.last?.sink.result(ResultResponse()) }
        test.channel.embeddedEventLoop.run()
    }

    @Test func shutdown() throws {
        let test = try self.opened()
        try test.send(self.exec(2, session: 1))
        try test.send(self.exec(3, session: 1))
        test.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.drain)
        #expect(try self.failure(test.envelopes(), id: 3).outcome == .notCommitted)
        try test.send(self.exec(4, session: 2))
        #expect(try self.failure(test.envelopes(), id: 4).outcome == .notCommitted)
        #expect(test.channel.isActive)
        test.session.sink.result(ResultResponse())
        #expect(try test.envelopes().map(\.requestID) == [2])
        #expect(!test.channel.isActive)
        #expect(!test.storage.sessions.contains { !$0.isClosed })
    }
}
