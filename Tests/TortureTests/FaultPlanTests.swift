import Testing
import TortureChecks

@Suite struct FaultPlanTests {
    @Test func `The same seed gives the same plan, of the kinds that are allowed`() {
        for kinds in [Set(Fault.Kind.allCases), [.kill, .disk], [.partition]] {
            var first = FaultPlan(seed: 7, nodes: 3, kinds: kinds)
            var second = FaultPlan(seed: 7, nodes: 3, kinds: kinds)
            var seen: Set<Fault.Kind> = []
            for _ in 0..<500 {
                let step = first.next()
                #expect(step == second.next())
                for fault in step?.faults ?? [] { seen.insert(fault.kind) }
            }
            #expect(seen == kinds)
        }
    }

    @Test func `A node alone is not cut off from others`() {
        var plan = FaultPlan(seed: 1, nodes: 1, kinds: Set(Fault.Kind.allCases))
        for _ in 0..<100 {
            for fault in plan.next()?.faults ?? [] { #expect([.kill, .stop, .restart, .disk].contains(fault.kind)) }
        }
        var empty = FaultPlan(seed: 1, nodes: 1, kinds: [.partition])
        #expect(empty.next() == nil)
    }

    @Test func `The routes of partitions`() {
        func routes(_ shape: Partition.Shape, _ count: Int = 3) -> Set<String> {
            Set(Partition(shape, .leader, .held).routes(nodes: count, leader: 1).map(\.description))
        }
        #expect(routes(.mute) == ["node 2 → node 1", "node 2 → node 3"])
        #expect(routes(.deaf) == ["node 1 → node 2", "node 3 → node 2"])
        #expect(routes(.isolated) == routes(.mute).union(routes(.deaf)))
        #expect(routes(.split) == routes(.isolated))
        #expect(routes(.split, 5).count == 12)
        #expect(routes(.bridge) == ["node 1 → node 3", "node 3 → node 1"])
        #expect(routes(.unreachable) == ["clients → node 2", "node 2 → clients"])
        #expect(routes(.alone) == routes(.isolated).union(routes(.unreachable)))
    }

    @Test func `Whom a fault befalls`() {
        #expect(Fault.Target.leader.nodes(of: 3, leader: 2) == [2])
        #expect(Fault.Target.majority.nodes(of: 3, leader: 2) == [2, 0])
        #expect(Fault.Target.majority.nodes(of: 5, leader: 0) == [0, 1, 2])
        #expect(Fault.Target.all.nodes(of: 2, leader: nil) == [0, 1])
    }

    @Test func `The longest pause after each fault`() {
        let times = [1, 2, 3, 7, 8, 9, 10, 11, 12].map { Duration.seconds($0) }
        let gaps = FailoverGaps(
            faults: [.milliseconds(3500), .milliseconds(8500)], acknowledgments: times, end: .seconds(12))
        #expect(
            gaps
                == FailoverGaps(
                    faults: [.milliseconds(3500), .milliseconds(8500)], acknowledgments: times.reversed(),
                    end: .seconds(12)))
        #expect(gaps?.maximum == .seconds(4) && gaps?.median == .seconds(4) && gaps?.count == 2)
        #expect(FailoverGaps(faults: [], acknowledgments: times, end: .seconds(12)) == nil)
        #expect(FailoverGaps(faults: [.seconds(1)], acknowledgments: [], end: .seconds(12))?.maximum == .seconds(11))
    }
}
