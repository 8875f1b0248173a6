import DqliteEngine
import DqliteFraming
import DqliteProtocol
import LogSimulation
import NIOCore
import NIOEmbedded
import Synchronization
import TestSupport
import Testing

@testable import DqliteNode

struct DqliteHandlerTests {
    private func connected(
        id: UInt64 = 1, limits: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }
    ) throws -> HandlerTest {
        let test = try HandlerTest(id: id, limits: limits)
        try test.send(word: Preface.dqlite)
        return test
    }

    private func opened(limits: (inout DqliteNodeConfiguration.Limits) -> Void = { _ in }) throws -> HandlerTest {
        let test = try self.connected(limits: limits)
        #expect(try test.call(OpenRequest(name: "test")) == DatabaseResponse())
        return test
    }

    // MARK: What the node answers itself

    @Test func requestsWithoutADatabase() throws {
        let test = try self.connected()
        #expect(try test.call(ClientRequest(clientID: 9)) == WelcomeResponse(heartbeatTimeout: 15000))
        #expect(try test.call(HeartbeatRequest()) == EmptyResponse())
        #expect(try test.call(InterruptRequest()) == EmptyResponse())
        #expect(try test.call(DescribeRequest()) == MetadataResponse(failureDomain: 3, weight: 0))
        #expect(try test.call(WeightRequest(weight: 7)) == EmptyResponse())
        #expect(try test.call(DescribeRequest()) == MetadataResponse(failureDomain: 3, weight: 7))
        #expect(try test.channel.finish().isClean)
    }

    @Test func cluster() throws {
        let test = try self.connected()
        let server = Server(serverID: 1, address: "127.0.0.1:9001", role: .voter)
        #expect(try test.call(ClusterRequest(format: 0)) == ServersResponse(servers: [server]))
        #expect(try test.call(ClusterRequest(format: 1), answerRevision: 1) == ServersResponse(servers: [server]))
        let failure: FailureResponse = try test.call(ClusterRequest(format: 2))
        #expect(failure.code == FailureCode.malformedRequest)
    }

    /// dqlite answers this one twice.
    @Test func describeOfAnotherFormatIsAnsweredOnce() throws {
        let test = try self.connected()
        let failure: FailureResponse = try test.call(DescribeRequest(format: 1))
        #expect(failure.code == FailureCode.unsupportedFormat)
        #expect(failure.message == "bad format version")
    }

    @Test func membership() throws {
        let test = try self.connected()
        for request: any RequestMessage in [
            AddRequest(serverID: 1, address: "a:1"), AssignRequest(serverID: 7), RemoveRequest(serverID: 7),
        ] {
            let failure: FailureResponse = try test.call(request)
            #expect(failure.code == FailureCode.error)
        }
        for id: UInt64 in [0, 1, 2] {
            let failure: FailureResponse = try test.call(TransferRequest(serverID: id))
            #expect(failure.message == "server ID is not valid")
        }
    }

    @Test func connectCloses() throws {
        let test = try self.connected()
        try test.send(ConnectRequest(serverID: 2, address: "127.0.0.1:9002"))
        #expect(!test.channel.isActive)
        #expect(try test.received().readableBytes == 0)
    }

    @Test func nodeThatWaitsToBeAdded() throws {
        let test = try self.connected(id: 2)
        #expect(try test.call(LeaderRequest()) == ServerResponse())
        #expect(try test.call(ClusterRequest(format: 1)) == ServersResponse())
        #expect(try test.call(DescribeRequest()) == MetadataResponse(failureDomain: 3))
        let requests: [any RequestMessage] = [
            OpenRequest(name: "test"), PrepareRequest(), ExecRequest(), QueryRequest(), ExecSQLRequest(),
            QuerySQLRequest(), AddRequest(serverID: 3), AssignRequest(), RemoveRequest(), TransferRequest(),
        ]
        for request in requests {
            let failure: FailureResponse = try test.call(request)
            #expect(failure.code == FailureCode.notLeader)
            #expect(failure.message == "not leader")
        }
        let failure: FailureResponse = try test.call(FinalizeRequest())
        #expect(failure.code == FailureCode.notFound)
    }

    @Test func bootstrapIDLeads() throws {
        let test = try self.connected(id: 0x2dc1_7185_8c31_55be)
        #expect(try test.call(LeaderRequest(), ServerResponse.self).serverID == 0x2dc1_7185_8c31_55be)
    }

    @Test func dump() throws {
        let test = try self.connected()
        let files = FilesResponse(files: [
            File(name: "test", content: [UInt8](repeating: 7, count: 4096)), File(name: "test-wal"),
        ])
        test.storage.files.withLock { $0 = .success(files) }
        #expect(try test.call(DumpRequest(name: "test")) == files)
        test.storage.files.withLock { $0 = .failure(EngineError(code: 1002, message: "no such database")) }
        #expect(try test.call(DumpRequest(name: "other"), FailureResponse.self).code == 1002)
    }

    @Test func `Who has a session on databases that were replaced is told so, and has to connect again`() throws {
        let test = try self.opened()
        test.storage.sessions[0].state.withLock { $0.isOver = true }
        let failure: FailureResponse = try test.call(ExecSQLRequest(sql: "x"))
        #expect(failure.code == FailureCode.cannotOpen)
        #expect(failure.message.contains("receiving a copy"))
        #expect(!test.channel.isActive)
        #expect(test.storage.sessions[0].runs.isEmpty && test.storage.sessions[0].isClosed)
    }

    /// A dump counts until its reader has taken it.
    @Test func dumpsAreLimited() throws {
        let test = try self.connected { $0.dumps = 1 }
        test.gate.isClosed = true
        try test.send(DumpRequest(name: "test"))
        try test.send(DumpRequest(name: "test"))
        test.gate.open()
        let frames = try test.frames()
        #expect(frames.map(\.header.code) == [ResponseCode.files.rawValue, ResponseCode.failure.rawValue])
        #expect(try frames[1].message(FailureResponse.self).code == FailureCode.busy)
        #expect(try test.call(DumpRequest(name: "test")) == FilesResponse())
    }

    // MARK: Requests that are wrong

    @Test func withoutADatabase() throws {
        let test = try self.connected()
        let requests: [any RequestMessage] = [
            PrepareRequest(), ExecRequest(), QueryRequest(), ExecSQLRequest(), QuerySQLRequest(), FinalizeRequest(),
        ]
        for request in requests {
            let failure: FailureResponse = try test.call(request)
            #expect(failure.code == FailureCode.notFound)
            #expect(failure.message == "no database opened")
        }
    }

    @Test func secondOpen() throws {
        let test = try self.opened()
        let failure: FailureResponse = try test.call(OpenRequest(name: "test"))
        #expect(failure.code == FailureCode.busy)
        #expect(failure.message == "a database for this connection is already open")
    }

    @Test func openAfterOneThatFailed() throws {
        let test = try self.connected()
        #expect(try test.call(OpenRequest(name: "refused"), FailureResponse.self).code == FailureCode.cannotOpen)
        #expect(try test.call(OpenRequest(name: "test")) == DatabaseResponse())
    }

    @Test(arguments: [20, 42, 255] as [UInt8])
    func unknownRequest(code: UInt8) throws {
        let test = try self.connected()
        try test.send(word: 1 | UInt64(code) << 32)
        try test.send(word: 0)
        let failure: FailureResponse = try test.answer()
        #expect(failure.code == FailureCode.malformedRequest)
        #expect(failure.message == "unrecognized request type")
        #expect(try test.call(LeaderRequest(), ServerResponse.self).serverID == 1)
    }

    @Test func unknownRevision() throws {
        let test = try self.opened()
        for request in RequestCode.all {
            try test.send(word: 1 | UInt64(request.code.rawValue) << 32 | UInt64(request.highestRevision + 1) << 40)
            try test.send(word: 0)
            let failure: FailureResponse = try test.answer()
            #expect(failure.code == (request.highestRevision == 0 ? FailureCode.malformedRequest : FailureCode.error))
            #expect(failure.message == "unrecognized schema version")
        }
    }

    /// The eight zeros that end the process of an old dqlite, and hang a connection of a new one.
    @Test func emptyBodies() throws {
        let test = try self.connected()
        for request in RequestCode.all where !request.code.isForEngine {
            try test.send(word: UInt64(request.code.rawValue) << 32)
            let failure: FailureResponse = try test.answer()
            #expect(failure.code == FailureCode.malformedRequest)
        }
        #expect(try test.call(LeaderRequest(), ServerResponse.self).serverID == 1)
    }

    @Test func textWithoutEnd() throws {
        let test = try self.connected()
        try test.send(word: 1 | UInt64(RequestCode.open.rawValue) << 32)
        try test.send(word: 0x6161_6161_6161_6161)
        let failure: FailureResponse = try test.answer()
        #expect(failure.code == FailureCode.malformedRequest)
        #expect(test.channel.isActive)
    }

    @Test func frameAboveTheLimitCloses() throws {
        let test = try self.connected { $0.frameSize = 4096 }
        try test.send(word: 513)
        #expect(!test.channel.isActive)
    }

    /// Random bytes are answered or end the connection; they do nothing else.
    @Test(arguments: 0..<200 as Range<UInt64>)
    func garbage(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let test = try self.opened { $0.frameSize = 1 << 16 }
        for _ in 0..<20 where test.channel.isActive {
            var buffer = ByteBuffer()
            let words = Int(random.next() % 6)
            if random.next() % 4 != 0 {
                // A header that fits, so that what follows is taken for a body.
                buffer.writeInteger(
                    UInt64(words) | (random.next() % 22) << 32 | (random.next() % 3) << 40, endianness: .little)
            }
            for _ in 0..<words { buffer.writeInteger(random.next() >> (random.next() % 64), endianness: .little) }
            try? test.send(buffer)
            for session in test.storage.sessions { if let run = session.runs.last { run.sink.empty() } }
        }
        _ = try test.received()
        _ = try? test.channel.finish()
        #expect(!test.storage.sessions.contains { !$0.isClosed })
    }

    // MARK: Requests for the engine

    @Test func pipelinedRequestsRunInTurn() throws {
        let test = try self.opened()
        for sql in ["a", "b", "c"] { try test.send(ExecSQLRequest(sql: sql)) }
        for index in 0..<3 {
            #expect(test.session.runs.count == index + 1)
            test.session.sink.result(ResultResponse(lastInsertRowID: Int64(index)))
            let frames = try test.frames()
            #expect(frames.count == 1)
            #expect(try frames[0].message(ResultResponse.self).lastInsertRowID == Int64(index))
        }
        #expect(test.session.runs.count == 3)
    }

    @Test func answersOfTheEngine() throws {
        let test = try self.opened()
        try test.send(PrepareRequest(sql: "SELECT 1; SELECT 2"), revision: 1)
        #expect(test.session.runs[0].revision == 1)
        let statement = StatementResponse(statementID: 4, parameterCount: 2, tailOffset: 9)
        test.session.sink.statement(statement)
        var frame = try #require(try test.frames().first)
        #expect(frame.header.revision == 1)
        #expect(try frame.message(revision: 1) == statement)

        try test.send(PrepareRequest(sql: "SELECT 1"))
        test.session.sink.statement(statement)
        frame = try #require(try test.frames().first)
        #expect(frame.header.revision == 0)
        #expect(try frame.message() == StatementResponse(statementID: 4, parameterCount: 2))

        try test.send(FinalizeRequest(statementID: 4))
        test.session.sink.empty()
        #expect(try test.answer() == EmptyResponse())

        try test.send(ExecSQLRequest(sql: "x"))
        test.session.sink.failure(EngineError(code: 2067, message: "near \"\0\": nonsense", outcome: .notCommitted))
        #expect(
            try test.answer() == FailureResponse(code: 2067, message: "near \""))
    }

    @Test func resultInParts() throws {
        let test = try self.opened()
        try test.send(QuerySQLRequest(sql: "x"))
        test.session.produce(parts: [80, 160, 8])
        let frames = try test.frames()
        #expect(frames.map(\.header.code) == [7, 7, 7])
        #expect(frames.map(\.body.readableBytes) == [80, 160, 8])
    }

    /// The engine drops a part that it has begun when the next row fails: nothing of it reaches the client.
    @Test func failureInsteadOfAPart() throws {
        let test = try self.opened()
        try test.send(QuerySQLRequest(sql: "x"))
        test.session.sink.write(atLeast: 8) { _ in 8 }
        #expect(test.session.sink.endPart(more: true))
        test.session.sink.write(atLeast: 80) { _ in 80 }
        test.session.sink.failure(EngineError(code: 1, message: "integer overflow"))
        let frames = try test.frames()
        #expect(frames.map(\.body.readableBytes) == [8, 32])
        #expect(try frames[1].message() == FailureResponse(code: 1, message: "integer overflow"))
    }

    @Test func rowAboveTheLimit() throws {
        let test = try self.opened { $0.frameSize = 1 << 16 }
        try test.send(QuerySQLRequest(sql: "x"))
        test.session.produce(parts: [1 << 17])
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try test.answer(FailureResponse.self).code == FailureCode.tooBig)
    }

    @Test func interruptEndsAResult() throws {
        let test = try self.opened { $0.pendingBytesPerConnection = 1 << 16 }
        test.gate.isClosed = true
        try test.send(QuerySQLRequest(sql: "x"))
        test.session.produce(parts: [UInt64](repeating: 1 << 15, count: 100).map(Int.init))
        try test.send(InterruptRequest())
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        test.gate.open()
        let frames = try test.frames()
        #expect(frames.map(\.header.code) == [7, 7, 8])
        try test.send(LeaderRequest())
        #expect(try test.frames().map(\.header.code) == [1])
    }

    @Test func interruptedExecIsAnswered() throws {
        let test = try self.opened()
        try test.send(ExecSQLRequest(sql: "x"))
        try test.send(InterruptRequest())
        test.session.endInterrupted()
        let frames = try test.frames()
        #expect(frames.map(\.header.code) == [0, 8])
        #expect(try frames[0].message(FailureResponse.self).code == FailureCode.interrupted)
    }

    @Test func interruptThatComesWithItsRequest() throws {
        let test = try self.opened()
        var both = ByteBuffer()
        try both.writeDqliteRequest(QuerySQLRequest(sql: "x"))
        try both.writeDqliteRequest(InterruptRequest())
        try test.send(both)
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try test.frames().map(\.header.code) == [0, 8])
    }

    // MARK: Flow

    /// However long a result is, only so much of it waits for a reader that does not read.
    @Test func resultWaitsForItsReader() throws {
        let test = try self.opened { $0.pendingBytesPerConnection = 1 << 16 }
        test.gate.isClosed = true
        try test.send(QuerySQLRequest(sql: "x"))
        let size = 1 << 14
        test.session.produce(parts: [Int](repeating: size - FrameHeader.size, count: 1000))
        test.channel.embeddedEventLoop.run()
        #expect(test.gate.heldWrites == 4)
        var count = 0
        while test.gate.heldWrites > 0 {
            #expect(test.gate.heldWrites <= 4)
            test.gate.open(1)
            count += try test.frames().count
        }
        #expect(count == 1000)
    }

    /// Memory of requests that are done is given up, even if the next one has always begun already.
    @Test func receivedBytesAreGivenUp() throws {
        var buffer = ByteBuffer()
        for _ in 0..<10_000 {
            buffer.receive(ByteBuffer(repeating: 0, count: 1000))
            if buffer.readableBytes > 1000 { buffer.moveReaderIndex(forwardBy: buffer.readableBytes - 1) }
        }
        #expect(buffer.capacity < 16_384)
    }

    @Test func readingStopsAtTheLimit() throws {
        let test = try self.opened { $0.queuedRequests = 2 }
        var requests = ByteBuffer()
        for _ in 0..<10 { try requests.writeDqliteRequest(ExecSQLRequest(sql: "x")) }
        let reads = test.gate.reads
        try test.send(requests)
        test.channel.read()
        #expect(test.gate.reads == reads)
        for _ in 0..<10 {
            test.session.sink.result(ResultResponse())
            _ = try test.received()
        }
        #expect(test.session.runs.count == 10)
        #expect(test.gate.reads > reads)
    }

    @Test func nothingStartsWhileTheChannelIsFull() throws {
        let test = try self.connected()
        test.channel.isWritable = false
        test.channel.pipeline.fireChannelWritabilityChanged()
        try test.send(LeaderRequest())
        #expect(try test.received().readableBytes == 0)
        test.channel.isWritable = true
        test.channel.pipeline.fireChannelWritabilityChanged()
        #expect(try test.frames().count == 1)
    }

    // MARK: The end

    @Test func closingTheConnectionClosesTheSession() throws {
        let test = try self.opened()
        try test.send(ExecSQLRequest(sql: "x"))
        let session = test.session
        #expect(try test.channel.finish().isClean)
        #expect(session.isClosed)
        // The engine may be a moment late.
        session.sink.result(ResultResponse())
        test.channel.embeddedEventLoop.run()
    }

    @Test func shutdownWaitsForWhatRuns() throws {
        let test = try self.opened()
        try test.send(ExecSQLRequest(sql: "a"))
        try test.send(ExecSQLRequest(sql: "b"))
        test.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.drain)
        #expect(test.channel.isActive)
        #expect(test.session.interrupts == 0)
        test.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.interrupt)
        #expect(test.session.interrupts == 1)
        test.session.endInterrupted()
        #expect(try test.frames().count == 1)
        #expect(!test.channel.isActive)
        #expect(test.session.isClosed)
        #expect(test.session.runs.count == 1)
    }

    @Test func shutdownClosesWhatIsIdle() throws {
        let test = try self.opened()
        test.channel.pipeline.fireUserInboundEventTriggered(ShutdownEvent.drain)
        #expect(!test.channel.isActive)
        #expect(test.session.isClosed)
    }
}
