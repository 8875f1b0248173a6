import DqliteProtocol
import Logging
import NIOCore
import NIOPosix
import TestSupport
import Testing

@testable import DqliteClient

@Suite struct ConnectionTests {
    @Test(arguments: bothEncodings)
    func `Connecting opens the database, closing closes the socket`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding, answersOpen: false) { node in
            async let connecting = node.connect()
            let open = try await node.next()
            guard case .open(let message) = open.body else {
                Issue.record("\(open.body)")
                return
            }
            #expect(message.name == "test")
            try open.answer(.database(DatabaseResponse()))
            let connection = try await connecting
            await connection.close()
            try await open.channel.closeFuture.get()
            let error = await #expect(throws: DqliteError.self) { try await connection.execute("SELECT 1") }
            #expect(error?.code == .connectionClosed)
            await connection.close()
        }
    }

    @Test(arguments: bothEncodings)
    func `A database that cannot be opened`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding, answersOpen: false) { node in
            let connecting = Task { try await node.connect() }
            let open = try await node.next()
            try open.answer(failure(10250, "not leader", .notCommitted))
            let error = await #expect(throws: DqliteError.self) { _ = try await connecting.value }
            #expect(error?.code == .notLeader)
            try await open.channel.closeFuture.get()
        }
    }

    @Test(arguments: bothEncodings)
    func `A connection without a database opens none`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding, answersOpen: false) { node in
            let connection = try await DqliteConnection.connect(
                to: node.address, configuration: .init(encoding: encoding.configured), logger: Logger(label: "test"))
            async let files = connection.dump("one.db")
            let dump = try await node.next()
            guard case .dump(let message) = dump.body else {
                Issue.record("\(dump.body)")
                return
            }
            #expect(message.name == "one.db")
            try dump.answer(.files(FilesResponse(files: [File(name: "one.db", content: [1, 2, 3, 4, 5, 6, 7, 8])])))
            #expect(try await files.map(\.name) == ["one.db"])
            await connection.close()
        }
    }

    @Test func `Nobody listens`() async throws {
        let port = try LoopbackPort()
        defer { withExtendedLifetime(port) {} }
        let error = await #expect(throws: DqliteError.self) {
            _ = try await DqliteConnection.connect(
                to: .hostname("127.0.0.1", port: port.number), database: "test", logger: Logger(label: "test"),
                file: "F.swift", line: 1)
        }
        #expect(error?.code == .connectFailed && error?.outcome == .notCommitted && error?.file == "F.swift")
    }

    @Test func `A node that does not know the encoding`() async throws {
        try await FakeNode.with(.dqlite) { node in
            var configuration = DqliteConnectionConfiguration()
            // On a machine with too much to do.
            configuration.connectTimeout = .seconds(120)
            let patient = configuration
            let error = await #expect(throws: DqliteError.self) {
                _ = try await DqliteConnection.connect(
                    to: node.address, database: "test", configuration: patient, logger: Logger(label: "test"))
            }
            #expect(error?.code == .connectionClosed)
            #expect(error?.message?.contains("dqlite encoding only") == true)
        }
    }

    @Test func `A configuration that contradicts itself`() async throws {
        var configuration = DqliteConnectionConfiguration()
        configuration.resultWindow = 1
        let wrong = configuration
        let error = await #expect(throws: DqliteError.self) {
            _ = try await DqliteConnection.connect(
                to: .hostname("127.0.0.1", port: 1), database: "test", configuration: wrong,
                logger: Logger(label: "test"))
        }
        #expect(error?.code == .invalidConfiguration)
        let changes: [(inout DqliteConnectionConfiguration) -> Void] = [
            { $0.maximumFrameSize = 1 << 20 }, { $0.resultWindow = (64 << 20) + 1 }, { $0.interruptTimeout = .zero },
            { $0.maximumFrameSize = 65 << 20 }, { $0.callTimeout = .zero },
        ]
        for change in changes {
            var configuration = DqliteConnectionConfiguration()
            #expect(configuration.problem == nil)
            change(&configuration)
            #expect(configuration.problem != nil)
        }
    }

    @Test func `A session that could not be opened is ended on the node`() async throws {
        try await FakeNode.with(.protobuf, answersOpen: false) { node in
            let connecting = Task { try await node.connect() }
            try await node.next().answer(.database(DatabaseResponse()))
            let connection = try await connecting.value
            for isCancelled in [false, true] {
                let opening = Task { try await connection.openSession() }
                let open = try await node.next()
                if isCancelled { opening.cancel() } else { try open.answer(failure(14, "../bad", .notCommitted)) }
                await #expect(throws: DqliteError.self) { _ = try await opening.value }
                var close = try await node.next()
                if isCancelled {
                    guard case .cancel = close.body else {
                        Issue.record("\(close.body)")
                        return
                    }
                    close = try await node.next()
                }
                guard case .closeSession = close.body else {
                    Issue.record("\(close.body)")
                    return
                }
                #expect(close.request.sessionID == open.request.sessionID)
                if isCancelled { try open.answer(failure(9, "interrupted")) }
                try close.answer(.empty(EmptyResponse()))
            }
            await connection.close()
        }
    }

    @Test(arguments: bothEncodings)
    func `Connecting is cancelled while the node is silent`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding, answersOpen: false) { node in
            let connecting = Task { try await node.connect() }
            let open = try await node.next()
            connecting.cancel()
            let error = await #expect(throws: DqliteError.self) { _ = try await connecting.value }
            #expect(error?.code == .cancelled)
            try await open.channel.closeFuture.get()
        }
    }

    @Test(arguments: bothEncodings)
    func `withConnection closes the connection, whatever its closure does`(_ encoding: WireEncoding) async throws {
        struct Whim: Error {}
        try await FakeNode.with(encoding) { node in
            let configuration = DqliteConnectionConfiguration(encoding: encoding.configured)
            let task = Task {
                try await DqliteConnection.withConnection(
                    to: node.address, database: "test", configuration: configuration,
                    logger: Logger(label: "test")
                ) { connection in
                    try await connection.execute("SELECT 1")
                    throw Whim()
                }
            }
            let exchange = try await node.next()
            try exchange.answer(done)
            await #expect(throws: Whim.self) { try await task.value }
            try await exchange.channel.closeFuture.get()
        }
    }

    @Test(arguments: bothEncodings)
    func `A node that sends without end is held back by a slow reader`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding) { node in
            let connection = try await node.connect { $0.resultWindow = 64 * 1024 }
            async let sequence = connection.query("SELECT t FROM t")
            let query = try await node.next()
            let text = String(repeating: "x", count: 4000)
            func page(_ names: [String]) throws -> Response.Body {
                .rows(RowsResponse(columns: names, values: Array(repeating: .text(text), count: 4), more: true))
            }
            try query.answer(page(["t"]))
            let next = try page(encoding == .dqlite ? ["t"] : [])
            let size = try frame(next, to: query.request.requestID, in: encoding).readableBytes
            var sent = 1
            switch encoding {
            case .dqlite:
                // As much as the sockets take. They take some megabytes, and then the node has to wait.
                repeat {
                    try query.answer(next)
                    sent += 1
                } while try await isTaken(query.channel) && sent * size < 64 << 20
                #expect(sent * size < 64 << 20)
            case .protobuf:
                while (sent + 1) * size <= Int(query.request.window) {
                    try query.answer(next)
                    sent += 1
                }
            }
            let rows = try await sequence
            let reading = Task {
                var read = 0
                for try await row in rows.decode(String.self) where row == text { read += 1 }
                return read
            }
            if encoding == .protobuf {
                let grant = try await node.next()
                guard case .grant(let message) = grant.body else {
                    Issue.record("\(grant.body)")
                    return
                }
                #expect(message.bytes >= 32 * 1024)
            }
            try query.answer(
                .rows(RowsResponse(columns: encoding == .dqlite ? ["t"] : [], values: [], more: false)))
            #expect(try await reading.value == 4 * sent)
            await connection.close()
        }
    }

    @Test(arguments: bothEncodings)
    func `Many tasks share a connection`(_ encoding: WireEncoding) async throws {
        try await FakeNode.with(encoding) { node in
            let connection = try await node.connect()
            let tasks = (0..<100).map { number in
                Task { try await connection.query("SELECT \(number)").decode(Int.self).collect() }
            }
            for _ in 0..<100 {
                let exchange = try await node.next()
                guard case .querySQL(let query) = exchange.body else { continue }
                try exchange.answer(.rows(RowsResponse(columns: ["n"], values: query.parameters)))
            }
            for (number, task) in tasks.enumerated() { #expect(try await task.value == [number]) }
            await connection.close()
        }
    }

    @Test func `Sessions share a channel in the protobuf encoding`() async throws {
        try await FakeNode.with(.protobuf) { node in
            let first = try await node.connect()
            let second = try await first.openSession()
            let write = Task { try await first.execute("DELETE FROM t") }
            let slow = try await node.next()
            let read = Task { try await second.execute("SELECT 1") }
            let fast = try await node.next()
            #expect(slow.request.sessionID != fast.request.sessionID && slow.channel === fast.channel)
            try fast.answer(done)
            _ = try await read.value
            try slow.answer(done)
            _ = try await write.value

            let closing = Task { await first.close() }
            let close = try await node.next()
            guard case .closeSession = close.body else {
                Issue.record("\(close.body)")
                return
            }
            #expect(close.request.sessionID == slow.request.sessionID)
            try close.answer(.empty(EmptyResponse()))
            await closing.value
            let error = await #expect(throws: DqliteError.self) { try await first.execute("SELECT 1") }
            #expect(error?.code == .connectionClosed)
            let again = Task { try await second.execute("SELECT 1") }
            try await node.next().answer(done)
            _ = try await again.value
            await second.close()
            try await slow.channel.closeFuture.get()
        }
    }

    @Test func `Sessions have channels of their own in the dqlite encoding`() async throws {
        try await FakeNode.with(.dqlite) { node in
            let first = try await node.connect()
            let second = try await first.openSession()
            let write = Task { try await first.execute("DELETE FROM t") }
            let slow = try await node.next()
            let read = Task { try await second.execute("SELECT 1") }
            let fast = try await node.next()
            #expect(slow.channel !== fast.channel)
            try fast.answer(done)
            _ = try await read.value
            try slow.answer(done)
            _ = try await write.value
            await first.close()
            await second.close()
        }
    }
}

/// Whether the other side takes what is written: false when nothing has gone out for some turns of the event loop.
private func isTaken(_ channel: any Channel) async throws -> Bool {
    for _ in 0..<1000 {
        if try await channel.eventLoop.submit({ channel.isWritable }).get() { return true }
    }
    return false
}
