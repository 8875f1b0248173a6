public import DqliteProtocol

/// The memory of a request's body. The engine keeps it as long as it needs it.
///
/// The bytes must be the same, at the same address, each time and for as long as the value lives: parameters are bound
/// where they lie. Heap storage that nobody changes, as that of a buffer, does it.
public protocol RequestBytes: Sendable {
    /// Calls `body` with the bytes.
    func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) -> Result) -> Result
}

/// Where a session reports what became of a request.
///
/// Every call comes from a thread of the engine, one at a time. A request ends with exactly one of ``result(_:)``,
/// ``statement(_:)``, ``empty()``, ``failure(_:)`` and `endPart(more: false)`. From inside a call the session may be
/// told to ``EngineSession/resume()``, to ``EngineSession/interrupt()`` and, once the request has ended, to run the
/// next.
public protocol ResponseSink: AnyObject, Sendable {
    /// The end of Exec and ExecSQL.
    func result(_ response: ResultResponse)
    /// The end of Prepare.
    func statement(_ response: StatementResponse)
    /// The end of Finalize.
    func empty()
    /// The end of a request that failed. It may come instead of a further part: the part that was begun is to be
    /// dropped.
    func failure(_ error: EngineError)
    /// Bytes that the next part may have at most. Asked before each part.
    var partLimit: Int { get }
    /// Appends to the current part: `body` gets at least `capacity` bytes of memory and returns how many it wrote.
    func write(atLeast capacity: Int, _ body: (UnsafeMutableRawBufferPointer) -> Int)
    /// What was appended since the last part was ended is to be dropped: the part begins anew.
    func discardPart()
    /// The part, the body of a Rows response in the session's encoding, is complete.
    ///
    /// - Returns: When `more` follow: whether to go on now. Otherwise the result is paused until
    ///   ``EngineSession/resume()``.
    func endPart(more: Bool) -> Bool
    /// The next part cannot be smaller than `bytesNeeded`, which is more than ``partLimit``: the result is paused until
    /// ``EngineSession/resume()``.
    func blocked(bytesNeeded: Int)
}
