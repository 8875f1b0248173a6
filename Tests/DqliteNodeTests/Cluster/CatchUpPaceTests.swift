import DqliteRaft
import Testing

@testable import DqliteNode

@Suite struct CatchUpPaceTests {
    private let start = MonotonicInstant(.seconds(5))

    private static func isDue(_ pace: inout CatchUpPace, _ now: MonotonicInstant) -> Bool { pace.isDue(now: now) }

    @Test func whoIsAloneDoesNotRest() {
        var pace = CatchUpPace()
        #expect(Self.isDue(&pace, self.start) == false)
        pace.wait(isBusy: false, now: self.start)
        #expect(Self.isDue(&pace, self.start))
        #expect(Self.isDue(&pace, self.start) == false)
        pace.wait(isBusy: false, now: self.start + .milliseconds(10))
        #expect(pace.due == self.start + .milliseconds(10))
    }

    @Test func othersHaveTwoThirds() {
        var pace = CatchUpPace()
        pace.wait(isBusy: true, now: self.start)
        #expect(Self.isDue(&pace, self.start))
        let answered = self.start + .milliseconds(10)
        pace.wait(isBusy: true, now: answered)
        // Who asks again does not begin anew.
        pace.wait(isBusy: true, now: answered + .milliseconds(5))
        #expect(pace.due == answered + .milliseconds(20))
        #expect(Self.isDue(&pace, answered + .milliseconds(19)) == false)
        #expect(Self.isDue(&pace, answered + .milliseconds(20)))
    }

    @Test func aRestEnds() {
        var pace = CatchUpPace()
        pace.wait(isBusy: true, now: self.start)
        _ = pace.isDue(now: self.start)
        pace.wait(isBusy: true, now: self.start + .seconds(3))
        #expect(pace.due == self.start + .seconds(3) + .milliseconds(100))
    }
}
