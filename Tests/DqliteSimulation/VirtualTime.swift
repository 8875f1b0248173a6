/// A time of a simulation, or a span of it.
package struct VirtualTime: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var microseconds: Int

    static let zero = VirtualTime(microseconds: 0)
    static func microseconds(_ count: Int) -> Self { Self(microseconds: count) }
    package static func milliseconds(_ count: Int) -> Self { Self(microseconds: count * 1000) }
    package static func seconds(_ count: Int) -> Self { Self(microseconds: count * 1_000_000) }

    package static func < (one: Self, other: Self) -> Bool { one.microseconds < other.microseconds }
    static func + (one: Self, other: Self) -> Self { Self(microseconds: one.microseconds + other.microseconds) }
    static func - (one: Self, other: Self) -> Self { Self(microseconds: one.microseconds - other.microseconds) }
    static func * (one: Self, factor: Int) -> Self { Self(microseconds: one.microseconds * factor) }

    package var description: String {
        let fraction = String(self.microseconds % 1_000_000)
        return "\(self.microseconds / 1_000_000)." + String(repeating: "0", count: 6 - fraction.count) + fraction
    }
}
