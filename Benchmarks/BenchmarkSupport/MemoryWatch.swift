package import Foundation
import Synchronization

/// Looks every 20 ms how much memory a process has.
package final class MemoryWatch: Sendable {
    private struct State {
        var peak = ProcessFigures.Memory()
        var isStopped = false
    }

    private let process: pid_t
    private let state = Mutex(State())

    package init(_ process: pid_t) {
        self.process = process
        Thread.detachNewThread {
            while self.look() { Thread.sleep(forTimeInterval: 0.02) }
        }
    }

    package func stop() { self.state.withLock { $0.isStopped = true } }

    /// The most since the last call.
    package func takePeak() -> String {
        _ = self.look()
        let peak = self.state.withLock { state in
            defer { state.peak = ProcessFigures.Memory() }
            return state.peak
        }
        guard peak.resident > 0 else { return "not known" }
        return "\(format(Double(peak.resident) / 1e6, 1)) MB resident at most, "
            + "\(format(Double(peak.anonymous) / 1e6, 1)) MB of it not of files"
    }

    private func look() -> Bool {
        let memory = ProcessFigures.memory(of: self.process)
        return self.state.withLock { state in
            if let memory {
                state.peak.resident = max(state.peak.resident, memory.resident)
                state.peak.anonymous = max(state.peak.anonymous, memory.anonymous)
            }
            return !state.isStopped
        }
    }
}
