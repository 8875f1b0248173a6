import DqliteRaft
import TestSupport
import Testing

@testable import struct DqliteRaft.Raft

/// Messages that no honest node sends: ignored or refused, and never trapped on.
@Suite struct HostileTests {
    private static func word(_ random: inout SeededRandom) -> UInt64 {
        switch random.next() % 8 {
        case 0: UInt64.max - random.next() % 3
        case 1: UInt64(Int64.max) - random.next() % 3
        case 2: random.next()
        default: random.next() % 6
        }
    }

    private static func message(_ random: inout SeededRandom) -> Message {
        let term = Term(Self.word(&random))
        let index = LogIndex(Self.word(&random))
        let other = LogIndex(Self.word(&random))
        let earlier = Term(Self.word(&random))
        let (one, two) = (random.once(in: 2), random.once(in: 2))
        switch random.next() % 6 {
        case 0:
            return .requestVote(
                RequestVote(
                    term: term, candidate: NodeID(random.next() % 4), lastLogIndex: index, lastLogTerm: earlier,
                    disruptLeader: one, preVote: two))
        case 1: return .requestVoteResult(RequestVoteResult(term: term, granted: one, preVote: two))
        case 2:
            let kinds: [Entry.Kind] = [.command, .barrier, .configuration, Entry.Kind(rawValue: 9)]
            let entries = (0..<random.next() % 4).map { place in
                Entry(
                    index: one ? LogIndex(index.rawValue &+ place &+ 1) : LogIndex(Self.word(&random)),
                    term: two ? term : Term(Self.word(&random)), kind: kinds[Int(random.next() % 4)],
                    data: random.once(in: 2) ? Configuration.voters(2).encoded() : [1, 2])
            }
            return .appendEntries(
                AppendEntries(
                    term: term, previousIndex: index, previousTerm: earlier, leaderCommit: other, entries: entries,
                    round: Self.word(&random)))
        case 3:
            return .appendEntriesResult(
                AppendEntriesResult(term: term, rejected: other, lastLogIndex: index, round: Self.word(&random)))
        case 4:
            return .installSnapshot(
                InstallSnapshot(
                    term: term,
                    snapshot: SnapshotMetadata(
                        index: index, term: earlier, configuration: .voters(1 + Int(random.next() % 3)),
                        configurationIndex: other)))
        default: return .timeoutNow(TimeoutNow(term: term, lastLogIndex: index, lastLogTerm: earlier))
        }
    }

    /// Any messages in any state: what was committed stays, and the places keep their order.
    @Test(arguments: 1...40 as ClosedRange<UInt64>) func anything(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let stage = Stage(voters: 3, logs: [1: [1, 2], 2: [1, 2], 3: [1]])
        if seed % 2 == 0 { stage.elect(1) }
        stage[1].diskIsSlow = seed % 3 == 0
        for _ in 0..<300 {
            let raft = stage[1].raft
            stage.step(Self.message(&random), from: random.next() % 5, to: 1)
            if random.once(in: 10) { stage.tick(1) }
            if random.once(in: 10) { stage.persist(NodeID(1)) }
            if let offered = stage[1].offered, random.once(in: 3) {
                stage.persist(NodeID(1))
                stage[1].storage.install(offered)
                stage[1].raft.snapshotInstalled(offered)
                stage[1].offered = nil
            }
            #expect(stage[1].raft.term >= raft.term && stage[1].raft.commitIndex >= raft.commitIndex)
            #expect(stage[1].raft.commitIndex <= stage[1].raft.lastIndex)
            #expect(stage[1].raft.durableIndex <= stage[1].raft.lastIndex)
            #expect(stage[1].raft.held.count <= Raft.maximumHeld)
            stage.network = []
        }
    }

    /// Only the leader of the term may send entries in it.
    @Test func entriesOfAnotherNode() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        let entry = Entry(index: LogIndex(3), term: Term(2), data: [6])
        let request = AppendEntries(
            term: Term(2), previousIndex: LogIndex(2), previousTerm: Term(2), leaderCommit: LogIndex(3),
            entries: [entry])
        stage.step(.appendEntries(request), from: 3, to: 2)
        #expect(stage[2].raft.lastIndex == LogIndex(2))
        stage.step(.appendEntries(request), from: 3, to: 1)
        #expect(stage[1].raft.role == .leader && stage[1].raft.lastIndex == LogIndex(2))
        stage.step(.appendEntries(request), from: 1, to: 2)
        #expect(stage[2].raft.lastIndex == LogIndex(3))
    }

    /// What is committed is not overwritten, whoever asks.
    @Test func committedEntriesStay() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        // They hear what is committed.
        stage.run(ticks: 1)
        let entry = Entry(index: LogIndex(2), term: Term(9), data: [6])
        let request = AppendEntries(
            term: Term(9), previousIndex: LogIndex(1), previousTerm: Term(1), leaderCommit: .zero, entries: [entry])
        stage.step(.appendEntries(request), from: 3, to: 2)
        #expect(stage[2].raft.log.term(at: LogIndex(2)) == Term(2))
    }

    /// TimeoutNow of a node that does not lead, or of a leader whose log this node does not have, is not heeded.
    @Test func timeoutNowOfAnotherNode() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        let request = TimeoutNow(term: Term(2), lastLogIndex: LogIndex(2), lastLogTerm: Term(2))
        stage.step(.timeoutNow(request), from: 3, to: 2)
        #expect(stage[2].raft.role == .follower)
        var longer = request
        longer.lastLogIndex = LogIndex(3)
        stage.step(.timeoutNow(longer), from: 1, to: 2)
        #expect(stage[2].raft.role == .follower)
        stage.step(.timeoutNow(request), from: 1, to: 2)
        #expect(stage[2].raft.role == .candidate || stage[2].raft.role == .leader)
    }

    /// Answers of nodes that are no members do not count, and do not disturb.
    @Test func strangers() {
        let stage = Stage(voters: 3)
        stage.isolate(NodeID(1))
        stage.elect(1)
        #expect(stage[1].raft.role == .preCandidate)
        for stranger: UInt64 in 7...9 {
            stage.step(
                .requestVoteResult(RequestVoteResult(term: Term(2), granted: true, preVote: true)), from: stranger,
                to: 1)
            stage.step(
                .appendEntriesResult(AppendEntriesResult(term: Term(99), lastLogIndex: .zero)), from: stranger, to: 1)
        }
        #expect(stage[1].raft.role == .preCandidate && stage[1].raft.term == Term(1))
    }
}
