import DqliteRaft
import LogSimulation
import Testing

@testable import DqliteLog

/// What a log does, step by step, on a disk that does what it is told.
@Suite struct LogMachineTests {
    @Test func whatWaitsIsSyncedAtOnce() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk, configuration: Harness.small(32768))
        let syncs = disk.syncs
        for _ in 0..<20 { try log.append([100, 50]) }
        #expect(log.machine.durableIndex == .zero)
        let isWritten = log.step()
        #expect(isWritten)
        #expect(disk.syncs == syncs + 1)
        #expect(log.machine.durableIndex == LogIndex(40))
        let isMore = log.step()
        #expect(!isMore)
        try log.checkRunning()
    }

    @Test func theQueueIsBounded() throws {
        var log = try Harness(disk: SimulatedDisk(seed: 1), configuration: Harness.small(32768))
        for _ in 0..<3 { try log.append([5000]) }
        #expect(throws: LogError.queueFull) { try log.append([5000]) }
        log.run()
        try log.append([5000])
        // One batch alone may be longer than the queue.
        log.run()
        try log.append([20000])
        log.run()
        try log.checkRunning()
    }

    @Test func aBatchCanBeLongerThanASegment() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        try log.append([10])
        log.run()
        try log.append([30000, 10])
        log.run()
        try log.append([10])
        log.run()
        try log.checkRunning()
        try log.restart(killed: false)
        #expect(log.machine.map.lastIndex == LogIndex(4))
        #expect(throws: LogError.self) {
            var configuration = Harness.small()
            configuration.maximumBatchSize = 1000
            var log = try Harness(disk: SimulatedDisk(seed: 1), configuration: configuration)
            try log.append([2000])
        }
    }

    @Test func aFullDiskRefusesEntriesAndNothingElse() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        disk.faults.capacity = 3 * 8192 + 96
        var count = 0
        while true {
            do throws(LogError) {
                try log.append([500])
                count += 1
            } catch {
                guard case .noSpace(let reason) = error else { throw error }
                #expect(reason.file == "spare")
                break
            }
        }
        #expect(count > 35)
        let last = log.machine.map.lastIndex
        #expect(last == LogIndex(UInt64(count)))
        log.run()
        #expect(log.machine.durableIndex == last)
        // It goes on reading, and opens.
        try log.checkRunning()
        try log.restart(killed: false)
        #expect(throws: LogError.self) { try log.append([500]) }
        // What makes room can be recorded; then there is room again.
        try log.offer(.checkpoint(database: "db", CheckpointMarks(intent: last, done: last)))
        log.run()
        let truncation = log.machine.truncateHead(LogNeeds(checkpoints: last))
        #expect(truncation.firstIndex > LogIndex(1))
        log.run()
        try log.append([500])
        log.run()
        try log.restart(killed: false)
        #expect(log.machine.map.lastIndex == last.next)
        // So there is when somebody else makes some.
        while (try? log.append([500])) != nil {}
        disk.faults.capacity = .max
        try log.append([500])
        log.run()
        try log.checkRunning()
    }

    @Test func afterAFailedSyncNothingIsWritten() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        try log.append([100])
        log.run()
        try log.append([100])
        disk.faults.syncsToFailure = 0
        log.step()
        disk.faults.syncsToFailure = nil
        guard case .failed(let error) = log.machine.failure else {
            Issue.record("it did not fail")
            return
        }
        #expect(error.operation == .sync)
        #expect(error.file == "segment-0000000000000001")
        #expect(throws: LogError.failed(error)) { try log.append([1]) }
        let goesOn = log.step()
        #expect(!goesOn)
        #expect(log.machine.durableIndex == LogIndex(1))
        try log.checkRunning()
    }

    @Test func afterAFailedWriteNothingIsWritten() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        disk.faults.writesToFailure = 0
        try log.append([100])
        log.step()
        #expect(log.machine.failure != nil)
        #expect(log.machine.durableIndex == .zero)
        disk.faults.writesToFailure = nil
        let goesOn = log.step()
        #expect(!goesOn)
        try log.restart(killed: true)
    }

    @Test func theTailIsTruncated() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        log.save(HardState(term: Term(1)))
        for _ in 0..<30 { try log.append([700]) }
        log.run()
        log.save(HardState(term: Term(2)))
        try log.offer(.cut(lastIndex: LogIndex(12), lastTerm: Term(1)))
        #expect(log.machine.durableIndex == LogIndex(12))
        for _ in 0..<3 { try log.append([700]) }
        log.run()
        try log.checkRunning()
        #expect(log.machine.map.term(of: LogIndex(12)) == Term(1))
        #expect(log.machine.map.term(of: LogIndex(13)) == Term(2))
        #expect(log.machine.map.term(of: LogIndex(16)) == nil)
        try log.restart(killed: false)
        #expect(log.machine.map.lastIndex == LogIndex(15))
        #expect(log.machine.map.lastTerm == Term(2))
        // The first segments can go although entries of theirs were cut by a later one.
        _ = log.machine.truncateHead(LogNeeds(checkpoints: LogIndex(14)))
        log.run()
        try log.checkRunning()
        try log.restart(killed: false)
        // From nothing.
        try log.offer(.cut(lastIndex: LogIndex(1000), lastTerm: Term(2)))
        try log.append([10])
        log.run()
        try log.restart(killed: false)
        #expect(log.machine.map.previousIndex == LogIndex(1000))
        #expect(log.machine.map.lastIndex == LogIndex(1001))
    }

    @Test func theHeadIsKeptForWhoNeedsIt() throws {
        let disk = SimulatedDisk(seed: 1)
        var configuration = Harness.small()
        configuration.maximumLogSize = 6 * 8192
        var log = try Harness(disk: disk, configuration: configuration)
        try log.offer(.checkpoint(database: "db", CheckpointMarks(intent: LogIndex(1), done: LogIndex(1))))
        for _ in 0..<30 { try log.append([1000]) }
        log.run()
        let follower = LogNeeds.Holder.follower(NodeID(2))
        let slowFollower = LogNeeds.Holder.follower(NodeID(3))
        let stream = LogNeeds.Holder.stream(1)
        let none = log.machine.truncateHead(LogNeeds(checkpoints: LogIndex(30), holders: [follower: LogIndex(2)]))
        #expect(none.firstIndex == LogIndex(1))
        let some = log.machine.truncateHead(
            LogNeeds(checkpoints: LogIndex(30), holders: [follower: LogIndex(20), stream: LogIndex(12)]))
        #expect(some.firstIndex > LogIndex(1) && some.firstIndex <= LogIndex(13))
        log.run()
        #expect(!disk.retired.isEmpty)
        for _ in 0..<40 { try log.append([1000]) }
        log.run()
        // Beyond its maximum size the log drops the slowest, one by one, but nothing that a checkpoint still needs.
        let dropping = log.machine.truncateHead(
            LogNeeds(
                checkpoints: LogIndex(65),
                holders: [follower: LogIndex(63), slowFollower: LogIndex(14), stream: LogIndex(20)]))
        #expect(dropping.dropped == [slowFollower, stream])
        #expect(dropping.firstIndex <= LogIndex(64))
        #expect(dropping.size <= configuration.maximumLogSize)
        let kept = log.machine.truncateHead(LogNeeds(checkpoints: LogIndex(3), holders: [slowFollower: LogIndex(3)]))
        #expect(kept.dropped.isEmpty)
        log.run()
        try log.checkRunning()
        try log.restart(killed: false)
        // The mark was written into a segment that is gone.
        #expect(log.machine.checkpoints["db"]?.done == LogIndex(1))
        #expect(log.machine.map.previousIndex == dropping.firstIndex.previous)
    }

    @Test func allButTheLastSegmentCanGo() throws {
        let disk = SimulatedDisk(seed: 1)
        var log = try Harness(disk: disk)
        for _ in 0..<30 { try log.append([1000]) }
        // What is not on disk yet may not go.
        #expect(log.machine.durableIndex < LogIndex(30))
        let first = log.machine.truncateHead(LogNeeds(checkpoints: LogIndex(30))).firstIndex
        #expect(first <= log.machine.durableIndex.next)
        log.run()
        _ = log.machine.truncateHead(LogNeeds(checkpoints: LogIndex(30)))
        log.run()
        #expect(log.machine.segments.count == 1)
        try log.restart(killed: false)
        try log.append([1000])
        log.run()
        try log.restart(killed: false)
        #expect(log.machine.map.lastIndex == LogIndex(31))
    }
}
