import TestSupport

/// Chance of a simulation: the same for the same seed.
typealias Chance = SeededRandom

extension SeededRandom {
    /// One of several.
    mutating func pick<Element>(_ elements: [Element]) -> Element { elements[self.below(elements.count)] }

    /// A time in a range.
    mutating func time(in range: ClosedRange<VirtualTime>) -> VirtualTime {
        VirtualTime(
            microseconds: Int.random(
                in: range.lowerBound.microseconds...range.upperBound.microseconds, using: &self))
    }

    /// True once in so many times; never for zero.
    mutating func happens(onceIn count: Int) -> Bool { count > 0 && self.once(in: count) }
}
