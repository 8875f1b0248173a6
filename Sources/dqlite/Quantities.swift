import ArgumentParser

/// A number of bytes on the command line: `4096`, `64KiB`, `256MiB` or `1GiB`.
struct Size: ExpressibleByArgument {
    var bytes: Int

    init(bytes: Int) { self.bytes = bytes }

    init?(argument: String) {
        guard let bytes = quantity(argument, Self.units) else { return nil }
        self.bytes = bytes
    }

    // The first is that of a number alone.
    private static let units = [("", 1), ("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)]

    var defaultValueDescription: String { description(of: self.bytes, Self.units) }
}

/// A length of time on the command line: `30s`, `500ms`, `10min` or `2h`.
struct TimeSpan: ExpressibleByArgument {
    var duration: Duration

    init(_ duration: Duration) { self.duration = duration }

    init?(argument: String) {
        guard let milliseconds = quantity(argument, Self.units) else { return nil }
        self.duration = .milliseconds(milliseconds)
    }

    private static let units = [("ms", 1), ("s", 1000), ("min", 60_000), ("h", 3_600_000)]

    var defaultValueDescription: String { description(of: Int(self.duration / .milliseconds(1)), Self.units) }
}

/// A whole number and its unit.
///
/// - Returns: nil when it is none, or too large.
private func quantity(_ text: String, _ units: [(name: String, size: Int)]) -> Int? {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let number = Int(digits), let unit = units.first(where: { $0.name == text.dropFirst(digits.count) })
    else { return nil }
    let (product, overflows) = number.multipliedReportingOverflow(by: unit.size)
    return overflows ? nil : product
}

/// In the largest unit that it is a multiple of.
private func description(of number: Int, _ units: [(name: String, size: Int)]) -> String {
    let unit = units.last { number.isMultiple(of: $0.size) } ?? units[0]
    return "\(number / unit.size)\(unit.name)"
}
