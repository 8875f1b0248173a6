public import DqliteProtocol

/// One client's session: its connection, prepared statements and transaction.
///
/// At most one operation runs at a time; the caller sees to it.
public final class EngineSession: Sendable {
    init() {}

    /// Runs Prepare, Exec, Query, Finalize, ExecSQL or QuerySQL and reports to `sink`.
    ///
    /// - Parameters:
    ///   - code: Which of them.
    ///   - revision: The layout of the request in the dqlite encoding; it also decides what Prepare answers.
    ///   - request: The body, in the session's encoding.
    ///   - timeout: After this the request fails with SQLITE_INTERRUPT (9), whatever it waits for or does.
    ///   - sink: Told what comes of it.
    public func run(
        _ code: RequestCode, revision: UInt8, request: any RequestBytes, timeout: Duration?, sink: any ResponseSink
    ) {
        sink.failure(EngineError(code: 1, message: "not yet"))
    }

    /// Goes on with a result that its sink has paused. Callable from any thread; without effect when none is paused.
    public func resume() {}

    /// Makes the running operation end soon with SQLITE_INTERRUPT (9), also when it waits or is paused. Callable from any
    /// thread; without effect when none runs, on the next one too.
    public func interrupt() {}

    /// Interrupts, rolls back and closes. `completion` is called when that is done, on a thread of the engine; after it the
    /// sink is not called any more. May be called again.
    public func close(completion: @escaping @Sendable () -> Void) { completion() }
}
