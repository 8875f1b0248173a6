import Testing

/// Reads by a read index (thesis 6.4).
@Suite struct ReadPlays {
    /// Thesis 6.4: a majority that answers a later heartbeat shows that nobody else leads.
    @Test func aMajorityConfirms() {
        Play.perform(
            """
            voters 3
            elect 1
            propose 1 a
            deliver
            isolate 3
            read 1 7
            read 1 8
            expect 1 reads
            deliver
            expect 1 reads 7@3 8@3
            """)
    }

    /// Thesis 6.4, step 1: not before an entry of the own term is committed.
    @Test func notBeforeAnOwnEntryIsCommitted() {
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
            expect 1 leader commit 0
            read 1 7
            deliver
            expect 1 reads
            persist 2
            deliver
            expect 1 reads 7@2
            """)
    }

    /// A leader that was replaced confirms nothing; its readers learn that.
    @Test func aReplacedLeaderConfirmsNothing() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            read 1 7
            pass 2
            pass 3
            campaign 2
            deliver
            expect 2 leader
            expect 1 reads
            heal
            run 2
            expect 1 reads 7@never
            """)
    }

    /// A lost round is made good by the next heartbeat.
    @Test func aLostRoundIsMadeGood() {
        Play.perform(
            """
            voters 3
            elect 1
            isolate 1
            read 1 7
            deliver
            heal
            run 1
            expect 1 reads 7@2
            """)
    }

    /// Nobody is left who could answer: what was asked of them is confirmed by this node alone.
    @Test func aLostVoterIsNotWaitedFor() {
        Play.perform(
            """
            voters 2
            elect 1
            isolate 2
            read 1 7
            expect 1 reads
            assign 1 2 standby
            expect accepted
            expect 1 voters 1
            tick 1
            expect 1 reads 7@2
            """)
    }

    @Test func followersRefuse() {
        Play.perform(
            """
            voters 3
            elect 1
            read 2 7
            expect refused
            """)
    }

    /// The only voter needs nobody.
    @Test func theOnlyVoterConfirmsItself() {
        Play.perform(
            """
            voters 1
            tick 1
            read 1 7
            expect 1 reads 7@2
            """)
    }
}
