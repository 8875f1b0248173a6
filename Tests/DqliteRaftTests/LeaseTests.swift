import DqliteRaft
import Testing

@testable import struct DqliteRaft.Raft

/// Leases (thesis 6.4.1; rule 28).
@Suite struct LeaseTests {
    static let settings = RaftSettings()
    /// Six ticks of half a second, less ten per cent.
    static let duration = Duration.milliseconds(2700)

    private func leader(settings: RaftSettings = Self.settings) -> Stage {
        let stage = Stage(voters: 3, settings: settings)
        stage.elect(1)
        return stage
    }

    /// A lease begins when the heartbeat was sent, not when it was answered.
    @Test func beginsWhenTheHeartbeatWasSent() throws {
        let stage = self.leader()
        stage.tick(1)
        let sent = stage[1].clock
        let flights = stage.network
        stage.network = []
        // Two ticks whose heartbeats are lost, and then the answers to the first.
        stage.tick(1, times: 2)
        stage.network = flights
        stage.deliver()
        let end = try #require(stage[1].raft.leaseEnd)
        #expect(end == sent + Self.duration)
        #expect(stage[1].raft.holdsLease(at: sent + Self.duration * 99 / 100, applied: LogIndex(2)))
        #expect(!stage[1].raft.holdsLease(at: end, applied: LogIndex(2)))
    }

    /// Others may have applied, and shown, what this node has not yet.
    @Test func isOfNoUseBeforeAllIsApplied() throws {
        let stage = self.leader()
        stage.tick(1)
        stage.deliver()
        _ = try stage[1].raft.propose([1], term: stage[1].raft.term)
        stage.deliver()
        #expect(stage[1].raft.commitIndex == LogIndex(3))
        #expect(stage[1].raft.holdsLease(at: stage[1].clock, applied: LogIndex(3)))
        #expect(!stage[1].raft.holdsLease(at: stage[1].clock, applied: LogIndex(2)))
    }

    /// Who will be the only voter asks nobody: it may lead as soon as the change is in its log.
    @Test func endsWhenTheLeaderGivesUpItsVote() throws {
        let stage = Stage(voters: 2)
        stage.elect(1)
        stage.run(ticks: 1)
        #expect(stage[1].raft.leaseEnd != nil)
        stage.blocked = [[NodeID(2), NodeID(1)]]
        try stage[1].raft.proposeConfiguration(.assign(NodeID(1), .standBy), term: stage[1].raft.term)
        #expect(stage[1].raft.leaseEnd == nil)
        stage.deliver()
        #expect(stage[1].raft.role == .leader && stage[2].raft.configuration.voters == [NodeID(2)])
        // It waits as long as it hears the leader, and no longer than others do.
        stage.tick(2)
        #expect(stage[2].raft.role == .follower)
        stage.tick(2, times: 12)
        #expect(stage[2].raft.role == .leader)
    }

    /// A majority has to answer, this node included.
    @Test func needsAMajority() {
        let stage = Stage(voters: 5)
        stage.elect(1)
        let before = stage[1].raft.leaseEnd
        stage.isolate(NodeID(2))
        stage.isolate(NodeID(3))
        stage.isolate(NodeID(4))
        stage.tick(1)
        stage.deliver()
        #expect(before != nil && stage[1].raft.leaseEnd == before)
        stage.blocked = [[NodeID(1), NodeID(4)], [NodeID(1), NodeID(3)]]
        stage.tick(1)
        stage.deliver()
        #expect(stage[1].raft.leaseEnd == stage[1].clock + Self.duration)
    }

    /// None before an entry of the own term is committed.
    @Test func needsACommitInTheTerm() {
        let stage = Stage(voters: 3)
        stage[2].diskIsSlow = true
        stage[3].diskIsSlow = true
        stage.elect(1)
        stage.persist(NodeID(2))
        stage.deliver()
        #expect(stage[1].raft.role == .leader && stage[1].raft.commitIndex == .zero)
        stage.tick(1)
        stage.deliver()
        #expect(stage[1].raft.leaseEnd == nil)
        stage.persist(NodeID(2))
        stage.deliver()
        #expect(stage[1].raft.leaseEnd != nil)
    }

    /// Once TimeoutNow was sent another node may win at any moment, for the rest of the term.
    @Test func endsWithTimeoutNow() throws {
        let stage = self.leader()
        #expect(stage[1].raft.leaseEnd != nil)
        stage.isolate(NodeID(2))
        try stage[1].raft.transferLeadership(to: NodeID(2))
        #expect(stage[1].raft.leaseEnd == nil)
        stage.run(ticks: 8)
        #expect(stage[1].raft.role == .leader && stage[1].raft.transferTarget == nil)
        #expect(stage[1].raft.leaseEnd == nil)
    }

    @Test func canBeOff() {
        var settings = Self.settings
        settings.leases = false
        #expect(self.leader(settings: settings)[1].raft.leaseEnd == nil)
    }

    /// Answers of nodes that repeat no rounds (C nodes) give no lease, and confirm no read.
    @Test func answersWithoutARoundProveNothing() throws {
        let stage = self.leader()
        let before = stage[1].raft.leaseEnd
        stage.tick(1)
        try stage[1].raft.readIndex(7)
        stage.process(NodeID(1))
        stage.network = []
        for id: UInt64 in 2...3 {
            stage.step(
                .appendEntriesResult(AppendEntriesResult(term: Term(2), lastLogIndex: LogIndex(2))), from: id, to: 1)
        }
        #expect(stage[1].raft.leaseEnd == before)
        #expect(stage[1].readStates.isEmpty)
    }

    /// Rule 31: bytes from the leader keep a follower from standing; bytes from others do not.
    @Test(arguments: [1, 3] as [UInt64]) func bytesCountAsContact(sender: UInt64) {
        let stage = self.leader()
        for _ in 0..<13 {
            stage[2].raft.contact(from: NodeID(sender))
            stage.tick(2)
        }
        #expect(stage[2].raft.role == (sender == 1 ? .follower : .preCandidate))
    }
}
