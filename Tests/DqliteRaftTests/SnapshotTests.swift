import DqliteRaft
import Testing

@testable import struct DqliteRaft.Raft

/// Snapshots (paper, figure 13), and a log that begins after one.
@Suite struct SnapshotTests {
    /// A cluster whose third node lags behind the start of the leader's log.
    private func lagging() throws -> Stage {
        var settings = RaftSettings()
        settings.maximumCacheSize = 0
        let stage = Stage(voters: 3, settings: settings)
        stage.isolate(NodeID(3))
        stage.elect(1)
        for number in 0..<10 { _ = try stage[1].raft.propose([UInt8(number)], term: Term(2)) }
        stage.deliver()
        stage[1].storage.compact(through: LogIndex(8))
        return stage
    }

    /// The peer is asked for a snapshot when it has been heard, and not before.
    @Test func aLaggingMemberIsNamed() throws {
        let stage = try self.lagging()
        stage.run(ticks: 2)
        #expect(stage[1].wantsSnapshot == [])
        stage.blocked = []
        stage.run(ticks: 2)
        #expect(stage[1].wantsSnapshot == [NodeID(3)])
        #expect(stage[1].raft.peers.first { $0.id == NodeID(3) }?.needsSnapshot == true)
    }

    @Test func aSnapshotIsInstalledAndTheRestFollows() throws {
        let stage = try self.lagging()
        stage.blocked = []
        stage.run(ticks: 2)
        let snapshot = stage[1].storage.snapshot
        stage.step(.installSnapshot(InstallSnapshot(term: Term(2), snapshot: snapshot)), from: 1, to: 3)
        #expect(stage[3].offered == snapshot)
        stage[3].storage.install(snapshot)
        stage[3].raft.snapshotInstalled(snapshot)
        #expect(stage[3].raft.lastIndex == LogIndex(8) && stage[3].raft.durableIndex == LogIndex(8))
        #expect(stage[3].raft.configuration == .voters(3))
        stage.run(ticks: 2)
        #expect(stage[3].raft.commitIndex == LogIndex(12))
        #expect(stage[3].applied.map(\.index.rawValue) == [9, 10, 11, 12])
    }

    @Test func aFailedSnapshotIsAskedForAgain() throws {
        let stage = try self.lagging()
        stage.blocked = []
        stage.run(ticks: 2)
        stage[1].raft.reportSnapshot(to: NodeID(3), succeeded: false)
        stage.run(ticks: 2)
        #expect(stage[1].wantsSnapshot == [NodeID(3), NodeID(3)])
    }

    /// A snapshot of what the node has already brings nothing, and is answered with what it has.
    @Test func anOldSnapshotIsAnswered() throws {
        let stage = try self.lagging()
        let snapshot = stage[1].storage.snapshot
        stage.sent = []
        stage.step(.installSnapshot(InstallSnapshot(term: Term(2), snapshot: snapshot)), from: 1, to: 2)
        #expect(stage[2].offered == nil)
        guard case .appendEntriesResult(let result)? = stage.sent.last?.message else {
            Issue.record("no answer")
            return
        }
        #expect(result.rejected == .zero && result.lastLogIndex >= snapshot.index)
    }

    /// While a snapshot is installed entries are dropped, and the node does not stand for election.
    @Test func installingExcludesEntriesAndElections() throws {
        let stage = try self.lagging()
        let snapshot = stage[1].storage.snapshot
        stage.step(.installSnapshot(InstallSnapshot(term: Term(2), snapshot: snapshot)), from: 1, to: 3)
        let entry = Entry(index: LogIndex(2), term: Term(2), data: [])
        stage.step(
            .appendEntries(
                AppendEntries(
                    term: Term(2), previousIndex: LogIndex(1), previousTerm: Term(1), leaderCommit: .zero,
                    entries: [entry])), from: 1, to: 3)
        #expect(stage[3].raft.lastIndex == LogIndex(1))
        stage.tick(3, times: 30)
        #expect(stage[3].raft.role == .follower)
        stage[3].raft.snapshotFailed()
        stage.tick(3, times: 30)
        #expect(stage[3].raft.role == .preCandidate)
    }
}
