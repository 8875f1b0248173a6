import Dispatch
import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// What has to end, and the directory that has to go, when somebody ends the benchmark: the nodes are in no group of processes
/// with it.
final class Running: Sendable {
    private struct State {
        var processes: Set<pid_t> = []
        var directory: URL?
        var sources: [any DispatchSourceSignal] = []
    }

    private let state = Mutex(State())

    static let now = Running()

    func began(_ process: pid_t) { self.state.withLock { _ = $0.processes.insert(process) } }
    func ended(_ process: pid_t) { self.state.withLock { _ = $0.processes.remove(process) } }

    /// Ends everything at SIGINT and SIGTERM.
    func watch(_ directory: URL) {
        self.state.withLock { state in
            state.directory = directory
            for number in [SIGINT, SIGTERM] {
                signal(number, SIG_IGN)
                let source = DispatchSource.makeSignalSource(signal: number)
                source.setEventHandler { self.end(number) }
                source.activate()
                state.sources.append(source)
            }
        }
    }

    private func end(_ number: CInt) {
        let directory = self.state.withLock { state in
            for process in state.processes { kill(process, SIGKILL) }
            return state.directory
        }
        if let directory { try? FileManager.default.removeItem(at: directory) }
        exit(128 + number)
    }
}
