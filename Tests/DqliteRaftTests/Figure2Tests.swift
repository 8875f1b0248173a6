import DqliteRaft
import Testing

@testable import struct DqliteRaft.Raft

/// Figure 2 of the Raft paper, a test for each of its rules, message by message.
@Suite struct Figure2Tests {
    /// The answers that a node has sent since, oldest first.
    private func answers(_ stage: Stage, of id: UInt64) -> [Message] {
        stage.sent.filter { $0.from == NodeID(id) }.map(\.message)
    }

    private func append(
        _ previous: UInt64, _ previousTerm: UInt64, _ terms: [UInt64] = [], term: UInt64 = 4, commit: UInt64 = 0
    ) -> Message {
        let entries = terms.enumerated().map { place, term in
            let index = LogIndex(previous + UInt64(place) + 1)
            return Entry(index: index, term: Term(term), data: Array("\(index)".utf8))
        }
        return .appendEntries(
            AppendEntries(
                term: Term(term), previousIndex: LogIndex(previous), previousTerm: Term(previousTerm),
                leaderCommit: LogIndex(commit), entries: entries))
    }

    private func vote(_ index: UInt64, _ lastTerm: UInt64, term: UInt64, from candidate: UInt64 = 1) -> Message {
        .requestVote(
            RequestVote(
                term: Term(term), candidate: NodeID(candidate), lastLogIndex: LogIndex(index),
                lastLogTerm: Term(lastTerm)))
    }

    private func result(_ term: UInt64, rejected: UInt64 = 0, last: UInt64) -> Message {
        .appendEntriesResult(
            AppendEntriesResult(term: Term(term), rejected: LogIndex(rejected), lastLogIndex: LogIndex(last)))
    }

    // MARK: AppendEntries RPC

    /// 1. Reply false if term < currentTerm.
    @Test func appendOfAnOlderTermIsRefused() {
        let stage = Stage(voters: 3, logs: [2: [3]])
        stage.step(self.append(2, 1, [2], term: 2), from: 1, to: 2)
        #expect(self.answers(stage, of: 2) == [self.result(3, rejected: 2, last: 2)])
        #expect(stage[2].raft.lastIndex == LogIndex(2))
    }

    /// 2. Reply false if the log has no entry at prevLogIndex whose term matches prevLogTerm.
    @Test func appendAfterAMismatchIsRefused() {
        let stage = Stage(voters: 3, logs: [2: [1, 3]])
        stage.step(self.append(9, 3), from: 1, to: 2)
        stage.step(self.append(3, 2), from: 1, to: 2)
        // The hints: the end of the log, and the last place whose term is not newer than that of the leader.
        #expect(
            self.answers(stage, of: 2) == [self.result(4, rejected: 9, last: 3), self.result(4, rejected: 3, last: 2)])
    }

    /// 3. A conflicting entry is deleted with all that follow it. 4. New entries are appended.
    @Test func conflictsAreReplaced() {
        let stage = Stage(voters: 3, logs: [2: [1, 2, 2, 2]])
        stage.step(self.append(2, 1, [3]), from: 1, to: 2)
        #expect(stage[2].storage.entries.map(\.term.rawValue) == [1, 1, 3])
        #expect(self.answers(stage, of: 2) == [self.result(4, last: 3)])
    }

    /// 3. Entries that follow without conflict stay, for a message may be older than what came since.
    @Test func whatDoesNotConflictStays() {
        let stage = Stage(voters: 3, logs: [2: [1, 1, 1]])
        stage.step(self.append(1, 1, [1]), from: 1, to: 2)
        #expect(stage[2].raft.lastIndex == LogIndex(4))
        #expect(self.answers(stage, of: 2) == [self.result(4, last: 2)])
    }

    /// 5. commitIndex = min(leaderCommit, index of last new entry).
    @Test func commitIsBoundedByWhatIsVerified() {
        let stage = Stage(voters: 3, logs: [2: [1, 1, 1]])
        stage.step(self.append(1, 1, [1], commit: 4), from: 1, to: 2)
        #expect(stage[2].raft.commitIndex == LogIndex(2))
        stage.step(self.append(4, 1, commit: 3), from: 1, to: 2)
        #expect(stage[2].raft.commitIndex == LogIndex(3))
    }

    // MARK: RequestVote RPC

    /// 1. Reply false if term < currentTerm.
    @Test func voteOfAnOlderTermIsRefused() {
        let stage = Stage(voters: 3, logs: [2: [3]])
        stage.forgetLeader(NodeID(2))
        stage.step(self.vote(9, 1, term: 2), from: 1, to: 2)
        #expect(self.answers(stage, of: 2) == [.requestVoteResult(RequestVoteResult(term: Term(3), granted: false))])
    }

    /// 2. One vote in a term, and again for the same candidate.
    @Test func oneVoteInATerm() {
        let stage = Stage(voters: 3)
        stage.forgetLeader(NodeID(2))
        stage.step(self.vote(1, 1, term: 5), from: 1, to: 2)
        stage.step(self.vote(1, 1, term: 5, from: 3), from: 3, to: 2)
        stage.step(self.vote(1, 1, term: 5), from: 1, to: 2)
        let expected = [true, false, true].map {
            Message.requestVoteResult(RequestVoteResult(term: Term(5), granted: $0))
        }
        #expect(self.answers(stage, of: 2) == expected)
        #expect(stage[2].storage.hardState == HardState(term: Term(5), vote: NodeID(1)))
    }

    /// 2. Only for a candidate whose log is at least as up to date (5.4.1).
    @Test(
        arguments: [(4, 2, true), (3, 3, true), (3, 2, true), (2, 2, false), (9, 1, false)] as [(UInt64, UInt64, Bool)])
    func onlyForACandidateThatIsUpToDate(index: UInt64, lastTerm: UInt64, granted: Bool) {
        let stage = Stage(voters: 3, logs: [2: [1, 2]])
        stage.forgetLeader(NodeID(2))
        stage.step(self.vote(index, lastTerm, term: 5), from: 1, to: 2)
        #expect(self.answers(stage, of: 2) == [.requestVoteResult(RequestVoteResult(term: Term(5), granted: granted))])
    }

    // MARK: All servers

    /// If commitIndex > lastApplied: apply, in order.
    @Test func committedEntriesAreAppliedInOrder() {
        let stage = Stage(voters: 3, logs: [2: [1, 1]])
        stage.step(self.append(3, 1, [4, 4], commit: 2), from: 1, to: 2)
        stage.step(self.append(5, 4, commit: 5), from: 1, to: 2)
        #expect(stage[2].applied.map(\.index.rawValue) == [1, 2, 3, 4, 5])
    }

    /// A message with a newer term: take it over, and follow.
    @Test func aNewerTermIsFollowed() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        stage.step(self.result(7, rejected: 1, last: 1), from: 2, to: 1)
        #expect(stage[1].raft.role == .follower && stage[1].raft.term == Term(7))
        #expect(stage[1].storage.hardState == HardState(term: Term(7)))
        stage.elect(1)
        stage.step(self.append(1, 1, term: 20), from: 3, to: 1)
        #expect(stage[1].raft.role == .follower && stage[1].raft.leader == NodeID(3))
    }

    // MARK: Followers and candidates

    /// Without a leader for an election timeout: stand. Timeouts are random, between one and two (5.2).
    @Test func timeoutsAreRandom() {
        var waits: Set<Int> = []
        for seed: UInt64 in 0..<200 {
            let stage = Stage(seed: seed)
            stage.add(NodeID(1), TestStorage(.voters(3)))
            var ticks = 0
            while stage[1].raft.role == .follower, ticks < 100 {
                stage.tick(1)
                ticks += 1
            }
            waits.insert(ticks)
        }
        #expect(waits == Set(7...12))
    }

    /// To begin an election: a new term, a vote for oneself, RequestVote to all others.
    @Test func aCandidateAsksEverybody() {
        let stage = Stage(voters: 3)
        stage[1].raft.campaign(.election)
        stage.process(NodeID(1))
        #expect(stage[1].storage.hardState == HardState(term: Term(2), vote: NodeID(1)))
        #expect(stage.sent.map(\.to) == [NodeID(2), NodeID(3)])
        #expect(stage.sent.map(\.message) == [self.vote(1, 1, term: 2), self.vote(1, 1, term: 2)])
    }

    /// AppendEntries of a new leader: follow it.
    @Test func aCandidateFollowsTheLeaderOfItsTerm() {
        let stage = Stage(voters: 3)
        stage[1].raft.campaign(.election)
        stage.process(NodeID(1))
        stage.step(self.append(1, 1, term: 2), from: 2, to: 1)
        #expect(stage[1].raft.role == .follower && stage[1].raft.leader == NodeID(2))
    }

    /// The timeout passes: a new election.
    @Test func aCandidateTriesAgain() {
        let stage = Stage(voters: 3)
        stage[1].raft.campaign(.election)
        stage.process(NodeID(1))
        stage.sent = []
        stage.tick(1, times: 13)
        #expect(
            stage.sent.contains {
                if case .requestVote(let request) = $0.message { request.term == Term(3) } else { false }
            })
    }

    // MARK: Leaders

    /// Heartbeats upon election and while idle.
    @Test func heartbeats() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        stage.sent = []
        stage.tick(1)
        #expect(stage.sent.map(\.to) == [NodeID(2), NodeID(3)])
        for flight in stage.sent {
            guard case .appendEntries(let request) = flight.message else {
                Issue.record("\(flight)")
                continue
            }
            #expect(request.entries.isEmpty && request.previousIndex == LogIndex(2))
        }
    }

    /// nextIndex goes back after a refusal, and the peer gets what it lacks; matchIndex is what it has durably.
    @Test func nextIndexGoesBack() {
        let stage = Stage(voters: 3, logs: [1: [1, 1, 1, 1], 2: [1, 1, 1, 1], 3: []])
        stage.elect(1)
        #expect(stage[3].raft.lastIndex == LogIndex(6))
        #expect(stage[1].raft.peers.map(\.match) == [LogIndex(6), LogIndex(6)])
    }
}
