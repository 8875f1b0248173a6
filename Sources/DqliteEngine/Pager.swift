internal import CReplicaPager
internal import CSQLite
internal import DqliteProtocol

/// The pages of one database: the committed view, the overlay, and the batches between them.
///
/// @unchecked: the handle never changes, and the functions of the pager may be called from any thread.
final class Pager: @unchecked Sendable {
    let handle: OpaquePointer

    /// - Parameters:
    ///   - path: Absolute, without symbolic links.
    ///   - fileCalls: In place of the system's calls that change the file; nil for those.
    init(path: String, maximumTransactionPages: Int, fileCalls: rp_file_calls? = nil) throws(EngineError) {
        var options = rp_options()
        options.maximum_transaction_pages = UInt32(clamping: maximumTransactionPages)
        var handle: OpaquePointer?
        let result: Int32
        if var calls = fileCalls {
            result = withUnsafePointer(to: &calls) {
                options.file_calls = $0
                return rp_open(path, &options, &handle)
            }
        } else {
            result = rp_open(path, &options, &handle)
        }
        guard let handle, result == SQLITE_OK else { throw Self.cannotOpen(path, result) }
        self.handle = handle
    }

    private static func cannotOpen(_ path: String, _ result: Int32) -> EngineError {
        let reason =
            result == SQLITE_BUSY
            ? "another process has the file open; databases of a node are its own"
            : String(cString: sqlite3_errstr(result))
        return EngineError(code: UInt64(result), message: "the database \(path) cannot be opened: \(reason)")
    }

    /// Closes the database. Connections and batches must be gone.
    ///
    /// - Returns: Whether it is closed.
    func close() -> Bool { rp_close(self.handle) == SQLITE_OK }

    var statistics: rp_statistics {
        var statistics = rp_statistics()
        rp_get_statistics(self.handle, &statistics)
        return statistics
    }

    // MARK: Overlay and batches

    func beginOverlay(term: UInt64) -> ResultCode { ResultCode(rp_overlay_begin(self.handle, term)) }
    /// Whether there is an overlay: one that lacks memory dooms itself.
    var hasOverlay: Bool { rp_has_overlay(self.handle) }
    func doomOverlay() { rp_overlay_doom(self.handle) }
    func rebuildOverlay() -> ResultCode { ResultCode(rp_overlay_rebuild(self.handle)) }
    var uncutPages: Int { Int(rp_uncut_pages(self.handle)) }
    func cut() -> Batch? { rp_cut(self.handle).map(Batch.init) }

    func apply(_ batch: Batch, at index: UInt64) -> ResultCode {
        ResultCode(rp_apply_batch(self.handle, batch.handle, index))
    }

    func apply(_ pages: [rp_page_image], at index: UInt64) -> ResultCode {
        pages.withUnsafeBufferPointer { ResultCode(rp_apply(self.handle, index, UInt32($0.count), $0.baseAddress, 0)) }
    }

    // MARK: Checkpoint

    func beginBackfill(limit: UInt64) -> (ResultCode, index: UInt64) {
        var index: UInt64 = 0
        let result = rp_backfill_begin(self.handle, limit, &index)
        return (ResultCode(result), index)
    }

    func runBackfill() -> ResultCode { ResultCode(rp_backfill_run(self.handle)) }
    func endBackfill(isComplete: Bool) { rp_backfill_end(self.handle, isComplete) }
    func reset(waitingAtMost microseconds: UInt32) -> ResultCode { ResultCode(rp_reset(self.handle, microseconds)) }
    func shed() { rp_shed(self.handle) }
}

/// The newest image of each page that some transactions of an overlay wrote.
///
/// @unchecked: a batch that was cut never changes.
final class Batch: @unchecked Sendable {
    let handle: OpaquePointer

    init(_ handle: OpaquePointer) { self.handle = handle }

    deinit { rp_batch_release(self.handle) }

    var pageCount: Int { Int(rp_batch_count(self.handle)) }
    var lastSequence: UInt64 { rp_batch_last_sequence(self.handle) }
    var term: UInt64 { rp_batch_term(self.handle) }
    var transactions: Int { Int(rp_batch_transactions(self.handle)) }
    func page(_ position: Int) -> rp_page_image { rp_batch_page(self.handle, UInt32(position)) }
}
