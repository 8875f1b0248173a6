import DqliteEngine
import DqliteProtocol
import DqliteWire

/// The bytes of a request to the engine.
struct RequestBody: RequestBytes {
    let bytes: [UInt8]

    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result {
        self.bytes.withUnsafeBytes { body($0) }
    }
}

/// Collects what a request is answered with.
///
/// @unchecked: a simulation does one thing at a time.
final class AnswerSink: ResponseSink, @unchecked Sendable {
    private var part: [UInt8] = []
    private var rows: [[Value]] = []
    private let ended: (Result<[[Value]], EngineError>) -> Void

    init(_ ended: @escaping (Result<[[Value]], EngineError>) -> Void) { self.ended = ended }

    func result(_ response: ResultResponse) { self.ended(.success([])) }
    func statement(_ response: StatementResponse) { self.ended(.success([])) }
    func empty() { self.ended(.success([])) }
    func failure(_ error: EngineError) { self.ended(.failure(error)) }
    var partLimit: Int { .max }
    func discardPart() { self.part = [] }
    func blocked(bytesNeeded: Int) {}

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        self.part += [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            count = body(UnsafeMutableRawBufferPointer(memory))
        }
    }

    func endPart(more: Bool) -> Bool {
        let response = self.part.withUnsafeBytes { bytes -> RowsResponse in
            var reader = WordReader(bytes, message: "RowsResponse")
            guard let response = try? RowsResponse(dqlite: &reader, revision: 0) else {
                preconditionFailure("what the engine encodes can be read")
            }
            return response
        }
        self.part = []
        let width = max(1, response.columns.count)
        for start in stride(from: 0, to: response.values.count, by: width) {
            self.rows.append(Array(response.values[start..<start + width]))
        }
        if !more { self.ended(.success(self.rows)) }
        return true
    }
}
