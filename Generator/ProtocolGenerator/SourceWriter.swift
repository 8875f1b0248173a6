/// Writes source text line by line.
struct SourceWriter {
    private(set) var text = ""
    private var indentation = 0
    static let lineLength = 120

    /// One line, or an empty one.
    mutating func line(_ line: String = "") {
        if !line.isEmpty { self.text += String(repeating: "    ", count: self.indentation) + line }
        self.text += "\n"
    }

    /// Lines of text, at the present level.
    mutating func lines(_ text: String) {
        for line in text.split(separator: "\n", omittingEmptySubsequences: true) { self.line(String(line)) }
    }

    /// Writes something else where the last line stands.
    mutating func replaceLastLine(with line: String) {
        let end = self.text.dropLast().lastIndex(of: "\n").map { self.text.index(after: $0) } ?? self.text.startIndex
        self.text.removeSubrange(end...)
        self.line(line)
    }

    /// Lines that lie deeper by one level.
    mutating func indented(_ body: (inout SourceWriter) -> Void) {
        self.indentation += 1
        body(&self)
        self.indentation -= 1
    }

    /// `head {`, what `body` writes, `}`.
    mutating func block(_ head: String, _ body: (inout SourceWriter) -> Void) {
        self.line(head + " {")
        self.indented(body)
        self.line("}")
    }

    /// `head { body }` in one line where it fits, in three where it does not.
    mutating func short(_ head: String, _ body: String) {
        let line = "\(head) { \(body) }"
        if self.fits(line) { self.line(line) } else { self.block(head) { $0.line(body) } }
    }

    /// A call or a declaration with its arguments in one line where they fit, one below the other where they do not.
    mutating func list(_ head: String, _ arguments: [String], _ tail: String) {
        let line = "\(head)(\(arguments.joined(separator: ", ")))\(tail)"
        if self.fits(line) { return self.line(line) }
        self.line("\(head)(")
        self.indented { writer in
            for (index, argument) in arguments.enumerated() {
                writer.line(argument + (index + 1 < arguments.count ? "," : ""))
            }
        }
        self.line(")\(tail)")
    }

    /// A documentation comment: its paragraphs, filled to the length of a line.
    mutating func documentation(_ comment: String) { self.comment(comment, mark: "///") }

    /// A comment.
    mutating func comment(_ comment: String, mark: String = "//") {
        var paragraphs: [[Substring]] = [[]]
        for line in comment.split(separator: "\n", omittingEmptySubsequences: false) {
            if line.isEmpty { paragraphs.append([]) } else { paragraphs[paragraphs.count - 1].append(line) }
        }
        for (index, paragraph) in paragraphs.filter({ !$0.isEmpty }).enumerated() {
            if index > 0 { self.line(mark) }
            self.fill(paragraph, mark: mark)
        }
    }

    /// A paragraph. Items of a list keep their own lines.
    private mutating func fill(_ paragraph: [Substring], mark: String) {
        let width = Self.lineLength - 4 * self.indentation - mark.count - 1
        var lines: [String] = []
        for line in paragraph {
            var begins = lines.isEmpty || line.hasPrefix("- ")
            for word in line.split(separator: " ") {
                if !begins, lines[lines.count - 1].count + 1 + word.count <= width {
                    lines[lines.count - 1] += " \(word)"
                } else {
                    lines.append(String(word))
                }
                begins = false
            }
        }
        for line in lines { self.line("\(mark) \(line)") }
    }

    func fits(_ line: String) -> Bool { 4 * self.indentation + line.count <= Self.lineLength }
}
