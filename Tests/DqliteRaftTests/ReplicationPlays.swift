import Testing

/// Replication as plays: paper 5.3, 5.4.2, and storage that takes its time.
@Suite struct ReplicationPlays {
    /// Paper 5.3: what a majority has durably is committed, and everybody applies it in order.
    @Test func aMajorityCommits() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 3
            propose 1 a
            propose 1 b
            deliver
            expect 1 commit 4
            expect 1 applied a b
            run 1
            expect 2 applied a b
            expect 3 applied
            heal
            run 2
            expect 3 applied a b
            """)
    }

    /// Paper 5.3, figure 7: whatever followers lack or have too much, the leader's log replaces it.
    @Test func theLeadersLogReplacesWhatConflicts() {
        Play.perform(
            """
            voters 7
            log 1 1 1 4 4 5 5 6 6 6
            log 2 1 1 4 4 5 5 6 6
            log 3 1 1 4
            log 4 1 1 4 4 5 5 6 6 6 6
            log 5 1 1 4 4 5 5 6 6 6 7 7
            log 6 1 1 4 4 4 4
            log 7 1 1 2 2 2 3 3 3 3 3
            terms 7
            elect 1
            expect 1 leader term 8
            run 3
            expect 1 log 1 1 1 4 4 5 5 6 6 6 8
            expect 2 log 1 1 1 4 4 5 5 6 6 6 8
            expect 3 log 1 1 1 4 4 5 5 6 6 6 8
            expect 4 log 1 1 1 4 4 5 5 6 6 6 8
            expect 5 log 1 1 1 4 4 5 5 6 6 6 8
            expect 6 log 1 1 1 4 4 5 5 6 6 6 8
            expect 7 log 1 1 1 4 4 5 5 6 6 6 8
            """)
    }

    /// Paper 5.4.2, figure 8: an entry of an earlier term on a majority is not committed until one of the own term is.
    @Test func countingDoesNotCommitEarlierTerms() {
        Play.perform(
            """
            voters 3
            log 1 2
            log 2 2
            isolate 3
            slow 1
            slow 2
            pass 2
            campaign 1
            deliver
            persist 1
            deliver
            persist 2
            deliver
            expect 1 leader term 3 last 3 commit 0      # 2 is on two disks, but its term is 2
            persist 1
            persist 2
            deliver
            expect 1 leader commit 3
            """)
    }

    /// Thesis 10.2.1: the leader's own disk counts like any other, and nobody waits for it.
    @Test func followersCommitBeforeTheLeadersDisk() {
        Play.perform(
            """
            voters 3
            elect 1
            slow 1
            propose 1 a
            deliver
            expect 1 commit 3 durable 2
            expect 1 applied a
            """)
        Play.perform(
            """
            voters 3
            elect 1
            isolate 3
            slow 1
            propose 1 a
            deliver
            expect 1 commit 2 durable 2
            persist 1
            expect 1 commit 3 durable 3
            """)
    }

    /// Rule 26: a follower acknowledges what is durable.
    @Test func acknowledgmentsWaitForTheDisk() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 3
            slow 2
            propose 1 a
            deliver
            expect 1 commit 2
            persist 2
            deliver
            expect 1 commit 3
            """)
    }

    /// Paper 5.3: lost messages are found by the next heartbeat, and sent again.
    @Test func lostEntriesAreSentAgain() {
        Play.perform(
            """
            voters 3
            elect 1
            cut 1 2
            propose 1 a
            propose 1 b
            deliver
            heal
            run 3
            expect 2 applied a b
            """)
    }

    /// Paper 5.3: what was not committed is lost with its leader.
    @Test func uncommittedEntriesOfAnOldLeaderGo() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            propose 1 lost
            deliver
            pass 2
            pass 3
            campaign 2
            deliver
            expect 2 leader term 3
            propose 2 kept
            heal
            run 3
            expect 1 follower term 3 of 2
            expect 1 applied kept
            expect 1 log 1 2 3 3
            """)
    }

    /// Only a leader takes proposals.
    @Test func followersRefuseProposals() {
        Play.perform(
            """
            voters 3
            elect 1
            propose 2 a
            expect refused
            propose 1 a
            expect accepted
            """)
    }
}
