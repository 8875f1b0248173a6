import DqliteFraming
import DqliteProtocol
import NIOCore
import Testing

@testable import DqliteNode

struct DqliteConnectionMachineTests {
    private func request(_ code: RequestCode) -> DqliteConnectionMachine.Request {
        .init(
            frame: DqliteFrame(header: FrameHeader(bodyWords: 0, code: code.rawValue), body: ByteBuffer()),
            arrival: .uptimeNanoseconds(0))
    }

    @Test func runsOneAfterTheOther() {
        var machine = DqliteConnectionMachine(limit: 4)
        #expect(machine.received(self.request(.execSQL)) == false)
        #expect(machine.received(self.request(.querySQL)) == false)
        #expect(machine.startNext()?.code == .execSQL)
        #expect(machine.startNext() == nil)
        #expect(machine.answered(isFailure: false)?.request.code == .execSQL)
        #expect(machine.startNext()?.code == .querySQL)
        #expect(machine.answered(isFailure: false)?.request.code == .querySQL)
        #expect(machine.answered(isFailure: false) == nil)
        #expect(machine.startNext() == nil)
    }

    @Test func wantsNoMoreBytesThanItsLimit() {
        var machine = DqliteConnectionMachine(limit: 16, byteLimit: 100)
        var large = self.request(.execSQL)
        large.frame.body = ByteBuffer(repeating: 0, count: 60)
        _ = machine.received(large)
        #expect(machine.startNext() != nil)
        // What runs is not counted.
        _ = machine.received(large)
        #expect(machine.wantsRequests)
        _ = machine.received(large)
        #expect(!machine.wantsRequests)
        _ = machine.answered(isFailure: false)
        _ = machine.startNext()
        #expect(machine.wantsRequests)
    }

    @Test func wantsNoMoreThanItsLimit() {
        var machine = DqliteConnectionMachine(limit: 2)
        _ = machine.received(self.request(.execSQL))
        #expect(machine.startNext() != nil)
        _ = machine.received(self.request(.execSQL))
        #expect(machine.wantsRequests)
        _ = machine.received(self.request(.execSQL))
        #expect(!machine.wantsRequests)
        _ = machine.answered(isFailure: false)
        #expect(machine.startNext() != nil)
        #expect(machine.wantsRequests)
    }

    @Test func interruptTakesEffectOnlyOnWhatRuns() {
        var machine = DqliteConnectionMachine(limit: 4)
        #expect(machine.received(self.request(.interrupt)) == false)
        #expect(machine.startNext()?.code == .interrupt)
        _ = machine.answered(isFailure: false)
        _ = machine.received(self.request(.querySQL))
        _ = machine.startNext()
        #expect(machine.received(self.request(.interrupt)) == true)
    }

    /// The client of an interrupted result reads on until Empty: a Failure in between would say nothing to it.
    @Test(arguments: [
        (isStreaming: true, isInterrupted: true, isFailure: true, sendsAnswer: false),
        (isStreaming: true, isInterrupted: true, isFailure: false, sendsAnswer: true),
        (isStreaming: true, isInterrupted: false, isFailure: true, sendsAnswer: true),
        (isStreaming: false, isInterrupted: true, isFailure: true, sendsAnswer: true),
    ])
    func interruptedResultJustEnds(isStreaming: Bool, isInterrupted: Bool, isFailure: Bool, sendsAnswer: Bool) {
        var machine = DqliteConnectionMachine(limit: 4)
        _ = machine.received(self.request(.querySQL))
        _ = machine.startNext()
        if isStreaming { machine.partProduced() }
        if isInterrupted { _ = machine.received(self.request(.interrupt)) }
        #expect(machine.answered(isFailure: isFailure)?.sendsAnswer == sendsAnswer)
        #expect((machine.startNext()?.code == .interrupt) == isInterrupted)
    }

    @Test func startsNothingWhileNobodyReads() {
        var machine = DqliteConnectionMachine(limit: 4)
        machine.outputBecame(full: true)
        #expect(!machine.wantsRequests)
        _ = machine.received(self.request(.leader))
        #expect(machine.startNext() == nil)
        machine.outputBecame(full: false)
        #expect(machine.startNext()?.code == .leader)
    }

    @Test func drainsWhatRuns() {
        var machine = DqliteConnectionMachine(limit: 4)
        _ = machine.received(self.request(.execSQL))
        _ = machine.startNext()
        _ = machine.received(self.request(.querySQL))
        machine.drain()
        #expect(!machine.isDrained)
        #expect(machine.received(self.request(.interrupt)) == false)
        #expect(machine.answered(isFailure: false)?.sendsAnswer == true)
        #expect(machine.startNext() == nil)
        #expect(machine.isDrained)
    }
}
