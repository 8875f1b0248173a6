internal import DqliteProtocol

/// Collects the parts of a result that may not be shown before it is committed.
///
/// @unchecked: used by the thread that runs the session's slice only.
final class HeldResult: ResponseSink, @unchecked Sendable {
    private(set) var parts: [[UInt8]] = []
    private var part: [UInt8] = []
    private var size = 0
    private let limit: Int

    init(limit: Int) { self.limit = limit }

    /// Whether there is more than may be held.
    var isTooLarge: Bool { self.size > self.limit }

    /// The statement has come to its end, and its last part is written.
    func end() {
        self.parts.append(self.part)
        self.part = []
    }

    var partLimit: Int { Int.max }

    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int) {
        let bytes = [UInt8](unsafeUninitializedCapacity: capacity) { memory, count in
            count = body(UnsafeMutableRawBufferPointer(memory))
        }
        self.size += bytes.count
        self.part += bytes
    }

    func endPart(more: Bool) -> Bool {
        self.end()
        return !self.isTooLarge
    }

    func discardPart() { self.part = [] }

    func result(_: ResultResponse) {}
    func statement(_: StatementResponse) {}
    func empty() {}
    func failure(_: EngineError) {}
    func blocked(bytesNeeded _: Int) {}
}
