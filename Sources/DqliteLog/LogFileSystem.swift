/// The directory that a log lives in, as far as the log needs one.
///
/// Injected, so that a simulation can lose, tear and refuse writes. What is written is durable after ``LogFile/sync()``, a
/// name that was created, changed or removed after ``sync()``; until then a crash may lose it, or not, in any order.
public protocol LogFileSystem: Sendable {
    /// All names.
    func names() throws(LogFileError) -> [String]

    /// Creates a file of zeros whose space is allocated, in place of one that has the name.
    func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile

    /// Opens a file that exists.
    func open(_ name: String) throws(LogFileError) -> any LogFile

    /// Gives a file another name, at once in place of a file that has it.
    func rename(_ name: String, to newName: String) throws(LogFileError)

    /// Removes a file for good.
    func remove(_ name: String) throws(LogFileError)

    /// Removes a file that was part of the log: for good, or to where such files are kept.
    func retire(_ name: String) throws(LogFileError)

    /// Makes the names durable.
    func sync() throws(LogFileError)
}

/// An open file. It stays readable when its name is removed.
public protocol LogFile: Sendable {
    /// Its size in bytes.
    var size: Int { get }

    /// Reads exactly as many bytes as there is memory.
    func read(into memory: UnsafeMutableRawBufferPointer, at offset: Int) throws(LogFileError)

    /// Writes the buffers one after the other. All lie within the size of the file.
    func write(_ buffers: [UnsafeRawBufferPointer], at offset: Int) throws(LogFileError)

    /// Makes durable what was written.
    func sync() throws(LogFileError)
}

/// A call to the operating system that failed.
public struct LogFileError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The call.
    public enum Operation: String, Hashable, Sendable {
        case create, open, lock, list, allocate, read, write, sync, rename, remove
    }

    public var operation: Operation
    /// Path of the file, or of the directory.
    public var file: String
    /// The number of the error, as in `errno`.
    public var code: Int32
    /// The system's words for it.
    public var reason: String
    /// Whether the disk, or the user's part of it, is full.
    public var isNoSpace: Bool

    public init(_ operation: Operation, file: String, code: Int32, reason: String, isNoSpace: Bool = false) {
        self.operation = operation
        self.file = file
        self.code = code
        self.reason = reason
        self.isNoSpace = isNoSpace
    }

    public var description: String { "cannot \(self.operation.rawValue) \(self.file): \(self.reason)" }
}
