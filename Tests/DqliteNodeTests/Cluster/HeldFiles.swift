import DqliteLog
import Synchronization

@testable import DqliteEngine

/// A directory in which files are created only while it is open: a disk that is slow, or full, as the test wants it.
final class HeldFiles: LogFileSystem {
    enum Mode {
        case open
        /// Who creates a file waits.
        case held
        /// Who creates a file is refused.
        case full
    }

    private struct State {
        var mode = Mode.open
        var waiting = 0
    }

    private let directory: LogDirectory
    private let state = Mutex(State())
    private let condition = Condition()

    init(_ path: String) throws { self.directory = try LogDirectory(path) }

    func set(_ mode: Mode) {
        self.condition.withLock {
            self.state.withLock { $0.mode = mode }
            self.condition.broadcast()
        }
    }

    /// Returns once somebody waits to create a file.
    func awaitWaiting() {
        self.condition.withLock { while self.state.withLock({ $0.waiting == 0 }) { self.condition.wait() } }
    }

    func create(_ name: String, size: Int) throws(LogFileError) -> any LogFile {
        let isFull = self.condition.withLock {
            self.state.withLock { $0.waiting += 1 }
            self.condition.broadcast()
            while self.state.withLock({ $0.mode == .held }) { self.condition.wait() }
            return self.state.withLock { state in
                state.waiting -= 1
                return state.mode == .full
            }
        }
        if isFull { throw LogFileError(.create, file: name, code: 28, reason: "no space is left", isNoSpace: true) }
        return try self.directory.create(name, size: size)
    }

    func names() throws(LogFileError) -> [String] { try self.directory.names() }
    func open(_ name: String) throws(LogFileError) -> any LogFile { try self.directory.open(name) }
    func rename(_ name: String, to newName: String) throws(LogFileError) {
        try self.directory.rename(name, to: newName)
    }
    func remove(_ name: String) throws(LogFileError) { try self.directory.remove(name) }
    func retire(_ name: String) throws(LogFileError) { try self.directory.retire(name) }
    func sync() throws(LogFileError) { try self.directory.sync() }
}
