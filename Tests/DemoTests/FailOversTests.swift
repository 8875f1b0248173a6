import Testing

@testable import demo

struct FailOversTests {
    private func ms(_ number: Int) -> Duration { .milliseconds(number) }

    @Test func fromTheLastRowBeforeToTheFirstAfter() {
        var failOvers = FailOvers()
        for time in [0, 10, 20] { #expect(failOvers.acknowledged(at: ms(time)) == nil) }
        failOvers.leaderDied()
        // On its way when the leader died.
        #expect(failOvers.acknowledged(at: ms(25)) == nil)
        failOvers.leads()
        #expect(failOvers.acknowledged(at: ms(1025)) == FailOvers.Gap(from: ms(25), to: ms(1025)))
        #expect(failOvers.acknowledged(at: ms(1030)) == nil)
        #expect(failOvers.gaps.map(\.length) == [ms(1000)])
    }

    @Test func theFirstRowMayBeHeardBeforeTheLeader() {
        var failOvers = FailOvers()
        _ = failOvers.acknowledged(at: ms(10))
        failOvers.leaderDied()
        #expect(failOvers.acknowledged(at: ms(900)) == nil)
        failOvers.leads()
        #expect(failOvers.acknowledged(at: ms(905))?.length == ms(890))
    }

    @Test func aLeaderThatIsLostUnannounced() {
        var failOvers = FailOvers()
        for time in [0, 10, 700] { _ = failOvers.acknowledged(at: ms(time)) }
        failOvers.leads()
        #expect(failOvers.acknowledged(at: ms(720))?.length == ms(690))
    }

    @Test func theFirstLeaderEndsNoGap() {
        var failOvers = FailOvers()
        failOvers.leads()
        #expect(failOvers.acknowledged(at: ms(10)) == nil)
        #expect(failOvers.acknowledged(at: ms(20)) == nil)
    }

    @Test func timeWithoutAMajority() {
        var failOvers = FailOvers()
        _ = failOvers.acknowledged(at: ms(100))
        failOvers.leaderDied()
        #expect(failOvers.hasMajority)
        failOvers.majority(isThere: false, at: ms(200))
        #expect(!failOvers.hasMajority)
        failOvers.majority(isThere: true, at: ms(500))
        failOvers.leads()
        #expect(failOvers.acknowledged(at: ms(1500))?.withoutMajority == ms(300))
    }
}
