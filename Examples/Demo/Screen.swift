import Foundation

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Prints lines; on a terminal also a few below them that are always up to date.
struct Screen {
    /// Whether there are lines that are up to date.
    let isTerminal: Bool
    private var shown = 0

    init() {
        let kind = ProcessInfo.processInfo.environment["TERM"] ?? "dumb"
        self.isTerminal = isatty(STDOUT_FILENO) == 1 && kind != "dumb"
    }

    /// Prints a line that stays.
    mutating func line(_ text: String = "") {
        self.write(self.erased + text + "\n")
    }

    /// Prints a line that stays, with the time in front.
    mutating func line(_ now: Duration, _ text: String) { self.line("\(now.inSeconds(1).padded(6)) s  \(text)") }

    /// Shows these lines below the others, in place of those that were shown before.
    mutating func show(_ lines: [String]) {
        guard self.isTerminal else { return }
        let width = self.width
        let text = lines.map { String($0.prefix(width - 1)) + "\n" }.joined()
        self.write(self.erased + text)
        self.shown = lines.count
    }

    /// Goes to the first of the lines that were shown, and clears what is there.
    private var erased: String {
        mutating get {
            defer { self.shown = 0 }
            return self.shown == 0 ? "" : "\u{1B}[\(self.shown)F\u{1B}[J"
        }
    }

    private var width: Int {
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 80 }
        return Int(size.ws_col)
    }

    private func write(_ text: String) { FileHandle.standardOutput.write(Data(text.utf8)) }
}

extension String {
    /// Of that length at least, to the right.
    func padded(_ length: Int) -> String { String(repeating: " ", count: Swift.max(0, length - self.count)) + self }

    /// Of that length at least, to the left.
    func filled(_ length: Int) -> String { self + String(repeating: " ", count: Swift.max(0, length - self.count)) }
}

extension Duration {
    /// Seconds with that many digits after the point.
    func inSeconds(_ digits: Int) -> String { String(format: "%.\(digits)f", self / .seconds(1)) }
}

/// A number and what it is a number of: `1 row`, `2 rows`.
func count(_ number: Int, _ noun: String, _ plural: String? = nil) -> String {
    "\(number) \(number == 1 ? noun : plural ?? noun + "s")"
}

/// In lines of at most 100 characters, the first of which begins with a dash.
func wrapped(_ text: String) -> String {
    var lines = ["-"]
    for word in text.split(separator: " ") {
        if lines[lines.count - 1].count + word.count >= 100 { lines.append(" ") }
        lines[lines.count - 1] += " \(word)"
    }
    return lines.joined(separator: "\n")
}
