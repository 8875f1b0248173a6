import Dispatch
import DqliteProtocol
import DqliteWire
import NIOCore
import Synchronization

@testable import DqliteEngine
@testable import DqliteNode

/// A session of a client.
final class SimulatedClient {
    let session: EngineSession
    let database: String

    init(_ session: EngineSession, database: String) {
        self.session = session
        self.database = database
    }

    private func start(_ message: some RequestMessage, _ answer: Answer) throws -> Answer {
        self.session.run(
            type(of: message).code, revision: 0,
            request: RequestBody(buffer: ByteBuffer(bytes: try message.dqliteBytes(revision: 0))), timeout: nil,
            sink: answer)
        return answer
    }

    func startExec(_ sql: String, _ answer: Answer = Answer()) throws -> Answer {
        try self.start(ExecSQLRequest(sql: sql), answer)
    }

    func exec(_ sql: String) throws {
        if let error = try self.startExec(sql).wait().failure { throw error }
    }

    func startQuery(_ sql: String, _ answer: Answer = Answer()) throws -> Answer {
        try self.start(QuerySQLRequest(sql: sql), answer)
    }

    func query(_ sql: String) throws -> [[Value]] {
        let end = try self.startQuery(sql).wait()
        if let error = end.failure { throw error }
        var rows: [[Value]] = []
        var width = 0
        for part in end.parts {
            let response = try part.withUnsafeBytes { bytes in
                var reader = WordReader(bytes, message: "RowsResponse")
                return try RowsResponse(dqlite: &reader, revision: 0)
            }
            width = max(width, response.columns.count)
            for start in stride(from: 0, to: response.values.count, by: max(1, width)) {
                rows.append(Array(response.values[start..<start + width]))
            }
        }
        return rows
    }

    func close() {
        let closed = DispatchSemaphore(value: 0)
        self.session.close { closed.signal() }
        closed.wait()
    }
}

/// What a session answers.
final class Answer: ResponseSink {
    struct State: Sendable {
        var parts: [[UInt8]] = []
        var part: [UInt8] = []
        var isEnded = false
        var failure: EngineError?
    }

    private let state = Mutex(State())
    private let semaphore = DispatchSemaphore(value: 0)
    private let ended: @Sendable () -> Void

    init(ended: @escaping @Sendable () -> Void = {}) { self.ended = ended }

    var now: State { self.state.withLock { $0 } }

    /// Waits for the end; a silent engine is a failure too.
    func wait() -> State {
        if self.semaphore.wait(timeout: .now() + 30) == .timedOut {
            self.state.withLock { $0.failure = EngineError(code: 999, message: "the client is told nothing") }
        }
        self.semaphore.signal()
        return self.now
    }

    private func end(_ failure: EngineError? = nil) {
        self.state.withLock { state in
            state.isEnded = true
            state.failure = failure
        }
        self.semaphore.signal()
        self.ended()
    }

    func result(_ response: ResultResponse) { self.end() }
    func statement(_ response: StatementResponse) { self.end() }
    func empty() { self.end() }
    func failure(_ error: EngineError) { self.end(error) }
    var partLimit: Int { .max }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            count = body(UnsafeMutableRawBufferPointer(memory))
        }
        self.state.withLock { $0.part += bytes }
    }

    func endPart(more: Bool) -> Bool {
        self.state.withLock { state in
            state.parts.append(state.part)
            state.part = []
        }
        if !more { self.end() }
        return more
    }

    func discardPart() { self.state.withLock { $0.part = [] } }
    func blocked(bytesNeeded: Int) {}
}
