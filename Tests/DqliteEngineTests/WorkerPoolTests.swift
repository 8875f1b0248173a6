import DqliteRaft
import Foundation
import Synchronization
import Testing

@testable import DqliteEngine

@Suite("Threads and alarms")
struct WorkerPoolTests {
    final class Work: Job {
        let body: @Sendable () -> Void
        init(_ body: @escaping @Sendable () -> Void) { self.body = body }
        func runJob() { self.body() }
    }

    @Test("threads are started while others are busy, up to the limit; then jobs wait, and too many are refused")
    func growth() {
        let pool = WorkerPool(maximumThreads: 3, maximumWaiting: 2, idleLimit: .seconds(30))
        #expect(pool.start())
        #expect(pool.threads == 1)
        let gate = DispatchSemaphore(value: 0)
        let started = DispatchSemaphore(value: 0)
        let done = DispatchSemaphore(value: 0)
        for _ in 0..<3 {
            #expect(
                pool.submit(
                    Work {
                        started.signal()
                        gate.wait()
                        done.signal()
                    }, isOptional: true))
            // A job that a starting thread has yet to take counts as one that waits.
            started.wait()
        }
        #expect(pool.threads == 3)
        #expect(pool.submit(Work { done.signal() }, isOptional: true))
        #expect(pool.submit(Work { done.signal() }, isOptional: true))
        #expect(!pool.submit(Work {}, isOptional: true))
        #expect(pool.submit(Work { done.signal() }, isOptional: false))
        for _ in 0..<3 { gate.signal() }
        for _ in 0..<6 { done.wait() }
        pool.stop()
        #expect(pool.waitUntilStopped(atMost: .seconds(30)))
        #expect(!pool.submit(Work {}, isOptional: false))
    }

    @Test("idle threads end, all but one")
    func retirement() {
        let pool = WorkerPool(maximumThreads: 4, maximumWaiting: 10, idleLimit: .milliseconds(1))
        #expect(pool.start())
        let gate = DispatchSemaphore(value: 0)
        for _ in 0..<4 { _ = pool.submit(Work { gate.wait() }, isOptional: true) }
        for _ in 0..<4 { gate.signal() }
        let limit = ContinuousClock.now + .seconds(30)
        while pool.threads > 1, ContinuousClock.now < limit { sched_yield() }
        #expect(pool.threads == 1)
        pool.stop()
        #expect(pool.waitUntilStopped(atMost: .seconds(30)))
    }

    final class Target: AlarmTarget {
        let times = Mutex<[Instant]>([])
        let rang = DispatchSemaphore(value: 0)

        func alarm(now: Instant) {
            self.times.withLock { $0.append(now) }
            self.rang.signal()
        }
    }

    @Test("alarms come in order, not too early, and not for who has gone")
    func alarms() {
        let clock = AlarmClock()
        #expect(clock.start())
        let targets = (0..<20).map { _ in Target() }
        let start = Instant.now
        for (index, target) in targets.enumerated().reversed() {
            clock.schedule(target, at: start + .milliseconds(index))
        }
        clock.schedule(Target(), at: start)
        for target in targets { target.rang.wait() }
        for (index, target) in targets.enumerated() {
            #expect(target.times.withLock { $0.count } == 1)
            #expect(target.times.withLock { $0[0] } >= start + .milliseconds(index))
        }
        let errand = DispatchSemaphore(value: 0)
        clock.perform { errand.signal() }
        errand.wait()
        clock.stop()
    }
}
