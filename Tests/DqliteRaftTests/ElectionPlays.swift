import Testing

/// Elections as plays: paper 5.2 and 5.4.1, pre-vote of thesis 9.6, and who may not vote.
@Suite struct ElectionPlays {
    /// Paper 5.2: votes of a majority elect, and the leader tells everybody.
    @Test func aMajorityElects() {
        Play.perform(
            """
            voters 3
            isolate 3
            elect 1
            expect 1 leader term 2 commit 2
            expect 2 follower term 2 of 1
            expect 3 follower term 1 of nobody
            """)
    }

    /// Paper 5.2: without a majority nobody leads.
    @Test func aMinorityDoesNotElect() {
        Play.perform(
            """
            voters 5
            isolate 1
            elect 1
            expect 1 preCandidate term 1 of nobody
            """)
    }

    /// Paper 5.4.1: a log with an older last term loses, however long it is; among equal terms the longer one wins.
    @Test func theNewerLogWins() {
        Play.perform(
            """
            voters 3
            log 1 1 1 1 1
            log 2 3
            log 3 3 3
            elect 1
            expect 1 follower of nobody
            elect 2
            expect 2 leader term 4
            isolate 2
            pass 1
            pass 3
            elect 3
            expect 3 leader
            expect 1 follower of 3
            """)
    }

    /// Thesis 9.6: a node that cannot win does not raise its term, so it disturbs nobody when it comes back.
    @Test func preVoteKeepsTheTerm() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 3
            tick 3 100
            expect 3 preCandidate term 2
            heal
            run 2
            expect 1 leader term 2
            expect 3 follower term 2 of 1
            """)
    }

    /// Thesis 4.2.3: who hears a leader votes for nobody, and does not take over the candidate's term.
    @Test func whoHearsALeaderDoesNotVote() {
        Play.perform(
            """
            voters 3
            elect 1
            cut 1 3
            run 14            # 3 hears nothing, 2 still does
            expect 1 leader term 2
            expect 2 follower term 2 of 1
            expect 3 term 2
            """)
    }

    /// Rule 28: for one election timeout after its start a node votes for nobody: it may have heard a leader before.
    @Test func aStartedNodeWaits() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            crash 2
            restart 2
            campaign 3
            deliver
            expect 3 preCandidate term 2
            tick 2 4
            campaign 3
            deliver
            expect 3 preCandidate term 2
            tick 2 2
            campaign 3
            deliver
            expect 3 leader term 3
            """)
    }

    /// Rule 28: the only voter waits for nobody.
    @Test func theOnlyVoterElectsItselfAtOnce() {
        Play.perform(
            """
            voters 1
            tick 1
            expect 1 leader term 2 commit 2
            """)
    }

    /// Thesis 6.2: a leader that a majority does not answer steps down within two election timeouts.
    @Test func aLeaderWithoutQuorumStepsDown() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            tick 1 12
            expect 1 follower term 2 of nobody
            """)
    }

    /// Rule 26: a vote counts and is answered only once it is durable, the candidate's own as well.
    @Test func votesWaitForTheDisk() {
        Play.perform(
            """
            voters 3
            slow 2
            isolate 3
            elect 1
            expect 1 candidate term 2
            persist 2
            deliver
            expect 1 leader term 2
            """)
        Play.perform(
            """
            voters 3
            slow 1
            pass 2
            pass 3
            campaign 1
            deliver
            expect 2 follower term 1          # not even asked
            expect 1 candidate term 2
            persist 1
            deliver
            expect 1 leader term 2
            """)
    }

    /// Paper 5.1: a vote outlives a crash, so a term has one leader.
    @Test func aVoteOutlivesACrash() {
        Play.perform(
            """
            voters 3
            cut 1 3
            pass 2
            campaign 1
            deliver
            expect 1 leader term 2
            crash 1
            crash 2
            restart 1
            restart 2
            expect 1 follower term 2
            expect 2 follower term 2
            pass 2
            campaign 1
            deliver
            expect 1 leader term 3
            """)
    }
}
