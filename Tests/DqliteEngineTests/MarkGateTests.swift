import Dispatch
import Testing

@testable import DqliteEngine

/// Marks of checkpoints that outlive their engine.
@Suite struct MarkGateTests {
    @Test("closing waits for a mark that is under way, and none is made after it")
    func closing() throws {
        let gate = MarkGate()
        let (begun, mayEnd, closed) = (
            DispatchSemaphore(value: 0), DispatchSemaphore(value: 0), DispatchSemaphore(value: 0)
        )
        DispatchQueue.global().async {
            try? gate.pass {
                begun.signal()
                mayEnd.wait()
            }
        }
        begun.wait()
        DispatchQueue.global().async {
            gate.close()
            closed.signal()
        }
        #expect(closed.wait(timeout: .now() + .milliseconds(20)) == .timedOut)
        mayEnd.signal()
        #expect(closed.wait(timeout: .now() + .seconds(30)) == .success)
        #expect(throws: ReplicationFailure.failed("the engine is closed")) {
            try gate.pass { Issue.record("a mark is made after the end") }
        }
    }

    @Test("a mark that cannot be made says why, and keeps nobody waiting")
    func failure() {
        let gate = MarkGate()
        #expect(throws: ReplicationFailure.noSpace("full")) {
            try gate.pass { () throws(ReplicationFailure) in throw .noSpace("full") }
        }
        gate.close()
    }
}
