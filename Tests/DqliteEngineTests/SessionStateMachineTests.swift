import DqliteRaft
import Testing

@testable import DqliteEngine

@Suite("The session's state machine")
struct SessionStateMachineTests {
    typealias Machine = SessionStateMachine<Int>

    let start = Instant.now
    let limits = Machine.Limits(transactionDuration: .seconds(600), transactionIdle: .seconds(60), pause: .seconds(300))

    func machine() -> Machine { Machine(limits: self.limits) }

    /// One that runs operation 1.
    func running(timeout: Duration? = nil) -> Machine {
        var machine = self.machine()
        _ = machine.run(1, timeout: timeout, now: self.start)
        _ = machine.beginSlice()
        return machine
    }

    /// One that has a transaction open and waits for the next operation.
    func inTransaction() -> Machine {
        var machine = self.running()
        machine.finish()
        _ = machine.delivered(now: self.start, isInTransaction: true)
        return machine
    }

    @Test("an operation runs from its request to its answer")
    func plain() {
        var machine = self.machine()
        #expect(machine.run(1, timeout: nil, now: self.start).name == "schedule")
        #expect(machine.beginSlice()?.name == "begin 1")
        #expect(machine.beginSlice()?.name == nil)
        machine.finish()
        #expect(machine.delivered(now: self.start, isInTransaction: false)?.name == nil)
        #expect(machine.nextAlarm == nil)
    }

    @Test("what comes late about the ticket of an earlier operation changes nothing")
    func staleTickets() {
        var machine = self.running()
        #expect(machine.turnGranted(2).name == "none")
        #expect(machine.turnGranted(1).name == "none")
        var waits = machine.waitForTurn(2)
        #expect(!waits)
        machine = self.running()
        #expect(machine.turnExpired(1, reason: .interrupted).name == "none")
        #expect(machine.stop == nil)
        waits = machine.waitForTurn(2)
        #expect(waits)
        machine = self.running()
        _ = machine.turnExpired(2, reason: .overloaded)
        waits = machine.waitForTurn(2)
        #expect(!waits)
        #expect(machine.stop == .overloaded)
    }

    @Test("the next operation may be asked for from within the answer to the last")
    func handingOver() {
        var machine = self.running()
        #expect(machine.run(2, timeout: nil, now: self.start).name == "refuse overlapping")
        machine.finish()
        #expect(machine.run(2, timeout: .seconds(1), now: self.start).name == "none")
        #expect(machine.run(3, timeout: nil, now: self.start).name == "refuse overlapping")
        #expect(machine.delivered(now: self.start, isInTransaction: false)?.name == "begin 2")
        #expect(machine.nextAlarm == self.start + .seconds(1))
        #expect(machine.stop == nil)
    }

    @Test("an interrupt reaches the operation that runs and no other")
    func interrupts() {
        var machine = self.machine()
        #expect(machine.interrupt().name == "none")
        _ = machine.run(1, timeout: nil, now: self.start)
        #expect(machine.stop == nil)
        _ = machine.beginSlice()
        #expect(machine.interrupt().name == "stopRunning")
        #expect(machine.stop == .interrupted)
        machine.finish()
        #expect(machine.interrupt().name == "none")
        _ = machine.run(2, timeout: nil, now: self.start)
        #expect(machine.interrupt().name == "none")
        #expect(machine.delivered(now: self.start, isInTransaction: false)?.name == "begin 2")
        #expect(machine.stop == .interrupted)
    }

    @Test("resuming before the slice has paused is not lost, and counts for one pause")
    func resuming() {
        var machine = self.running()
        #expect(machine.resume().name == "none")
        machine.willAsk()
        #expect(machine.resume().name == "none")
        #expect(machine.pause(now: self.start, holdsTurn: false) == false)
        machine.willAsk()
        #expect(machine.pause(now: self.start, holdsTurn: false) == true)
        #expect(machine.resume().name == "schedule")
        #expect(machine.resume().name == "none")
        #expect(machine.beginSlice()?.name == "proceed")
    }

    @Test("a turn that is granted before the slice waits for it is not lost; one of an earlier wait is not taken")
    func turns() {
        var machine = self.running()
        #expect(machine.turnGranted(7).name == "none")
        #expect(machine.waitForTurn(7) == false)
        #expect(machine.waitForTurn(8) == true)
        #expect(machine.turnGranted(7).name == "none")
        #expect(machine.turnGranted(8).name == "schedule")
        #expect(machine.beginSlice()?.name == "proceed")
        #expect(machine.waitForTurn(9) == true)
        let reason = StopReason.writeTimeout(waited: .seconds(5), held: .seconds(6))
        #expect(machine.turnExpired(8, reason: reason).name == "none")
        #expect(machine.turnExpired(9, reason: reason).name == "schedule")
        #expect(machine.stop == reason)
    }

    @Test("a timeout ends what has not begun without a thread, and what runs, waits or is paused with one")
    func timeouts() {
        var scheduled = self.machine()
        _ = scheduled.run(1, timeout: .seconds(2), now: self.start)
        #expect(scheduled.nextAlarm == self.start + .seconds(2))
        #expect(scheduled.alarm(now: self.start + .seconds(1)).name == "none")
        #expect(scheduled.alarm(now: self.start + .seconds(2)).name == "fail 1")
        #expect(scheduled.beginSlice()?.name == nil)
        #expect(scheduled.delivered(now: self.start, isInTransaction: nil)?.name == nil)
        var running = self.running(timeout: .seconds(2))
        #expect(running.alarm(now: self.start + .seconds(2)).name == "stopRunning")
        #expect(running.stop == .timedOut(.seconds(2)))
        #expect(running.nextAlarm == nil)
        var waiting = self.running(timeout: .seconds(2))
        _ = waiting.waitForTurn(1)
        #expect(waiting.alarm(now: self.start + .seconds(2)).name == "schedule")
        var paused = self.running(timeout: .seconds(2))
        _ = paused.pause(now: self.start, holdsTurn: false)
        #expect(paused.alarm(now: self.start + .seconds(2)).name == "schedule")
    }

    @Test("an open transaction is rolled back when idle for too long, and the next operation waits for that")
    func idle() {
        var machine = self.inTransaction()
        #expect(machine.nextAlarm == self.start + .seconds(60))
        #expect(machine.alarm(now: self.start + .seconds(59)).name == "none")
        #expect(machine.alarm(now: self.start + .seconds(60)).name == "schedule")
        #expect(machine.run(2, timeout: nil, now: self.start).name == "none")
        #expect(machine.beginSlice()?.name == "rollBack")
        #expect(machine.delivered(now: self.start, isInTransaction: false)?.name == "begin 2")
    }

    @Test("an open transaction ends after its longest time, whatever goes on in it")
    func duration() {
        var machine = self.inTransaction()
        _ = machine.run(2, timeout: nil, now: self.start + .seconds(50))
        _ = machine.beginSlice()
        #expect(machine.nextAlarm == self.start + .seconds(600))
        #expect(machine.alarm(now: self.start + .seconds(600)).name == "stopRunning")
        #expect(machine.stop == .transactionTooLong(.seconds(600)))
        #expect(machine.nextAlarm == nil)
    }

    @Test("a pause has a limit, a shorter one while others wait to write")
    func pauses() {
        var reading = self.running()
        _ = reading.pause(now: self.start, holdsTurn: false)
        #expect(reading.nextAlarm == self.start + .seconds(300))
        #expect(reading.alarm(now: self.start + .seconds(300)).name == "schedule")
        var writing = self.running()
        _ = writing.pause(now: self.start, holdsTurn: true)
        #expect(writing.nextAlarm == self.start + .seconds(60))
        #expect(writing.alarm(now: self.start + .seconds(60)).name == "schedule")
        #expect(writing.stop == .resultNotRead(.seconds(60)))
    }

    @Test("closing ends what runs and closes after it; nothing is taken any more")
    func closing() {
        var idle = self.machine()
        #expect(idle.close().name == "schedule")
        #expect(idle.close().name == "none")
        #expect(idle.beginSlice()?.name == "close")
        idle.closed()
        #expect(idle.close().name == "isClosed")
        #expect(idle.run(1, timeout: nil, now: self.start).name == "refuse closing")
        var running = self.running()
        #expect(running.close().name == "stopRunning")
        running.finish()
        #expect(running.delivered(now: self.start, isInTransaction: true)?.name == "close")
        #expect(running.nextAlarm == nil)
        var delivering = self.running()
        delivering.finish()
        _ = delivering.run(2, timeout: nil, now: self.start)
        #expect(delivering.close().name == "none")
        #expect(delivering.delivered(now: self.start, isInTransaction: false)?.name == "begin 2")
        #expect(delivering.stop == .closing)
        delivering.finish()
        #expect(delivering.delivered(now: self.start, isInTransaction: false)?.name == "close")
        var inTransaction = self.inTransaction()
        #expect(inTransaction.close().name == "schedule")
        #expect(inTransaction.nextAlarm == nil)
    }
}

extension SessionStateMachine.Action {
    var name: String {
        switch self {
        case .none: "none"
        case .schedule: "schedule"
        case .stopRunning: "stopRunning"
        case .fail(let operation, _): "fail \(operation)"
        case .refuse(let reason): "refuse \(reason)"
        case .isClosed: "isClosed"
        }
    }
}

extension SessionStateMachine.Slice {
    var name: String {
        switch self {
        case .begin(let operation): "begin \(operation)"
        case .proceed: "proceed"
        case .release: "release"
        case .rollBack: "rollBack"
        case .close: "close"
        }
    }
}
