import DqliteFraming
import DqliteProtocol
import NIOCore
import NIOEmbedded
import Testing

@testable import DqliteClient

@Suite struct ConnectionHandlerTests {
    @Test func `The first packet in the dqlite encoding, byte for byte`() async throws {
        let test = try await TestConnection(.dqlite)
        async let result = test.connection.execute("INSERT INTO t VALUES (\(7))")
        let preface = try await test.channel.waitForOutboundWrite(as: ByteBuffer.self)
        let request = try await test.channel.waitForOutboundWrite(as: ByteBuffer.self)
        #expect([UInt8](buffer: preface) == [1, 0, 0, 0, 0, 0, 0, 0])
        #expect(
            [UInt8](buffer: request)
                // 7 words, ExecSQL; database 0; SQL with NUL and padding; one parameter of type 1; its value.
                == [7, 0, 0, 0, 8, 0, 0, 0] + [0, 0, 0, 0, 0, 0, 0, 0] + Array("INSERT INTO t VALUES (?)".utf8)
                + [0, 0, 0, 0, 0, 0, 0, 0] + [1, 1, 0, 0, 0, 0, 0, 0] + [7, 0, 0, 0, 0, 0, 0, 0])
        try await test.channel.writeInbound(
            ByteBuffer(bytes: [2, 0, 0, 0, 6, 0, 0, 0] + [5, 0, 0, 0, 0, 0, 0, 0] + [1, 0, 0, 0, 0, 0, 0, 0]))
        #expect(try await result == DqliteExecuteResult(lastInsertRowID: 5, changes: 1))
    }

    @Test func `The first packet in the protobuf encoding, byte for byte`() async throws {
        let test = try await TestConnection(.protobuf)
        async let result = test.connection.execute("DELETE FROM t")
        let preface = try await test.channel.waitForOutboundWrite(as: ByteBuffer.self)
        let request = try await test.channel.waitForOutboundWrite(as: ByteBuffer.self)
        #expect([UInt8](buffer: preface) == Array("dqlitep1".utf8))
        #expect(
            [UInt8](buffer: request)
                // Length; id 2; session 1; 5000 ms; field 28, which is ExecSQL: field 2, which is its SQL.
                == [25, 0x08, 2, 0x10, 1, 0x18, 0x88, 0x27, 0xe2, 0x01, 15, 0x12, 13]
                + Array("DELETE FROM t".utf8))
        // Length; id 2; field 26, which is Result: rowid 5, 1 row.
        try await test.channel.writeInbound(ByteBuffer(bytes: [9, 0x08, 2, 0xd2, 0x01, 4, 0x08, 5, 0x10, 1]))
        #expect(try await result == DqliteExecuteResult(lastInsertRowID: 5, changes: 1))
    }

    @Test(arguments: bothEncodings)
    func `Answers are the same, whatever pieces they come in`(_ encoding: WireEncoding) async throws {
        var bytes = try frame(part(0..<3, more: true), in: encoding)
        bytes.writeImmutableBuffer(
            try frame(part(3..<5, named: encoding == .dqlite ? ["n"] : []), in: encoding))
        for split in 0...bytes.readableBytes {
            let test = try await TestConnection(encoding)
            async let numbers = test.connection.query("SELECT n FROM t").decode(Int.self).collect()
            _ = try await test.next()
            try await test.channel.writeInbound(bytes.getSlice(at: 0, length: split)!)
            try await test.channel.writeInbound(bytes.getSlice(at: split, length: bytes.readableBytes - split)!)
            #expect(try await numbers == [0, 1, 2, 3, 4], "split at \(split)")
        }
        let test = try await TestConnection(encoding)
        async let numbers = test.connection.query("SELECT n FROM t").decode(Int.self).collect()
        _ = try await test.next()
        for byte in bytes.readableBytesView { try await test.channel.writeInbound(ByteBuffer(bytes: [byte])) }
        #expect(try await numbers == [0, 1, 2, 3, 4])
    }

    @Test func `The channel is not read while nobody reads the rows`() async throws {
        let test = try await TestConnection(.dqlite) { $0.resultWindow = 8192 }
        async let sequence = test.connection.query("SELECT n FROM t")
        let request = try await test.next()
        try await test.answer(request, part(0..<300, more: true))
        let rows = try await sequence
        #expect(test.reads.value == 2)
        try await test.answer(request, part(300..<600, more: true))
        // 9664 bytes are unread.
        #expect(test.reads.value == 2)

        var iterator = rows.makeAsyncIterator()
        for _ in 0..<301 { _ = try await iterator.next() }
        await test.channel.testingEventLoop.run()
        #expect(test.reads.value == 3)
        for _ in 301..<600 { _ = try await iterator.next() }
        try await test.answer(request, part(600..<601))
        #expect(try await iterator.next()?.decode(Int.self) == 600)
        #expect(try await iterator.next() == nil)
    }

    @Test func `What is asked for at a time goes out together`() async throws {
        let test = try await TestConnection(.protobuf)
        let requester = test.connection.requester
        try await test.channel.testingEventLoop.executeInContext {
            for id in 0..<10 {
                requester.post(
                    FinalizeRequest(databaseID: 0, statementID: UInt32(id)), as: Request.Body.finalize,
                    for: EmptyResponse.self)
            }
        }
        #expect(try await test.sent().count == 10)
        // The first one does not wait for others that may come.
        #expect(test.reads.flushes == 2)
    }

    @Test func `The node is granted what was read`() async throws {
        let test = try await TestConnection(.protobuf) { $0.resultWindow = 8192 }
        async let sequence = test.connection.query("SELECT n FROM t")
        let request = try await test.next()
        #expect(request.window == 8192)
        let first = part(0..<1000, more: true)
        let size = try frame(first, in: .protobuf).readableBytes
        try await test.answer(request, first)
        let rows = try await sequence
        #expect(try await test.sent().isEmpty)
        var iterator = rows.makeAsyncIterator()
        for _ in 0..<1000 { _ = try await iterator.next() }
        #expect(try await test.sent().isEmpty)
        try await test.answer(request, part([7], more: true, named: []))
        #expect(try await iterator.next()?.decode(Int.self) == 7)
        let grant = try await test.next()
        guard case .grant(let message) = grant.body else {
            Issue.record("\(grant)")
            return
        }
        #expect(message == GrantRequest(requestID: request.requestID, bytes: UInt64(size)))
        #expect(grant.requestID % 2 == 1)
        try await test.answer(request, part([], named: []))
        #expect(try await iterator.next() == nil)
        #expect(try await test.sent().isEmpty)
    }

    @Test(arguments: bothEncodings)
    func `Who is cancelled goes on at once, and the node is told`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let write = Task { try await test.connection.execute("DELETE FROM t") }
        let request = try await test.next()
        write.cancel()
        let error = await #expect(throws: DqliteError.self) { try await write.value }
        #expect(error?.code == .cancelled && error?.outcome == .unknown)
        #expect(error?.sql == "DELETE FROM t")
        #expect(try await test.next().isTakingBack)

        // The connection is as good as before.
        async let next = test.connection.execute("SELECT 1")
        if encoding == .dqlite {
            try await test.answer(request, failure(9, "interrupted"))
            try await test.answer(request, .empty(EmptyResponse()))
        } else {
            try await test.answer(request, failure(9, "interrupted"))
        }
        try await test.expect("SELECT 1", done)
        _ = try await next
    }

    @Test(arguments: bothEncodings)
    func `Who is cancelled before sends nothing`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let write = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            try await test.connection.execute("DELETE FROM t")
        }
        let error = await #expect(throws: DqliteError.self) { try await write.value }
        #expect(error?.code == .cancelled && error?.outcome == .notCommitted)
        let query = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            _ = try await test.connection.query("SELECT 1")
        }
        await #expect(throws: DqliteError.self) { try await query.value }
        await test.channel.testingEventLoop.run()
        #expect(try await test.channel.readOutbound(as: ByteBuffer.self) == nil)
    }

    @Test(arguments: bothEncodings)
    func `A loop over rows that is left stops the query`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let loop = Task {
            for try await row in try await test.connection.query("SELECT n FROM t") {
                return try row.decode(Int.self)
            }
            return -1
        }
        let request = try await test.next()
        try await test.answer(request, part(0..<3, more: true))
        #expect(try await loop.value == 0)
        #expect(try await test.next().isTakingBack)
    }

    @Test(arguments: bothEncodings)
    func `Rows that nobody begins to read stop the query`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let query = Task { try await test.connection.query("SELECT n FROM t").columns.names }
        let request = try await test.next()
        try await test.answer(request, part(0..<3, more: true))
        #expect(try await query.value == ["n"])
        #expect(try await test.next().isTakingBack)
    }

    @Test(arguments: bothEncodings)
    func `Rows that were read to the end leave nothing to stop`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let numbers = test.connection.query("SELECT n FROM t").decode(Int.self).collect()
        let request = try await test.next()
        try await test.answer(request, part(0..<3))
        #expect(try await numbers == [0, 1, 2])
        #expect(try await test.sent().isEmpty)
    }

    @Test(arguments: bothEncodings)
    func `Who is cancelled while it waits for rows goes on at once`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let loop = Task {
            var count = 0
            do {
                for try await _ in try await test.connection.query("SELECT n FROM t") {
                    count += 1
                    if count == 3 { withUnsafeCurrentTask { $0?.cancel() } }
                }
                return (count, nil as DqliteError?)
            } catch {
                return (count, error as? DqliteError)
            }
        }
        let request = try await test.next()
        try await test.answer(request, part(0..<3, more: true))
        let (count, error) = await loop.value
        #expect(count == 3 && error?.code == .cancelled)
        #expect(try await test.next().isTakingBack)
    }

    @Test(arguments: bothEncodings)
    func `An error after the first rows is thrown after them`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        async let sequence = test.connection.query("SELECT n FROM t")
        let request = try await test.next()
        try await test.answer(request, part(0..<3, more: true))
        try await test.answer(request, failure(1, "integer overflow"))
        var iterator = try await sequence.makeAsyncIterator()
        for number in 0..<3 { #expect(try await iterator.next()?.decode(Int.self) == number) }
        let error = await #expect(throws: DqliteError.self) { try await iterator.next() }
        #expect(error?.server == .init(extendedResultCode: 1, message: "integer overflow"))
        #expect(try await iterator.next() == nil)
    }

    @Test(arguments: bothEncodings)
    func `Time passes without an answer`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding) { $0.callTimeout = .seconds(3) }
        let write = Task { try await test.connection.execute("DELETE FROM t", options: .init(timeout: .seconds(2))) }
        let request = try await test.next()
        if encoding == .protobuf { #expect(request.timeoutMilliseconds == 2000) }
        await test.channel.testingEventLoop.advanceTime(by: .milliseconds(1999))
        #expect(try await test.sent().isEmpty)
        await test.channel.testingEventLoop.advanceTime(by: .milliseconds(1))
        #expect(try await test.next().isTakingBack)
        // The node may still say what became of it.
        if encoding == .protobuf { await test.channel.testingEventLoop.advanceTime(by: .seconds(1)) }
        let error = await #expect(throws: DqliteError.self) { try await write.value }
        #expect(error?.code == .deadlineExceeded && error?.outcome == .unknown)
    }

    @Test(arguments: bothEncodings)
    func `What was told to be not committed is not sent afterwards`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let channel = test.channel
        func submit(_ id: UInt64, _ completion: Completion<ReceivedAnswer>) async throws {
            var bytes = ByteBuffer()
            let message = ExecSQLRequest(sql: "DELETE FROM t\(id)")
            if encoding == .dqlite {
                try bytes.writeDqliteRequest(message)
            } else {
                bytes.writeEnvelope(Request(requestID: id, sessionID: 1, body: .execSQL(message)))
            }
            let request = OutgoingRequest(
                id: id, bytes: bytes, answer: .result, canBeInterrupted: true, mayWrite: true, sessionID: 1)
            try await channel.testingEventLoop.executeInContext {
                try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self)
                    .submit(request, reply: .answer(completion))
            }
        }
        // Behind a result that is being read, in either encoding, the second request waits in the client.
        async let rows = test.connection.query("SELECT n FROM t")
        let query = try await test.next()
        try await test.answer(query, part(0..<3, more: true))
        let sequence = try await rows
        let cancelled = Completion<ReceivedAnswer>(mayWrite: true)
        try await submit(100, cancelled)
        // Word of the cancellation does not reach the event loop before the end of the result does.
        let waiting = Task { await cancelled.wait(onCancel: {}) }
        waiting.cancel()
        let error = await #expect(throws: DqliteError.self) { try await waiting.value.get() }
        #expect(error?.code == .cancelled && error?.outcome == .notCommitted)
        let next = Completion<ReceivedAnswer>(mayWrite: true)
        try await submit(102, next)
        try await test.answer(query, part(3..<4, named: encoding == .dqlite ? ["n"] : []))
        #expect(try await sequence.decode(Int.self).collect() == [0, 1, 2, 3])
        #expect(try await test.sent().map(\.sql) == ["DELETE FROM t102"])
    }

    @Test(arguments: bothEncodings)
    func `Memory of what was read is given back although a frame is always begun`(
        _ encoding: WireEncoding
    ) async throws {
        let test = try await TestConnection(encoding)
        async let numbers = test.connection.query("SELECT n FROM t").decode(Int.self).collect()
        let request = try await test.next()
        var stream = ByteBuffer()
        for number in 0..<200 {
            let names = encoding == .dqlite || number == 0 ? ["n"] : []
            stream.writeImmutableBuffer(
                try frame(part(0..<20, more: number < 199, named: names), to: request.requestID, in: encoding))
        }
        // Each read ends in the middle of a frame.
        let size = stream.readableBytes / 200
        var largest = 0
        try await test.channel.writeInbound(stream.readSlice(length: size / 2)!)
        while stream.readableBytes > 0 {
            try await test.channel.writeInbound(stream.readSlice(length: min(size, stream.readableBytes))!)
            let capacity = try await test.channel.testingEventLoop.executeInContext { [channel = test.channel] in
                let handler = try channel.pipeline.syncOperations.handler(type: ConnectionHandler.self)
                return handler.inbound.capacity
            }
            largest = max(largest, capacity)
        }
        #expect(largest < 16 * size)
        #expect(try await numbers.count == 4000)
    }

    @Test(arguments: bothEncodings)
    func `A request above what a node takes is refused before it is sent`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let blob = ByteBuffer(repeating: 7, count: 64 << 20)
        let error = await #expect(throws: DqliteError.self) {
            try await test.connection.execute("INSERT INTO t VALUES (\(blob))")
        }
        #expect(error?.code == .invalidQuery && error?.outcome == .notCommitted)
        #expect(try await test.sent().isEmpty)
    }

    @Test func `The dqlite encoding does not pass over how current a read is to be`() async throws {
        let test = try await TestConnection(.dqlite)
        let options = DqliteCallOptions(readConsistency: .linearizable)
        let error = await #expect(throws: DqliteError.self) {
            try await test.connection.query("SELECT 1", options: options)
        }
        #expect(error?.code == .invalidQuery)
        #expect(try await test.sent().isEmpty)
    }

    @Test(arguments: bothEncodings)
    func `Rows that are not what they should be end the connection`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let numbers = Task { try await test.connection.query("SELECT n FROM t").collect() }
        let request = try await test.next()
        var bytes = try frame(part(0..<2), to: request.requestID, in: encoding)
        switch encoding {
        // The type code of the first row becomes one that does not exist.
        case .dqlite: bytes.setInteger(0xd, at: 24, as: UInt8.self)
        // The key of the first value becomes a group.
        case .protobuf: bytes.setInteger(0x0b, at: bytes.writerIndex - 2, as: UInt8.self)
        }
        try await test.channel.writeInbound(bytes)
        let error = await #expect(throws: DqliteError.self) { try await numbers.value }
        #expect(error?.code == .protocolViolation)
        try await test.channel.closeFuture.get()
        let next = await #expect(throws: DqliteError.self) { try await test.connection.execute("SELECT 1") }
        #expect(next?.code == .protocolViolation || next?.code == .connectionClosed)
    }

    @Test(arguments: bothEncodings)
    func `The connection is lost`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let write = Task { try await test.connection.execute("DELETE FROM t") }
        _ = try await test.next()
        try await test.channel.close()
        let error = await #expect(throws: DqliteError.self) { try await write.value }
        #expect(error?.code == .connectionClosed && error?.outcome == .unknown)
        let next = await #expect(throws: DqliteError.self) { try await test.connection.execute("SELECT 1") }
        #expect(next?.code == .connectionClosed && next?.outcome == .notCommitted)
    }

    @Test(arguments: bothEncodings)
    func `Values that cannot be carried are refused before anything is sent`(_ encoding: WireEncoding) async throws {
        let test = try await TestConnection(encoding)
        let tooLarge = await #expect(throws: DqliteError.self) {
            try await test.connection.execute("SELECT \(UInt64.max)")
        }
        #expect(tooLarge?.code == .invalidQuery && tooLarge?.message?.contains("parameter 1") == true)
        let text = Task { try await test.connection.execute("SELECT \("a\0b")") }
        if encoding == .dqlite {
            let error = await #expect(throws: DqliteError.self) { try await text.value }
            #expect(error?.code == .invalidQuery)
        } else {
            let request = try await test.next()
            guard case .execSQL(let message) = request.body else { return }
            #expect(message.parameters == [.text("a\0b")])
            try await test.answer(request, done)
            _ = try await text.value
        }
    }
}
