import DqliteRaft
import Testing

@testable import struct DqliteRaft.Raft

/// Figure 2 of the Raft paper, a test for each of its rules.
@Suite struct Figure2Tests {
    /// Paper 5.2: a candidate with the votes of a majority leads.
    @Test func majorityElects() {
        let stage = Stage(voters: 3)
        stage.elect(1)
        #expect(stage[1].raft.role == .leader)
        #expect(stage[2].raft.leader == NodeID(1))
        #expect(stage[3].raft.leader == NodeID(1))
        #expect(stage[1].raft.term == Term(2))
    }

    /// Figure 2, Leaders: an entry on a majority of disks is committed, and applied everywhere.
    @Test func majorityCommits() throws {
        let stage = Stage(voters: 3)
        stage.elect(1)
        let index = try stage[1].raft.propose(Array("hello".utf8), term: Term(2))
        stage.deliver()
        for id: UInt64 in 1...3 {
            #expect(stage[id].raft.commitIndex == index)
            #expect(stage[id].applied.last?.data == Array("hello".utf8))
        }
    }
}
