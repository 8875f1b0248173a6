public import DqliteRaft

/// Why the log did not do what it was asked for.
public enum LogError: Error, Hashable, Sendable, CustomStringConvertible {
    /// There is no room for it on the disk. It was not accepted, and the log is as it was; the next attempt may succeed.
    case noSpace(LogFileError)
    /// A file could not be prepared. It was not accepted, and the log is as it was.
    case notPrepared(LogFileError)
    /// Too much waits to be written. It was not accepted: to be offered again after the next completion.
    case queueFull
    /// The batch is longer than ``LogConfiguration/maximumBatchSize``. It was not accepted.
    case batchTooLarge(size: Int, limit: Int)
    /// A write or a sync failed: the log does nothing any more but read. What was accepted and not reported may be on disk.
    case failed(LogFileError)
    /// A file holds what nobody wrote, before the place where a crash may have torn it. Nothing was changed.
    case damaged(file: String, offset: Int, reason: String)
    /// The log holds no such entry: it was truncated, or is not there yet.
    case notInLog(LogIndex)
    /// The log was closed.
    case closed

    public var description: String {
        switch self {
        case .noSpace(let error): "no space left for the log: \(error)"
        case .notPrepared(let error): "no file for the log: \(error)"
        case .queueFull: "too much waits to be written to the log"
        case .batchTooLarge(let size, let limit): "a batch of \(size) bytes is longer than the limit of \(limit)"
        case .failed(let error): "the log has failed: \(error)"
        case .damaged(let file, let offset, let reason): "\(file) is damaged at byte \(offset): \(reason)"
        case .notInLog(let index): "the log holds no entry \(index)"
        case .closed: "the log is closed"
        }
    }
}
