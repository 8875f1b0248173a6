import DqliteEngine
import DqliteProtocol
import DqliteWire
import Foundation
import Synchronization
import Testing

/// The bytes of a request, in one piece of memory that stays.
final class Bytes: RequestBytes {
    let bytes: [UInt8]

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body($0) }
    }
}

/// Collects what a session reports. Tests wait for what they expect; nothing sleeps.
final class CollectingSink: ResponseSink {
    enum End: Equatable {
        case result(ResultResponse)
        case statement(StatementResponse)
        case empty
        case rows
        case failure(EngineError)
    }

    struct State {
        var parts: [[UInt8]] = []
        var part: [UInt8] = []
        var end: End?
        var ends = 0
        var pauses = 0
        var blocked: [Int] = []
        var limit = Int.max
        var partCount = 0
        var byteCount = 0
        var largestPart = 0
    }

    private let condition = NSCondition()
    // Touched with the condition's lock held only.
    nonisolated(unsafe) private var state = State()
    private let pausesAfterEachPart: Bool
    private let keepsParts: Bool

    private let ended: @Sendable () -> Void

    init(
        pausesAfterEachPart: Bool = false, keepsParts: Bool = true, limit: Int = .max,
        ended: @escaping @Sendable () -> Void = {}
    ) {
        self.ended = ended
        self.pausesAfterEachPart = pausesAfterEachPart
        self.keepsParts = keepsParts
        self.state.limit = limit
    }

    private func change<Result>(_ body: (inout State) -> Result) -> Result {
        self.condition.lock()
        defer {
            self.condition.broadcast()
            self.condition.unlock()
        }
        return body(&self.state)
    }

    var now: State { self.change { $0 } }

    private func end(_ end: End) {
        self.change {
            $0.end = end
            $0.ends += 1
        }
        self.ended()
    }

    func result(_ response: ResultResponse) { self.end(.result(response)) }
    func statement(_ response: StatementResponse) { self.end(.statement(response)) }
    func empty() { self.end(.empty) }
    func failure(_ error: EngineError) { self.end(.failure(error)) }
    var partLimit: Int { self.change { $0.limit } }

    func setLimit(_ limit: Int) { self.change { $0.limit = limit } }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            count = body(UnsafeMutableRawBufferPointer(memory))
        }
        self.change { $0.part += bytes }
    }

    func endPart(more: Bool) -> Bool {
        defer { if !more { self.ended() } }
        return self.change {
            $0.byteCount += $0.part.count
            $0.partCount += 1
            $0.largestPart = max($0.largestPart, $0.part.count)
            if self.keepsParts { $0.parts.append($0.part) }
            $0.part.removeAll(keepingCapacity: true)
            if !more {
                $0.end = .rows
                $0.ends += 1
                return false
            }
            if self.pausesAfterEachPart { $0.pauses += 1 }
            return !self.pausesAfterEachPart
        }
    }

    func discardPart() { self.change { $0.part = [] } }

    func blocked(bytesNeeded: Int) { self.change { $0.blocked.append(bytesNeeded) } }

    /// Waits until the condition holds; fails the test after half a minute.
    @discardableResult
    func wait(_ comment: Comment = "the sink hears nothing", until isReached: (State) -> Bool) -> State {
        self.condition.lock()
        defer { self.condition.unlock() }
        let limit = Date(timeIntervalSinceNow: 30)
        while !isReached(self.state) {
            guard self.condition.wait(until: limit) else {
                Issue.record(comment)
                return self.state
            }
        }
        return self.state
    }

    func waitForEnd() -> End { self.wait { $0.end != nil }.end ?? .failure(EngineError(code: 0, message: "no end")) }
}

/// A result, put together from its parts.
struct Rows: Equatable {
    var columns: [String] = []
    var rows: [[Value]] = []
}

/// An engine in a directory of its own, which leads; with a log in memory.
final class TestEngine: Sendable {
    let engine: Engine
    let directory: String
    let log: MemoryReplicator
    private let ownsDirectory: Bool

    /// - Parameter earlier: An engine that is closed, or given up: this one goes on with its files and its log.
    init(
        after earlier: TestEngine? = nil, log: MemoryReplicator? = nil, leads: Bool = true,
        _ change: (inout EngineConfiguration) -> Void = { _ in }
    ) throws {
        self.directory =
            earlier?.directory
            ?? FileManager.default.temporaryDirectory.appendingPathComponent("dqlite-engine-\(UUID().uuidString)").path
        self.ownsDirectory = earlier == nil
        self.log = earlier?.log ?? log ?? MemoryReplicator()
        var configuration = EngineConfiguration(directory: self.directory)
        change(&configuration)
        self.engine = try Engine(
            configuration: configuration, replicator: self.log, checkpoints: self.log.now.checkpoints)
        try self.log.start(self.engine, leads: leads)
    }

    /// One that has run `sql`, and from now on commits when it is told to.
    static func holdingCommits(
        after sql: String, _ change: (inout EngineConfiguration) -> Void
    ) throws -> TestEngine {
        let engine = try TestEngine(change)
        try engine.session().exec(sql)
        engine.log.change { $0.commitsAtOnce = false }
        engine.log.forgetProposals()
        return engine
    }

    deinit {
        self.engine.close()
        if self.ownsDirectory { try? FileManager.default.removeItem(atPath: self.directory) }
    }

    func session(
        _ database: String = "test", _ encoding: WireEncoding = .dqlite, isStateless: Bool = false
    ) throws -> TestSession {
        TestSession(
            try self.engine.openSession(database: database, encoding: encoding, isStateless: isStateless), encoding)
    }

    func hasFile(_ name: String) -> Bool { FileManager.default.fileExists(atPath: "\(self.directory)/\(name)") }

    func dump(_ name: String) -> Result<FilesResponse, EngineError> {
        let sink = Promise<Result<FilesResponse, EngineError>>()
        self.engine.dump(database: name) { sink.fulfil($0) }
        return sink.wait()
    }
}

/// A value that comes later.
final class Promise<Value: Sendable>: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)
    private let value = Mutex<Value?>(nil)

    func fulfil(_ value: Value) {
        self.value.withLock { $0 = value }
        self.semaphore.signal()
    }

    func wait() -> Value {
        guard self.semaphore.wait(timeout: .now() + 30) == .success else {
            preconditionFailure("a promise was not kept")
        }
        return self.value.withLock { $0! }
    }
}

final class TestSession: Sendable {
    let session: EngineSession
    let encoding: WireEncoding

    init(_ session: EngineSession, _ encoding: WireEncoding) {
        self.session = session
        self.encoding = encoding
    }

    // MARK: Requests

    func bytes(_ message: some RequestMessage, revision: UInt8 = 0) throws -> Bytes {
        switch self.encoding {
        case .dqlite: Bytes(try message.dqliteBytes(revision: revision))
        case .protobuf: Bytes(message.protobufBytes())
        }
    }

    func start<Message: RequestMessage>(
        _ message: Message, revision: UInt8 = 1, timeout: Duration? = nil, requiresTransaction: Bool = false,
        sink: CollectingSink = CollectingSink()
    ) throws -> CollectingSink {
        let revision = min(revision, Message.highestRevision)
        self.session.run(
            Message.code, revision: revision, request: try self.bytes(message, revision: revision), timeout: timeout,
            requiresTransaction: requiresTransaction, sink: sink)
        return sink
    }

    func startQuery(
        _ sql: String, _ parameters: [Value] = [], timeout: Duration? = nil, sink: CollectingSink = CollectingSink()
    ) throws -> CollectingSink {
        try self.start(QuerySQLRequest(sql: sql, parameters: parameters), timeout: timeout, sink: sink)
    }

    func startExec(
        _ sql: String, _ parameters: [Value] = [], timeout: Duration? = nil, sink: CollectingSink = CollectingSink()
    ) throws -> CollectingSink {
        try self.start(ExecSQLRequest(sql: sql, parameters: parameters), timeout: timeout, sink: sink)
    }

    @discardableResult
    func exec(_ sql: String, _ parameters: [Value] = [], timeout: Duration? = nil) throws -> ResultResponse {
        try Self.result(of: self.startExec(sql, parameters, timeout: timeout))
    }

    func query(_ sql: String, _ parameters: [Value] = [], timeout: Duration? = nil) throws -> Rows {
        try self.rows(of: self.startQuery(sql, parameters, timeout: timeout))
    }

    func prepare(_ sql: String, revision: UInt8 = 1) throws -> StatementResponse {
        switch try self.start(PrepareRequest(sql: sql), revision: revision).waitForEnd() {
        case .statement(let response): return response
        case .failure(let error): throw error
        case let end: throw EngineError(code: 999, message: "unexpected \(end)")
        }
    }

    @discardableResult
    func exec(_ statement: UInt32, _ parameters: [Value] = []) throws -> ResultResponse {
        try Self.result(of: self.start(ExecRequest(statementID: statement, parameters: parameters)))
    }

    func query(_ statement: UInt32, _ parameters: [Value] = []) throws -> Rows {
        try self.rows(of: self.start(QueryRequest(statementID: statement, parameters: parameters)))
    }

    func finalize(_ statement: UInt32) throws {
        if case .failure(let error) = try self.start(FinalizeRequest(statementID: statement)).waitForEnd() {
            throw error
        }
    }

    func close() {
        let promise = Promise<Bool>()
        self.session.close { promise.fulfil(true) }
        _ = promise.wait()
    }

    // MARK: Answers

    static func result(of sink: CollectingSink) throws -> ResultResponse {
        switch sink.waitForEnd() {
        case .result(let response): return response
        case .failure(let error): throw error
        case let end: throw EngineError(code: 999, message: "unexpected \(end)")
        }
    }

    func rows(of sink: CollectingSink) throws -> Rows {
        switch sink.waitForEnd() {
        case .rows: break
        case .failure(let error): throw error
        case let end: throw EngineError(code: 999, message: "unexpected \(end)")
        }
        return try self.decode(sink.now.parts)
    }

    func decode(_ parts: [[UInt8]]) throws -> Rows {
        var result = Rows()
        for (index, part) in parts.enumerated() {
            let response = try part.withUnsafeBytes { bytes -> RowsResponse in
                switch self.encoding {
                case .dqlite:
                    var reader = WordReader(bytes, message: "RowsResponse")
                    return try RowsResponse(dqlite: &reader, revision: 0)
                case .protobuf:
                    var reader = ProtobufReader(bytes, message: "RowsResponse")
                    return try RowsResponse(protobuf: &reader)
                }
            }
            #expect(response.more == (index < parts.count - 1))
            if index == 0 { result.columns = response.columns }
            let width = result.columns.count
            guard width > 0 else { continue }
            for start in stride(from: 0, to: response.values.count, by: width) {
                result.rows.append(Array(response.values[start..<start + width]))
            }
        }
        return result
    }
}

/// The failure that an operation ends with.
func failure(_ body: () throws -> some Any) -> EngineError? {
    do {
        let result = try body()
        Issue.record("no failure but \(result)")
        return nil
    } catch {
        return error as? EngineError
    }
}
