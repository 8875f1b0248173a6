import Testing

/// Changes of the configuration (thesis 4.1 to 4.3), and handovers (thesis 3.10).
@Suite struct MembershipPlays {
    /// Thesis 4.2.1: a new member joins as a spare, catches up, and then votes.
    @Test func aMemberJoins() {
        Play.perform(
            """
            voters 3
            spare 4
            elect 1
            propose 1 a
            deliver
            expect 4 last 0                     # a spare gets nothing
            assign 1 4 voter
            expect accepted
            expect 1 voters 1 2 3               # it has to catch up first
            run 2
            expect 1 voters 1 2 3 4
            expect 4 applied a
            expect 4 voters 1 2 3 4
            """)
    }

    /// A stand-by gets the log, and does not count.
    @Test func aStandByDoesNotCount() {
        Play.perform(
            """
            voters 3
            standby 4
            elect 1
            isolate 2
            isolate 3
            propose 1 a
            deliver
            expect 4 last 3 commit 2
            expect 1 commit 2
            """)
    }

    /// Thesis 4.1, with Ongaro's correction of 2015 (rule 27): no change before an entry of the own term is committed.
    @Test func noChangeBeforeAnOwnEntryIsCommitted() {
        Play.perform(
            """
            voters 3
            slow 2
            slow 3
            pass 2
            pass 3
            campaign 1
            deliver
            persist 2
            persist 3
            deliver
            expect 1 leader term 2 commit 0
            remove 1 3
            expect refused
            persist 2
            deliver
            expect 1 commit 2
            remove 1 3
            expect accepted
            """)
    }

    /// Thesis 4.1: one change at a time.
    @Test func oneChangeAtATime() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            add 1 4
            expect accepted
            add 1 5
            expect refused
            heal
            run 3
            add 1 5
            expect accepted
            """)
    }

    /// Thesis 4.1: a configuration is in use once it is in the log; when its entry goes, the one before is in use again.
    @Test func anUncommittedConfigurationIsRolledBack() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            remove 1 3
            expect 1 voters 1 2
            pass 2
            pass 3
            campaign 2
            deliver
            expect 2 leader
            heal
            run 3
            expect 1 voters 1 2 3
            """)
    }

    /// Thesis 4.2.2: a leader that is removed leads until that is committed, without counting itself.
    @Test func aRemovedLeaderStepsDown() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 3
            remove 1 1
            deliver
            expect 1 leader commit 2            # 1 and 2 have it; of 2 and 3 that is no majority
            heal
            run 2
            expect 1 follower commit 3
            run 14
            expect 2 voters 2 3
            expect 1 follower
            """)
    }

    /// Thesis 4.2.2: who may have been removed still stands, as it may be needed to commit its own removal.
    @Test func aLeaderThatDemotedItselfMayBeNeeded() {
        Play.perform(
            """
            voters 2
            elect 1
            isolate 1
            assign 1 1 spare
            deliver
            tick 1 12
            heal
            expect 1 follower
            run 30
            expect 2 leader
            expect 2 voters 2
            """)
    }

    /// A cluster keeps a voter.
    @Test func theLastVoterStays() {
        Play.perform(
            """
            voters 1
            tick 1
            remove 1 1
            expect refused
            """)
    }

    /// Thesis 3.10: the target stands at once, and wins although everybody heard the old leader.
    @Test func leadershipIsHandedOver() {
        Play.perform(
            """
            voters 3
            elect 1
            propose 1 a
            transfer 1 2
            expect accepted
            propose 1 b
            expect refused
            deliver
            expect 2 leader term 3
            expect 1 follower term 3 of 2
            expect 2 applied a
            """)
    }

    /// Thesis 3.10: a handover that takes an election timeout is given up, and the leader goes on.
    @Test func aFailedHandoverEnds() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 2
            propose 1 a
            transfer 1 2
            run 3
            propose 1 b
            expect refused
            run 3
            propose 1 b
            expect accepted
            deliver
            expect 1 leader term 2
            expect 1 applied a b
            """)
    }

    /// Only another voter can be handed leadership.
    @Test func onlyVotersAreTargets() {
        Play.perform(
            """
            voters 3
            standby 4
            elect 1
            transfer 1 4
            expect refused
            transfer 1 1
            expect refused
            transfer 2 3
            expect refused
            """)
    }
}
