import DqliteRaft
import Testing

@testable import DqliteNode

@Suite struct CatchUpPaceTests {
    private let start = MonotonicInstant(.seconds(5))

    private static func isDue(_ pace: inout CatchUpPace, _ now: MonotonicInstant) -> Bool { pace.isDue(now: now) }

    @Test func whoIsAloneDoesNotRest() {
        var pace = CatchUpPace()
        #expect(Self.isDue(&pace, self.start) == false)
        pace.wait(sent: 100, proposed: 0, now: self.start)
        #expect(Self.isDue(&pace, self.start))
        #expect(Self.isDue(&pace, self.start) == false)
        pace.wait(sent: 100, proposed: 0, now: self.start + .milliseconds(10))
        #expect(pace.due == self.start + .milliseconds(10))
    }

    @Test func othersHaveTwoThirds() {
        var pace = CatchUpPace()
        pace.wait(sent: 100, proposed: 20, now: self.start)
        #expect(Self.isDue(&pace, self.start))
        let answered = self.start + .milliseconds(10)
        pace.wait(sent: 100, proposed: 20, now: answered)
        // Who asks again does not begin anew.
        pace.wait(sent: 100, proposed: 20, now: answered + .milliseconds(5))
        #expect(pace.due == answered + .milliseconds(20))
        #expect(Self.isDue(&pace, answered + .milliseconds(19)) == false)
        #expect(Self.isDue(&pace, answered + .milliseconds(20)))
    }

    @Test func aRestEnds() {
        var pace = CatchUpPace()
        pace.wait(sent: 100, proposed: 20, now: self.start)
        _ = pace.isDue(now: self.start)
        pace.wait(sent: 100, proposed: 20, now: self.start + .seconds(3))
        #expect(pace.due == self.start + .seconds(3) + .milliseconds(100))
    }

    /// Who does not come nearer gets no rest, and more at a time.
    @Test func nobodyStaysBehind() {
        var pace = CatchUpPace()
        pace.wait(sent: 100, proposed: 100, now: self.start)
        _ = pace.isDue(now: self.start)
        var now = self.start
        for factor in [2, 4, 8, 16, 32, 32] {
            now = now + .milliseconds(10)
            pace.wait(sent: 100, proposed: 100, now: now)
            #expect(pace.factor == factor)
            #expect(Self.isDue(&pace, now))
        }
        now = now + .milliseconds(10)
        pace.wait(sent: 3200, proposed: 2000, now: now)
        #expect(pace.factor == 32 && pace.due == now)
        _ = pace.isDue(now: now)
        now = now + .milliseconds(10)
        pace.wait(sent: 3200, proposed: 1000, now: now)
        #expect(pace.due == now + .milliseconds(20))
    }
}
