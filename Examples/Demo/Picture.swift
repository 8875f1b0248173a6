/// What each node was, and how many rows were acknowledged, second by second: a character for each.
struct Picture {
    enum Role: Character {
        case leads = "█"
        case follows = "─"
        case down = " "
    }

    private static let bars: [Character] = Array("▁▂▃▄▅▆▇█")
    private static let columns = 48

    /// How long a character stands for.
    private let span: Duration
    private var roles: [UInt64: [Role]] = [:]
    private var rows: [Int] = []

    init(of duration: Duration) {
        let seconds = Int(duration.components.seconds)
        self.span = .seconds(max(1, (seconds + Self.columns - 1) / Self.columns))
    }

    /// What a node is now. Of several times in a second the one counts at which it led, or else the last.
    mutating func note(_ node: UInt64, _ role: Role, at now: Duration) {
        let column = self.column(now)
        var line = self.roles[node] ?? []
        while line.count < column { line.append(line.last ?? role) }
        if line.count == column { line.append(role) } else if line[column] != .leads { line[column] = role }
        self.roles[node] = line
    }

    mutating func acknowledged(_ rows: Int, at now: Duration) {
        let column = self.column(now)
        while self.rows.count <= column { self.rows.append(0) }
        self.rows[column] += rows
    }

    private func column(_ now: Duration) -> Int { max(0, Int(now / self.span)) }

    /// The time in seconds, below a line.
    var axis: String {
        let seconds = Int(self.span.components.seconds)
        let marks = stride(from: 0, through: max(self.rows.count, 1), by: 10).map { "\($0 * seconds) s".filled(10) }
        return marks.joined()
    }

    func line(of node: UInt64) -> String { String((self.roles[node] ?? []).map(\.rawValue)) }

    /// Rows acknowledged in each second.
    var heights: String {
        let most = max(1, self.rows.max() ?? 1)
        return String(
            self.rows.map { $0 == 0 ? " " : Self.bars[min(Self.bars.count - 1, $0 * Self.bars.count / (most + 1))] })
    }
}
