import DqliteRaft
import TestSupport
import Testing

@testable import struct DqliteRaft.Raft

/// Every queue has a limit, and says so.
@Suite struct LimitTests {
    private func leader(_ change: (inout RaftSettings) -> Void) -> Stage {
        var settings = RaftSettings()
        change(&settings)
        let stage = Stage(voters: 3, settings: settings)
        stage.elect(1)
        return stage
    }

    /// Messages with entries that are on their way to a node.
    private func appends(_ stage: Stage, to node: UInt64) -> [AppendEntries] {
        stage.network.compactMap { flight in
            guard flight.to == NodeID(node), case .appendEntries(let request) = flight.message else { return nil }
            return request.entries.isEmpty ? nil : request
        }
    }

    /// Thesis 10.2.1: entries go out without waiting for answers, up to a limit, and go on as answers come.
    @Test func messagesOnTheirWay() throws {
        let stage = self.leader {
            $0.maximumMessageSize = 1
            $0.maximumInflightMessages = 3
        }
        for number in 0..<10 { _ = try stage[1].raft.propose([UInt8(number)], term: Term(2)) }
        stage.process(NodeID(1))
        #expect(self.appends(stage, to: 2).map { $0.entries[0].data } == [[0], [1], [2]])
        stage.deliver()
        stage.run(ticks: 1)
        #expect(stage[2].applied.count == 12)
    }

    @Test func bytesOnTheirWay() throws {
        let stage = self.leader {
            $0.maximumMessageSize = 120
            $0.maximumInflightSize = 200
        }
        for _ in 0..<10 { _ = try stage[1].raft.propose([UInt8](repeating: 0, count: 40), term: Term(2)) }
        stage.process(NodeID(1))
        #expect(self.appends(stage, to: 2).map(\.entries.count) == [2, 2])
        stage.deliver()
        stage.run(ticks: 1)
        #expect(stage[3].applied.count == 12)
    }

    /// Who needs what is on the disk only gets it a message at a time, each when it is told to go on; the others do not wait for it.
    @Test func catchingUpIsPaced() throws {
        let stage = self.leader {
            $0.pacesCatchUp = true
            $0.maximumCacheSize = 0
            $0.maximumCatchUpSize = 120
        }
        stage.isolate(NodeID(3))
        for _ in 0..<10 { _ = try stage[1].raft.propose([UInt8](repeating: 0, count: 40), term: Term(2)) }
        stage.process(NodeID(1))
        stage.deliver()
        stage.blocked = []
        // A heartbeat is refused, and a probe has the first of them.
        stage.run(ticks: 2)
        var waits = 0
        while stage[3].raft.lastIndex < stage[1].raft.lastIndex {
            let before = stage[3].raft.lastIndex
            stage.run(ticks: 1)
            #expect(stage[3].raft.lastIndex == before)
            #expect(stage[1].raft.waitsToCatchUp)
            guard stage[1].raft.waitsToCatchUp else { return }
            #expect(stage[1].raft.isUpToDateInMemory)
            waits += 1
            stage[1].raft.continueCatchUp()
            #expect(!stage[1].raft.isUpToDateInMemory)
            stage.process(NodeID(1))
            #expect(self.appends(stage, to: 3).map(\.entries.count) == [2])
            stage.deliver()
        }
        #expect(waits >= 3)
        #expect(!stage[1].raft.waitsToCatchUp)
    }

    /// Proposals that were made together go in one message.
    @Test func proposalsShareAMessage() throws {
        let stage = self.leader { _ in }
        for _ in 0..<10 { _ = try stage[1].raft.propose([1], term: Term(2)) }
        stage.process(NodeID(1))
        #expect(self.appends(stage, to: 2).map(\.entries.count) == [10])
    }

    @Test func uncommittedProposals() throws {
        let stage = self.leader { $0.maximumUncommittedSize = 100 }
        stage.isolate(NodeID(1))
        let large = [UInt8](repeating: 0, count: 500)
        _ = try stage[1].raft.propose(large, term: Term(2))
        #expect(throws: RaftError.queueFull(limit: 100)) { _ = try stage[1].raft.propose([1], term: Term(2)) }
        stage.blocked = []
        stage.run(ticks: 2)
        _ = try stage[1].raft.propose([1], term: Term(2))
    }

    @Test func oneEntry() {
        let stage = self.leader { $0.maximumEntrySize = 3 }
        #expect(throws: RaftError.entryTooLarge(limit: 3)) {
            _ = try stage[1].raft.propose([1, 2, 3, 4], term: Term(2))
        }
    }

    /// Rule 4: a proposal made under another term is refused.
    @Test(arguments: [1, 3] as [UInt64]) func anotherTerm(term: UInt64) {
        let stage = self.leader { _ in }
        #expect(throws: RaftError.staleTerm(current: Term(2))) { _ = try stage[1].raft.propose([1], term: Term(term)) }
    }

    @Test func waitingReads() throws {
        let stage = self.leader { $0.maximumWaitingReads = 2 }
        try stage[1].raft.readIndex(1)
        try stage[1].raft.readIndex(2)
        #expect(throws: RaftError.queueFull(limit: 2)) { try stage[1].raft.readIndex(3) }
    }

    /// All reads that wait share one round.
    @Test func readsShareARound() throws {
        let stage = self.leader { _ in }
        stage.deliver()
        stage.sent = []
        for context in 0..<100 { try stage[1].raft.readIndex(UInt64(context)) }
        stage.deliver()
        #expect(stage[1].readStates.count == 100)
        #expect(stage.sent.count { $0.from == NodeID(1) } == 2)
    }

    /// A follower whose disk is slow takes no more than it may hold, and gets the rest later.
    @Test func entriesThatWaitForTheDisk() throws {
        let stage = self.leader {
            $0.maximumUnstableSize = 100
            $0.maximumMessageSize = 1
        }
        stage[2].diskIsSlow = true
        for _ in 0..<20 { _ = try stage[1].raft.propose([1], term: Term(2)) }
        stage.deliver()
        #expect(stage[2].raft.log.unstableSize <= 100 + 17 && stage[2].raft.lastIndex < LogIndex(12))
        stage[2].diskIsSlow = false
        stage.persist(NodeID(2))
        stage.run(ticks: 3)
        #expect(stage[2].raft.commitIndex == LogIndex(22))
    }

    /// Committed entries are handed over as fast as they are applied.
    @Test func entriesThatAreBeingApplied() throws {
        var settings = RaftSettings()
        settings.maximumApplyingSize = 60
        let storage = TestStorage(.voters(1))
        var raft = Raft(
            id: NodeID(1), settings: settings,
            start: Raft.Start(
                hardState: storage.hardState, configurations: storage.configurations(through: LogIndex(1))),
            reader: storage, randomness: SeededRandom(seed: 1), now: MonotonicInstant(.zero))
        func ready() -> [Entry] {
            let ready = raft.ready()
            if let write = ready.write { storage.submit(write) }
            while let number = storage.performFirst() { raft.persisted(through: number) }
            return ready.committedEntries
        }
        raft.tick(now: MonotonicInstant(.zero))
        while raft.appliedIndex < LogIndex(2) {
            if let last = ready().last { raft.applied(through: last.index) }
        }
        for _ in 0..<10 { _ = try raft.propose([UInt8](repeating: 0, count: 14), term: raft.term) }
        _ = ready()
        #expect(ready().map(\.index.rawValue) == [3, 4])
        #expect(ready().isEmpty)
        raft.applied(through: LogIndex(3))
        #expect(ready().isEmpty)
        raft.applied(through: LogIndex(4))
        #expect(ready().map(\.index.rawValue) == [5, 6])
    }

    /// A promotion that takes too long is given up, and the member gets nothing any more.
    @Test func catchingUp() throws {
        let stage = self.leader { $0.catchUpTicks = 4 }
        _ = try stage[1].raft.proposeConfiguration(.add(NodeID(4), address: "node-4"), term: Term(2))
        stage.deliver()
        #expect(try stage[1].raft.proposeConfiguration(.assign(NodeID(4), .voter), term: Term(2)) == nil)
        #expect(throws: RaftError.changeInProgress) {
            try stage[1].raft.proposeConfiguration(.remove(NodeID(3)), term: Term(2))
        }
        stage.run(ticks: 4)
        #expect(stage[1].failedPromotion == .catchUpFailed(NodeID(4)))
        #expect(stage[1].raft.peers.map(\.id) == [NodeID(2), NodeID(3)])
        try stage[1].raft.proposeConfiguration(.remove(NodeID(3)), term: Term(2))
    }

    /// Rule 32: a leader whose append fails steps down, and neither leads nor votes any more.
    @Test func storageThatFails() {
        let stage = self.leader { _ in }
        stage[1].raft.storageFailed()
        stage.process(NodeID(1))
        #expect(stage[1].raft.role == .follower)
        #expect(throws: RaftError.storageFailed) { _ = try stage[1].raft.propose([1], term: Term(2)) }
        stage.tick(1, times: 30)
        #expect(stage[1].raft.role == .follower)
        stage.sent = []
        stage.elect(2)
        #expect(stage[2].raft.role == .leader)
        #expect(!stage.sent.contains { $0.from == NodeID(1) })
    }
}
