import BenchmarkSupport

/// Rows of texts under titles, shown as soon as they are known.
struct Table {
    struct Column {
        var title: String
        var width: Int
        var isLeft = false
    }

    let columns: [Column]
    private(set) var rows: [[String]] = []
    private(set) var notes: [String] = []

    init(_ columns: [Column]) {
        self.columns = columns
    }

    func showTitles() { self.show(self.columns.map(\.title)) }

    mutating func add(_ row: [String]) {
        self.rows.append(row)
        self.show(row)
    }

    mutating func add(note: String) {
        self.notes.append(note)
        say(note)
    }

    private func show(_ row: [String]) {
        let cells = zip(self.columns, row).map { column, text in
            column.isLeft ? text.padded(column.width) : text.leftPadded(column.width)
        }
        say(cells.joined(separator: "  "))
    }

    var markdown: String {
        func line(_ cells: [String]) -> String { "| " + cells.joined(separator: " | ") + " |\n" }
        return line(self.columns.map(\.title)) + line(self.columns.map { $0.isLeft ? "---" : "---:" })
            + self.rows.map(line).joined() + (self.notes.isEmpty ? "" : "\n")
            + self.notes.map { "- \($0)\n" }.joined()
    }
}
