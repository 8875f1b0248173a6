import TestSupport
import Testing

@testable import DqliteSimulation

/// The check of registers against one that tries all orders (Wing and Gong).
@Suite struct RegisterCheckTests {
    struct Operation: Hashable {
        var value: UInt64
        var isWrite: Bool
        var start: Int
        var end: Int?
    }

    /// Whether there is an order, one operation after the other, that explains what was read.
    static func isLinearizable(_ operations: [Operation]) -> Bool {
        struct Place: Hashable {
            var done: Set<Int>
            var value: UInt64
        }
        var seen: Set<Place> = []
        func search(_ place: Place) -> Bool {
            guard seen.insert(place).inserted else { return false }
            let rest = operations.indices.filter { !place.done.contains($0) }
            // Those that never ended need not have happened.
            if rest.allSatisfy({ operations[$0].end == nil }) { return true }
            let firstEnd = rest.map { operations[$0].end ?? .max }.min()!
            for next in rest where operations[next].start <= firstEnd {
                let operation = operations[next]
                guard operation.isWrite || operation.value == place.value else { continue }
                if search(Place(done: place.done.union([next]), value: operation.value)) { return true }
            }
            return false
        }
        return search(Place(done: [], value: 0))
    }

    static func check(_ operations: [Operation]) -> String? {
        var check = RegisterCheck()
        for operation in operations {
            if operation.isWrite {
                check.write(operation.value, start: operation.start, end: operation.end)
            } else {
                check.read(operation.value, start: operation.start, end: operation.end!)
            }
        }
        return check.violation()
    }

    @Test func agreesWithASearchOfAllOrders() {
        var random = SeededRandom(seed: 5)
        var count = (yes: 0, no: 0)
        for _ in 0..<2000 {
            let writes = 1 + random.below(3)
            let operations = (0..<writes + random.below(5)).map { place -> Operation in
                let start = random.below(20)
                let end = start + 1 + random.below(8)
                if place < writes {
                    return Operation(
                        value: UInt64(place) + 1, isWrite: true, start: start, end: random.once(in: 5) ? nil : end)
                }
                return Operation(value: UInt64(random.below(writes + 1)), isWrite: false, start: start, end: end)
            }
            let expected = Self.isLinearizable(operations)
            if expected { count.yes += 1 } else { count.no += 1 }
            let found = Self.check(operations)
            #expect((found == nil) == expected, "\(found ?? "nothing") in \(operations)")
            if (found == nil) != expected { return }
        }
        #expect(count.yes > 100 && count.no > 100)
    }

    @Test func aStaleReadIsFound() {
        #expect(
            Self.check([
                Operation(value: 1, isWrite: true, start: 1, end: 2),
                Operation(value: 2, isWrite: true, start: 3, end: 4),
                Operation(value: 1, isWrite: false, start: 5, end: 6),
            ]) != nil)
    }
}
